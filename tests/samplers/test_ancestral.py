import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.gaussian import betas, grids, schedules
from jaxdiff.gaussian.denoiser import clip
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.samplers import State, ancestral, fixed_large, fixed_small, sample


def gaussian(chain, mean, std):
    return gaussian_mixture(chain, jnp.ones(1), jnp.full((1, 1), mean), jnp.full((1, 1), std))


@pytest.mark.system
@pytest.mark.parametrize(("std", "variance"), [(1e-4, fixed_small), (1.0, fixed_large)])
def test_each_variance_is_exact_for_its_data(std, variance):
    """fixed_small for data at a point, fixed_large for standard normal data: x_s has its true width after any steps."""
    chain = schedules.ddpm(betas.linear(1000))
    x_1 = jax.random.normal(jax.random.key(0), (100_000, 1))
    x_1 = x_1 * jnp.sqrt((chain.alpha(jnp.float32(1)) * std) ** 2 + chain.sigma(jnp.float32(1)) ** 2)
    times = np.linspace(1, 0.2, 6)
    x_s = sample(ancestral(chain, gaussian(chain, 0.0, std), variance), jax.random.key(1), x_1, times)
    s = jnp.float32(0.2)
    expected = jnp.sqrt((chain.alpha(s) * std) ** 2 + chain.sigma(s) ** 2)
    np.testing.assert_allclose(x_s.std(), expected, rtol=4 / np.sqrt(200_000))


@pytest.mark.statistical
def test_the_thousand_step_chain_draws_the_mixture():
    """Weights, means and widths of a mixture, within four standard errors and the chain's own bias."""
    chain, n = schedules.ddpm(betas.linear(1000)), 50_000
    denoiser = gaussian_mixture(chain, jnp.array([0.3, 0.7]), jnp.array([[-1.0], [1.0]]), jnp.array([[0.15], [0.2]]))
    x_1 = jax.random.normal(jax.random.key(0), (n, 1))
    x_0 = np.asarray(sample(ancestral(chain, denoiser), jax.random.key(1), x_1, grids.trailing(1000, 1000)))
    low, high = x_0[x_0 < 0], x_0[x_0 >= 0]
    assert abs(len(low) / n - 0.3) < 4 * np.sqrt(0.21 / n)
    for part, mean, std in [(low, -1.0, 0.15), (high, 1.0, 0.2)]:
        assert abs(part.mean() - mean) < 4 * std / np.sqrt(len(part)) + 2e-3
        assert abs(part.std() / std - 1) < 0.03


def test_the_step_to_the_data_is_the_denoiser():
    chain = schedules.ddpm(betas.linear(1000))
    x = jnp.array([[0.3], [-2.0]])
    for variance in (fixed_small, fixed_large):
        sampler = ancestral(chain, lambda x_t, t: 3 * x_t, variance, constrain=clip(1.0))
        state = sampler.step(jax.random.key(0), State(x), jnp.float32(0.001), jnp.float32(0.0))
        np.testing.assert_allclose(state.x, [[0.9], [-1.0]], rtol=1e-6)


def test_temperature_scales_the_noise():
    chain, x = schedules.vp(), jnp.zeros((50_000, 1))

    def spread(temperature):
        sampler = ancestral(chain, lambda x_t, t: x_t, temperature=temperature)
        return sampler.step(jax.random.key(0), State(x), jnp.float32(0.5), jnp.float32(0.4)).x.std()

    assert spread(0.0) == 0
    np.testing.assert_allclose(spread(0.5), 0.5 * spread(1.0), rtol=1e-5)
