"""Step caching with a denoiser whose slow part is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.config.sampling import INNER_LOOPS, SAMPLERS
from jaxdiff.gaussian import grids
from jaxdiff.gaussian.denoiser import transfer
from jaxdiff.gaussian.schedules import edm, vp
from jaxdiff.samplers import ddim, sample
from jaxdiff.samplers.cached import along, cached
from tests.helpers.samplers import each

X = jax.random.normal(jax.random.key(1), (5, 3))
TIMES = grids.uniform(8, 1.0, 0.01)


def deep(x_t, t):
    return jnp.tanh(x_t + t)


def remembering(x_t, t, memory):
    memory = deep(x_t, t) if memory is None else memory
    return 0.6 * memory + 0.1 * x_t, memory


def denoiser(x_t, t):
    return remembering(x_t, t, None)[0]


def options(name):
    return {"variance": samplers.fixed_small} if name == "ancestral" else {}


@pytest.mark.system
@each(sorted(SAMPLERS.keys() - set(INNER_LOOPS)), unit=["ddim", "dpmpp_2m"])
def test_computed_at_every_step_it_is_the_sampler_itself(name):
    make = lambda denoiser: SAMPLERS[name](vp(), denoiser, **options(name))
    key = jax.random.key(0)
    expected = sample(make(denoiser), key, X, TIMES)
    np.testing.assert_allclose(sample(cached(make, remembering, 1), key, X, TIMES), expected, rtol=1e-6, atol=1e-6)
    assert jnp.abs(sample(cached(make, remembering, 3), key, X, TIMES) - expected).max() > 1e-4


@pytest.mark.system
def test_a_corrector_after_it_moves_it():
    make, key = lambda d: ddim(vp(), d), jax.random.key(0)
    corrector = samplers.langevin(vp(), denoiser)
    expected = sample(samplers.then(make(denoiser), corrector), key, X, TIMES)
    found = sample(samplers.then(cached(make, remembering, 1), corrector), key, X, TIMES)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.system
@pytest.mark.parametrize("every", [2, 3, 8])
def test_it_is_the_loop_written_out(every):
    x, memory = X, None
    for i, (t, s) in enumerate(itertools.pairwise(TIMES)):
        t, s = jnp.float32(t), jnp.float32(s)
        memory = deep(x, t) if i % every == 0 else memory
        x_0 = 0.6 * memory + 0.1 * x
        step = ddim(vp(), lambda x_t, t, x_0=x_0: x_0)
        x = step.step(jax.random.key(0), step.init(x), t, s).x
    run = jax.jit(
        lambda every: sample(cached(lambda d: ddim(vp(), d), remembering, every), jax.random.key(0), X, TIMES)
    )
    np.testing.assert_allclose(run(every), x, rtol=1e-5, atol=1e-5)


def test_along_another_path_the_memory_is_that_of_the_network():
    change = lambda d: transfer(vp(), edm(80.0), d)
    x, t = 3 * X, jnp.float32(0.5)
    expected = change(denoiser)(x, t)
    first, memory = along(change, remembering)(x, t, None)
    np.testing.assert_allclose(first, expected, rtol=1e-6)
    again, same = along(change, remembering)(x, t, memory)
    np.testing.assert_allclose(again, expected, rtol=1e-6)
    np.testing.assert_array_equal(memory, same)
    other, _ = along(change, remembering)(x, t, memory + 1)
    np.testing.assert_allclose(other - expected, 0.6, rtol=1e-4)
