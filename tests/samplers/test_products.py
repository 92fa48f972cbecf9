"""Every sampler with every process at both ends, under a constraint, and with whatever moves x between its steps.

The samplers are those of `tests.helpers.samplers`, the processes those of `tests.helpers.oracle`. One step is compiled
for each sampler, with the process chosen by a traced number.
"""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import guidance, samplers
from jaxdiff.errors import InputError
from jaxdiff.gaussian import betas, grids, schedules
from jaxdiff.gaussian.denoiser import clip, dynamic_threshold
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.process import Process, log_snr, log_snr_drop, prior, time_at
from jaxdiff.guidance import inpainting as inpaint
from jaxdiff.pipelines.options import check_applies
from jaxdiff.samplers.base import sample, stepped
from tests.helpers import oracle
from tests.helpers.samplers import CONSTRUCTORS, SAMPLERS, each

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
MEAN, STD = 0.2, 0.98
ENTRIES = {name: SAMPLERS[name] for name in CONSTRUCTORS if not SAMPLERS[name].corrector}
ORDINARY = [name for name, entry in ENTRIES.items() if not entry.alpha_one and not entry.adaptive]


def one_of(chains: list[Process], i) -> Process:
    """The i-th process, i traced."""
    pick = lambda functions: lambda *t: jax.lax.switch(i, functions, *t)
    return Process(
        alpha=pick([lambda t, c=c: c.alpha(t) * jnp.ones_like(t) for c in chains]),
        sigma=pick([c.sigma for c in chains]),
        drop=pick([functools.partial(log_snr_drop, c) for c in chains]),
        inverse=pick([functools.partial(time_at, c) for c in chains]),
    )


CHAINS = {name: make_process() for name, make_process in oracle.PROCESSES.items()}
KINDS = ("ddpm_cosine", "ddpm_zero_snr", "vp", "sigmoid", "ve", "edm", "flow", "from_log_snr")
"""One process of each kind of end."""


def even(chain, steps):
    """From t = 1 to 0, the log-SNR even between from -12 to 9, as far as the process has it."""
    with jax.ensure_compile_time_eval():
        high, low = (float(log_snr(chain, jnp.float32(t))) for t in (0, 1))
        levels = jnp.linspace(max(low, -12.0), min(high, 9.0), steps + 1)[1:-1]
        return np.concatenate([[1.0], np.asarray(time_at(chain, levels)), [0.0]]).astype(np.float32)


def drawn(name, paths):
    """`(process, steps, x)` of every chain that is not refused, from t = 1 to 0."""
    fits = [path for path in paths if not ENTRIES[name].alpha_one or path in ("ve", "ncsn", "edm")]

    def chosen(i):
        chain = one_of([CHAINS[path] for path in fits], i)
        chain = chain._replace(alpha=jnp.ones_like) if ENTRIES[name].alpha_one else chain
        return chain, ENTRIES[name].make(chain, gaussian_mixture(chain, [1.0], [[MEAN]], [[STD]]))

    begin = jax.jit(lambda i, x: chosen(i)[1].init(prior(chosen(i)[0], KEY, x)))
    step = jax.jit(lambda i, key, state, t, s: stepped(chosen(i)[1], key, state, t, s))
    for i, path in enumerate(fits):
        for times in (grids.uniform(1), grids.uniform(2), grids.uniform(8), even(CHAINS[path], 48)):
            try:
                check_applies(name, CHAINS[path], times)
            except InputError:
                continue
            state = begin(i, jnp.zeros((2000, 1)))
            for k in range(len(times) - 1):
                state = step(i, jax.random.fold_in(KEY, k), state, times[k], times[k + 1])
            yield path, len(times) - 1, np.asarray(state.x)


LOOSE = {"euler": 0.4}
"""Of first order in t, not in sigma, which matters where sigma is geometric in t."""


