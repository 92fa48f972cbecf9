"""Every sampler with every process at both ends, under a constraint, and with whatever moves x between its steps.

The samplers are those that `Model.sample` knows by name, the processes those of `tests.oracle`: a new one is covered on
the day it is added. One step is compiled for each sampler, with the process chosen by a traced number.
"""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import grids, guidance, process, samplers
from jaxdiff.denoiser import clip, dynamic_threshold, gaussian_mixture
from jaxdiff.errors import InputError
from jaxdiff.model import SAMPLERS, check_applies
from jaxdiff.process import Process, log_snr_drop, prior, time_at
from jaxdiff.samplers.base import sample, stepped
from jaxdiff.tasks import inpaint, restore
from tests import oracle

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
MEAN, STD = 0.2, 0.98
NOISY = {"ancestral", "annealed_langevin", "euler_maruyama", "langevin", "reverse_diffusion", "srk"}
"""Those that draw noise by default."""
STILL = {"langevin"}
"""Correctors, which stay at their noise level."""
FEW = {"annealed_langevin": {"repeats": 3}, "dopri5": {"rtol": 1e-3, "atol": 1e-3}}
OF_ALPHA_ONE = {"annealed_langevin"}


def make(name, chain, denoiser, **more):
    return SAMPLERS[name](chain, denoiser, **FEW.get(name, {}), **more)


def one_of(chains: list[Process], i) -> Process:
    """The i-th process, i traced."""
    pick = lambda functions: lambda *t: jax.lax.switch(i, functions, *t)  # noqa: E731
    return Process(
        alpha=pick([lambda t, c=c: c.alpha(t) * jnp.ones_like(t) for c in chains]),
        sigma=pick([c.sigma for c in chains]),
        drop=pick([functools.partial(log_snr_drop, c) for c in chains]),
        inverse=pick([functools.partial(time_at, c) for c in chains]),
    )


CHAINS = {name: make_process() for name, make_process in oracle.PROCESSES.items()}


def ends(name):
    """`(process, steps, x)` of every chain from t = 1 to 0 that is not refused, by 1, 2 and 8 steps."""
    known = {k: c for k, c in CHAINS.items() if name not in OF_ALPHA_ONE or k in ("ve", "ncsn", "edm")}
    chains = list(known.values())

    def chosen(i):
        chain = one_of(chains, i) if name not in OF_ALPHA_ONE else one_of(chains, i)._replace(alpha=jnp.ones_like)
        return chain, make(name, chain, gaussian_mixture(chain, [1.0], [[MEAN]], [[STD]]))

    begin = jax.jit(lambda i, x: chosen(i)[1].init(prior(chosen(i)[0], KEY, x)))
    step = jax.jit(lambda i, key, state, t, s: stepped(chosen(i)[1], key, state, t, s))
    for i, (path, chain) in enumerate(known.items()):
        for steps in (1, 2, 8, 64):
            times = grids.uniform(steps)
            try:
                check_applies(name, chain, times)
            except InputError:
                continue
            state = begin(i, jnp.zeros((2000, 1)))
            for k in range(steps):
                state = step(i, jax.random.fold_in(KEY, k), state, times[k], times[k + 1])
            yield path, steps, np.asarray(state.x)


REFUSED = {
    "dopri5": set(CHAINS) - {"ve", "from_log_snr"},
}


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - STILL))
def test_both_ends(name):
    """Finite and right at alpha = 0 and at sigma = 0, in one step too, or refused by name."""
    seen = set()
    for path, steps, x in ends(name):
        seen.add(path)
        assert np.isfinite(x).all(), (path, steps)
        print(f"{name:18} {path:14} {steps} {x.mean():8.3f} {x.std():8.3f}")
    print(name, "refused", sorted(set(CHAINS) - seen))


MODES = jnp.stack([jnp.full(16, -0.9), jnp.full(16, 0.9)])


