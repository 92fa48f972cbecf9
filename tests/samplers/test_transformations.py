"""Every sampler under jit, vmap and grad; one trace for all values; memory that does not grow with the steps."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian import grids, schedules
from jaxdiff.samplers import sample
from tests.helpers.samplers import DISTINCT, SAMPLERS, each

pytestmark = pytest.mark.usefixtures("quick_compilation")

EDM, KARRAS = schedules.edm(), lambda n: grids.karras(schedules.edm(), n)
ALL = {name: SAMPLERS[name].make for name in DISTINCT if name != "dopri5"}
X = jax.random.normal(jax.random.key(1), (4, 3))


def denoiser(scale):
    return lambda x, t: scale * jnp.tanh(x / jnp.sqrt(1 + EDM.sigma(t) ** 2))


@pytest.mark.system
@each(ALL)
def test_gradients_through_twelve_steps(name):
    """Finite, and the slope of the result itself."""

    @jax.jit
    def total(scale, key, times):
        return sample(ALL[name](EDM, denoiser(scale)), key, jnp.asarray(80 * X, jnp.float64), times).sum()

    with jax.enable_x64(True):
        key, times = jax.random.key(0), jnp.asarray(KARRAS(12), jnp.float64)
        slope = jax.grad(total)(0.5, key, times)
        numeric = (total(0.5 + 1e-4, key, times) - total(0.5 - 1e-4, key, times)) / 2e-4
    np.testing.assert_allclose(slope, numeric, rtol=2e-3)


@pytest.mark.system
@each(ALL)
def test_a_batch_of_chains_is_those_chains(name):
    run = jax.jit(lambda x, key: sample(ALL[name](EDM, denoiser(0.5)), key, 80 * x, KARRAS(6)))
    many, keys = jnp.stack([X, X + 1]), jax.random.split(jax.random.key(0), 2)
    mapped = jax.jit(jax.vmap(run))(many, keys)
    for i in range(2):
        np.testing.assert_allclose(mapped[i], run(many[i], keys[i]), rtol=1e-4, atol=1e-5)


@pytest.mark.system
@each(ALL)
def test_other_values_compile_nothing(name):
    @jax.jit
    @chex.assert_max_traces(n=1)
    def run(x, key, times, scale):
        return sample(ALL[name](EDM, denoiser(scale)), key, x, times)

    first = run(80 * X, jax.random.key(0), KARRAS(6), 0.5)
    second = run(80 * X, jax.random.key(3), KARRAS(6) ** 1.1, 0.6)
    assert jnp.abs(first - second).max() > 1e-6


@pytest.mark.slow
@each(ALL)
def test_memory_does_not_grow_with_the_steps(name):
    def peak(steps):
        x, times = jax.ShapeDtypeStruct((64, 64), jnp.float32), jax.ShapeDtypeStruct((steps + 1,), jnp.float32)
        run = jax.jit(lambda key, x, times: sample(ALL[name](EDM, denoiser(0.5)), key, x, times))
        return run.lower(jax.random.key(0), x, times).compile().memory_analysis().temp_size_in_bytes

    assert peak(500) - peak(10) < 64 * 64 * 4


@pytest.mark.slow
def test_the_adaptive_method_too(float64):
    times, x = KARRAS(3)[:-1], jnp.asarray(X, jnp.float64)

    @jax.jit
    def total(scale, x):
        return sample(samplers.dopri5(EDM, denoiser(scale), 1e-9, 1e-9), jax.random.key(0), x, times).sum()

    slope = jax.grad(total)(0.5, x)
    numeric = (total(0.5 + 1e-4, x) - total(0.5 - 1e-4, x)) / 2e-4
    np.testing.assert_allclose(slope, numeric, rtol=1e-4)
    both = jax.vmap(total, (None, 0))(0.5, jnp.stack([x, x + 1]))
    np.testing.assert_allclose(both, [total(0.5, x), total(0.5, x + 1)], rtol=1e-6)


@pytest.mark.system
def test_options_are_traced_too():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def run(eta, churn, snr, rate):
        times, key = KARRAS(4), jax.random.key(0)
        d = denoiser(0.5)
        return [
            sample(samplers.dpmpp_2m(EDM, d, eta=eta), key, X, times),
            sample(samplers.heun(EDM, d, churn=churn), key, X, times),
            sample(samplers.then(samplers.ddim(EDM, d), samplers.langevin(EDM, d, snr=snr)), key, X, times),
            sample(samplers.annealed_langevin(EDM, d, rate=rate, repeats=2), key, X, times),
        ]

    run(0.0, 0.0, 0.1, 0.1)
    run(1.0, 0.1, 0.2, 0.2)


@pytest.mark.parametrize(
    "times", [[0.0, 0.5, 1.0], [1.0, 0.5, 0.5, 0.0], [1.0], [[1.0, 0.0]], [1.0, float("nan"), 0.0]]
)
def test_grids_that_do_not_fall_are_refused(times):
    from jaxdiff.errors import InputError

    for run in (sample, lambda s, k, x, t: samplers.invert(s, x, t)):
        with pytest.raises(InputError, match="fall strictly"):
            run(samplers.ddim(EDM, denoiser(0.5)), jax.random.key(0), X, np.array(times))


def test_samplers_are_refused_where_they_do_not_apply():
    from jaxdiff.errors import InputError

    with pytest.raises(InputError, match="needs a process with alpha = 1"):
        samplers.annealed_langevin(schedules.vp(), denoiser(0.5))


@pytest.mark.system
def test_then_with_a_corrector_that_does_nothing_is_the_predictor():
    still = samplers.Sampler(samplers.State, lambda key, state, t, s: state)
    alone = samplers.dpmpp_2m(EDM, denoiser(0.5))
    for other in (samplers.then(alone, still), samplers.then(still, alone)):
        a, b = (sample(s, jax.random.key(0), 80 * X, KARRAS(8)) for s in (alone, other))
        np.testing.assert_array_equal(a, b)


@pytest.mark.system
def test_restart_goes_back_and_forth():
    """With a sampler that does nothing, what remains of a restart is its noise: enough to go up, once for each."""
    still = samplers.Sampler(samplers.State, lambda key, state, t, s: state)
    x = jnp.zeros((100_000, 1))
    for repeats in (0, 1, 3):
        sampler = samplers.restart(EDM, still, np.array([0.5, 0.2, 0.1]), repeats)
        out = sample(sampler, jax.random.key(0), x, np.array([0.9, 0.3, 0.1, 0.0]))
        np.testing.assert_allclose(out.std(), np.sqrt(repeats * (40**2 - 8**2)), rtol=0.02)