def check_ends(name, paths):
    """Finite in any number of steps, right in many; refused by name where it is undefined, and nowhere else."""
    done = set()
    for path, steps, x in drawn(name, paths):
        assert np.isfinite(x).all(), (path, steps)
        if steps > 8:
            done.add(path)
            assert ENTRIES[name].alpha_one or abs(x.mean() - MEAN) < 0.2, (path, x.mean())
            assert ENTRIES[name].alpha_one or abs(x.std() - STD) < LOOSE.get(name, 0.15), (path, x.std())
    known = set(paths) & ({"ve", "ncsn", "edm"} if ENTRIES[name].alpha_one else set(CHAINS))
    assert known - done == known & ENTRIES[name].refused


@pytest.mark.system
@each(ENTRIES, unit=["ddim", "dpmpp_2m"])
def test_both_ends(name):
    check_ends(name, KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRIES)
def test_both_ends_of_every_process(name):
    check_ends(name, list(CHAINS))


@pytest.mark.system
def test_pndm_is_refused_where_it_would_amplify_its_errors():
    """On cosine betas, where alpha begins at 5e-5, trailing grids of up to 250 steps saturate or explode."""
    cosine, linear = (schedules.ddpm(table(1000)) for table in (betas.cosine, betas.linear))
    for steps in (10, 50, 250):
        with pytest.raises(InputError, match="'pndm' needs 4 steps"):
            check_applies("pndm", cosine, grids.trailing(steps))
        check_applies("pndm", linear, grids.trailing(steps))
    with pytest.raises(InputError, match="here are 3 with"):
        check_applies("pndm", linear, grids.trailing(3))
    check_applies("pndm", cosine, grids.trailing(1000))


def test_steps_that_overshoot_are_refused_where_noise_has_no_end():
    """On the flow the first of them is infinite."""
    flow = schedules.flow()
    with pytest.raises(InputError, match=r"'churned' cannot start at t=1, where alpha = 0: start the grid below"):
        check_applies("churned", flow, grids.uniform(8))
    check_applies("churned", flow, grids.uniform(8, 0.99))
    check_applies("churned", schedules.edm(), grids.uniform(8))


MODES = jnp.stack([jnp.full(16, -0.9), jnp.full(16, 0.9)])


@pytest.mark.system
@each(ORDINARY, unit=["ddim", "heun", "unipc"])
def test_a_constraint_on_x_0_reaches_all_that_is_derived_from_it(name):
    """Guided by 1, 3 and 8, clipped or thresholded, every sampler ends at the class, and not at another."""
    vp, std = schedules.vp(), jnp.full((2, 1), 0.1)
    model, of_class = (gaussian_mixture(vp, jnp.ones(n), MODES[-n:], std[:n]) for n in (2, 1))

    @jax.jit
    def draw(scale):
        guided = guidance.classifier_free(of_class, model, scale)
        x_1, times = jax.random.normal(KEY, (64, 16)), grids.uniform(50, 0.999)
        constrained = [lambda x, t, c=c: c(guided(x, t)) for c in (clip(1.0), dynamic_threshold(0.9, 1.0))]
        return [sample(ENTRIES[name].make(vp, denoiser), KEY, x_1, times).mean() for denoiser in constrained]

    for scale in (1.0, 3.0, 8.0):
        np.testing.assert_allclose(draw(scale), 0.9, atol=0.05, err_msg=str(scale))


@each([n for n in CONSTRUCTORS if "constrain" in inspect.signature(getattr(samplers, n)).parameters])
def test_an_argument_that_constrains_is_a_constrained_denoiser(name):
    vp, constrain = schedules.vp(), clip(0.4)
    t, s, x = jnp.float32(0.6), jnp.float32(0.5), jax.random.normal(KEY, (64, 3))
    inside = getattr(samplers, name)(vp, lambda x, t: jnp.tanh(2 * x), constrain=constrain)
    outside = getattr(samplers, name)(vp, lambda x, t: constrain(jnp.tanh(2 * x)))
    for given in (inside, outside):
        assert given.step(KEY, given.init(x), t, s).x.shape == x.shape
    ours, expected = (given.step(KEY, given.init(x), t, s).x for given in (inside, outside))
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    if name == "ddim":
        other = samplers.dpmpp_1s(vp, lambda x, t: constrain(jnp.tanh(2 * x)))
        np.testing.assert_allclose(ours, other.step(KEY, other.init(x), t, s).x, atol=1e-6)