@pytest.mark.parametrize("constrain", [clip(1.0), dynamic_threshold(0.9, 1.0)], ids=["clip", "threshold"])
@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - STILL - OF_ALPHA_ONE - {"dopri5"}))
def test_a_constraint_on_x_0_reaches_all_that_is_derived_from_it(name, constrain):
    """Guided by 1, 3 and 8 and constrained, every sampler ends at the class, and not at another."""
    vp = process.vp()
    model, of_class = (
        gaussian_mixture(vp, jnp.ones(len(m)), m, jnp.full((len(m), 1), 0.1)) for m in (MODES, MODES[1:])
    )

    @jax.jit
    def draw(scale):
        guided = guidance.classifier_free(of_class, model, scale)
        sampler = make(name, vp, lambda x, t: constrain(guided(x, t)))
        x_1 = jax.random.normal(KEY, (64, 16))
        return sample(sampler, KEY, x_1, grids.uniform(50, 0.999))

    for scale in (1.0, 3.0, 8.0):
        assert abs(float(draw(scale).mean()) - 0.9) < 0.05, scale


@pytest.mark.parametrize("name", [n for n in SAMPLERS if "constrain" in inspect.signature(SAMPLERS[n]).parameters])
def test_an_argument_that_constrains_is_a_constrained_denoiser(name):
    vp, constrain = process.vp(), clip(0.4)
    t, s, x = jnp.float32(0.6), jnp.float32(0.5), jax.random.normal(KEY, (64, 3))
    inside = SAMPLERS[name](vp, lambda x, t: jnp.tanh(2 * x), constrain=constrain)
    outside = SAMPLERS[name](vp, lambda x, t: constrain(jnp.tanh(2 * x)))
    for given in (inside, outside):
        assert given.step(KEY, given.init(x), t, s).x.shape == x.shape
    ours, expected = (given.step(KEY, given.init(x), t, s).x for given in (inside, outside))
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    if name == "ddim":
        other = samplers.dpmpp_1s(vp, lambda x, t: constrain(jnp.tanh(2 * x)))
        np.testing.assert_allclose(ours, other.step(KEY, other.init(x), t, s).x, atol=1e-6)


@functools.cache
def moved(name):
    """`{what moves x: (error in the first coordinate, share in the right mode)}`, and dx_s / dx_t."""
    vp = process.vp()
    denoiser = gaussian_mixture(vp, jnp.ones(2), jnp.array([[-0.9, -0.9], [0.9, 0.9]]), jnp.full((2, 1), 0.2))
    sampler, image, mask = make(name, vp, denoiser), jnp.full((256, 2), 0.9), jnp.array([[1.0, 0.0]])
    movers = {
        "alone": sampler,
        "restart": samplers.restart(vp, sampler, np.linspace(0.4, 0.2, 6), 3),
        "langevin": samplers.then(sampler, samplers.langevin(vp, denoiser, repeats=3)),
        "dps": restore.dps(vp, denoiser, sampler, lambda x: x[:, :1], image[:, :1], 0.3),
        "replace": inpaint.replace(vp, sampler, image, mask),
        "repaint": inpaint.repaint(vp, sampler, image, mask, 3),
    }

    @jax.jit
    def run():
        x_1, times = jax.random.normal(KEY, image.shape), grids.uniform(40, 0.999)
        return {k: sample(mover, KEY, x_1, times) for k, mover in movers.items()}

    @jax.jit
    def slope():
        times = jnp.linspace(0.9, 0.3, 13)
        state = sampler.init(jax.random.normal(KEY, image.shape))
        state = jax.lax.fori_loop(0, 8, lambda i, state: sampler.step(KEY, state, times[i], times[i + 1]), state)
        on = lambda shift: sampler.step(KEY, state._replace(x=state.x + shift), times[8], times[9]).x  # noqa: E731
        return ((on(0.01) - on(0.0)) / 0.01).mean()

    return run(), float(slope())


ORDINARY = sorted(set(SAMPLERS) - STILL - OF_ALPHA_ONE - {"dopri5"})


@pytest.mark.parametrize("name", ORDINARY)
def test_samplers_follow_what_moves_x(name):
    """A shift of x between two steps passes through the next, and what moves x is as good as with Heun's method."""
    (ours, slope), (heun, _) = moved(name), moved("heun")
    print(
        f"{name:18} slope {slope:.3f}",
        {
            k: (
                round(float(jnp.abs(jnp.abs(x) - 0.9).mean()), 3),
                round(float(jnp.abs(x[:, 0] - 0.9).mean()), 3),
                round(float((x[:, 1] > 0).mean()), 3),
            )
            for k, x in ours.items()
        },
    )
    assert 0.6 < slope < 1.2