def two_modes():
    vp = schedules.vp()
    return vp, gaussian_mixture(vp, jnp.ones(2), jnp.array([[-0.9, -0.9], [0.9, 0.9]]), jnp.full((2, 1), 0.2))


@pytest.mark.system
@each(ORDINARY)
def test_a_shift_between_two_steps_passes_through_the_next(name):
    vp, denoiser = two_modes()
    sampler = ENTRIES[name].make(vp, denoiser)

    @jax.jit
    def slope():
        times = jnp.linspace(0.9, 0.3, 13)
        state = sampler.init(jax.random.normal(KEY, (256, 2)))
        state = jax.lax.fori_loop(0, 8, lambda i, state: stepped(sampler, KEY, state, times[i], times[i + 1]), state)
        on = lambda shift: sampler.step(KEY, state._replace(x=state.x + shift), times[8], times[9]).x
        return ((on(0.01) - on(0.0)) / 0.01).mean()

    assert 0.6 < slope() < 1.2


@functools.cache
def moved(name):
    """`{what moves x: (distance of x from a mode, |x - y| where it is measured, share in the right mode)}`."""
    vp, denoiser = two_modes()
    sampler, image, mask = ENTRIES[name].make(vp, denoiser), jnp.full((512, 2), 0.9), jnp.array([[1.0, 0.0]])
    movers = {
        "restart": samplers.restart(vp, sampler, np.linspace(0.4, 0.2, 6), 3),
        "langevin": samplers.then(sampler, samplers.langevin(vp, denoiser, repeats=3)),
        "dps": guidance.dps(vp, denoiser, sampler, lambda x: x[:, :1], image[:, :1], 0.3),
        "replace": inpaint.replace(vp, sampler, image, mask),
        "repaint": inpaint.repaint(vp, sampler, image, mask, 3),
    }

    @jax.jit
    def run():
        x_1, times = jax.random.normal(KEY, image.shape), grids.uniform(40, 0.999)
        drawn = {name: sample(mover, KEY, x_1, times) for name, mover in movers.items()}
        return {
            name: (jnp.abs(jnp.abs(x[:, 1]) - 0.9).mean(), jnp.abs(x[:, 0] - 0.9).mean(), (x[:, 1] > 0).mean())
            for name, x in drawn.items()
        }

    return jax.device_get(run())


def check_moved(name):
    """Whatever moves x is about as good with this sampler as with Heun's method, which remembers nothing."""
    ours, heun = moved(name), moved("heun")
    for mover, (width, distance, share) in ours.items():
        assert 0.4 * heun[mover][0] < width < 2 * heun[mover][0], (mover, width, heun[mover])
        if mover in ("dps", "replace", "repaint"):
            assert distance < 2 * heun[mover][1] + 0.01, (mover, distance, heun[mover])
            assert share > heun[mover][2] - 0.1, (mover, share, heun[mover])


REMEMBERING = [name for name in ORDINARY if ENTRIES[name].memory]


@each(REMEMBERING, unit=[])
def test_samplers_with_a_memory_follow_what_moves_x(name):
    check_moved(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ORDINARY if name not in REMEMBERING])
def test_samplers_without_one_do_too(name):
    check_moved(name)


@pytest.mark.system
def test_after_a_restart_a_memory_is_of_the_way_that_was_taken():
    """Also where nothing but the memory differs: the step after a restart is that of the last way down."""
    vp, denoiser = two_modes()
    sampler, x = samplers.dpmpp_2m(vp, denoiser), jax.random.normal(KEY, (8, 2))
    down = np.linspace(0.4, 0.2, 6)
    state = samplers.restart(vp, sampler, down, 1).step(KEY, sampler.init(x), jnp.float32(0.3), jnp.float32(0.2))
    expected = denoiser(state.x, jnp.float32(0.24))
    assert float(jnp.abs(state.x_0[0] - expected).mean()) < 0.2
    first = sampler.step(KEY, sampler.init(x), jnp.float32(0.3), jnp.float32(0.2))
    assert float(jnp.abs(state.x_0[0] - first.x_0[0]).mean()) > 0.05
