import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian import grids, parameterization, schedules
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.guidance.twisted import systematic, twisted
from tests.helpers.oracle import sliced_wasserstein

still = samplers.Sampler(samplers.State, lambda key, state, t, s: state)


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("chain", "end", "y", "noise"),
    [(schedules.vp(), 0.001, 0.8, 0.3), (schedules.vp(), 0.0, 0.8, 0.3), (schedules.edm(0.5), 0.001, 1.6, 1.0)],
    ids=["above the data", "to the data", "from what tells of the data"],
)
def test_a_swarm_tends_to_the_posterior_of_a_mixture_with_the_right_share_of_each_mode(chain, end, y, noise):
    """Two Gaussians in the plane, of which the sum is measured."""
    n, steps = 8000, 300
    weights, means, std = np.array([0.5, 0.5]), np.array([[1.0, 0.0], [-0.2, 0.6]]), 0.3
    A = np.ones((1, 2))
    variance = 2 * std**2 + noise**2
    shares = weights * np.exp(-0.5 * (y - means.sum(1)) ** 2 / variance)
    shares /= shares.sum()
    gain = std**2 / variance
    exact = []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        chosen = rng.choice(2, n, p=shares)
        x, seen = means[chosen] + std * rng.normal(size=(n, 2)), y - noise * rng.normal(size=n)
        exact.append(x + gain * (seen - x.sum(1))[:, None])  # Matheron's rule
    denoiser = gaussian_mixture(chain, weights, means, np.full((2, 1), std))
    sampler = twisted(chain, denoiser, lambda x: x @ jnp.asarray(A.T, x.dtype), jnp.full((1, 1), y), noise)
    times = np.linspace(1, end, steps + 1, dtype=np.float32)
    rng = np.random.default_rng(2)
    x_0 = means[rng.choice(2, n, p=weights)] + std * rng.normal(size=(n, 2))
    x_1 = jnp.asarray(chain.alpha(1.0) * x_0 + chain.sigma(1.0) * rng.normal(size=(n, 2)), jnp.float32)
    drawn = np.asarray(jax.jit(lambda x: samplers.sample(sampler, jax.random.key(1), x, times))(x_1), np.float64)
    assert sliced_wasserstein(drawn, exact[0]) < 3 * sliced_wasserstein(exact[1], exact[0]) + 0.01
    first = np.mean(((drawn - means[0]) ** 2).sum(1) < ((drawn - means[1]) ** 2).sum(1))
    expected = np.mean(((exact[0] - means[0]) ** 2).sum(1) < ((exact[0] - means[1]) ** 2).sum(1))
    np.testing.assert_allclose(first, expected, atol=0.04)


@pytest.mark.system
def test_a_network_that_is_undefined_at_the_data_is_not_asked_there():
    """EDM's network is told log(sigma / alpha), -inf at the last time: the swarm stays a swarm."""
    chain, meaning = schedules.edm(), parameterization.edm()
    exact = gaussian_mixture(chain, np.ones(1), np.zeros((1, 1)), np.full((1, 1), 0.5))

    def network(params, x, t, condition=None, key=None):
        """What EDM's network gives for this data, of its own inputs alone."""
        sigma = jnp.exp(4 * t)
        at = sigma / 80
        x_t = x / meaning.input_scale(chain, at)[:, None]
        return parameterization.target(chain, meaning, exact(x_t, at), (x_t - exact(x_t, at)) / sigma[:, None], at)

    denoiser = make_denoiser(chain, meaning, network, {})
    sampler = twisted(chain, denoiser, lambda x: x, jnp.full((1, 1), 0.3), 0.2)
    times = grids.karras(chain, 30)
    assert times[-1] == 0
    x_1 = 80 * jax.random.normal(jax.random.key(0), (1000, 1))
    x = jax.jit(lambda x: samplers.sample(sampler, jax.random.key(1), x, times))(x_1)
    assert len(np.unique(x)) > 500
    np.testing.assert_allclose(x.mean(), 0.3 * 0.25 / 0.29, atol=0.03)
    np.testing.assert_allclose(x.std(), (0.25 * 0.04 / 0.29) ** 0.5, rtol=0.12)


@pytest.mark.system
@pytest.mark.parametrize("within", [lambda sampler: sampler, lambda sampler: samplers.then(sampler, still)])
def test_a_restart_weighs_the_measurement_no_second_time(within):
    """Of a Gaussian all is exact: the posterior is the same however often the way is gone again."""
    chain = schedules.vp()
    exact = gaussian_mixture(chain, np.ones(1), np.zeros((1, 1)), np.full((1, 1), 0.5))
    sampler = within(twisted(chain, exact, lambda x: x, jnp.full((1, 1), 0.3), 0.2, 0.5))
    back = samplers.restart(chain, sampler, np.linspace(0.06, 0.03, 7), repeats=6)
    x_1 = jax.random.normal(jax.random.key(0), (10_000, 1))
    x = jax.jit(lambda x: samplers.sample(back, jax.random.key(1), x, grids.uniform(100)))(x_1)
    np.testing.assert_allclose(x.mean(), 0.3 * 0.25 / 0.29, atol=0.015)
    np.testing.assert_allclose(x.std(), (0.25 * 0.04 / 0.29) ** 0.5, rtol=0.08)


@pytest.mark.system
def test_each_is_drawn_as_often_as_its_weight_says():
    weights = np.array([0.05, 0.5, 0.0, 0.25, 0.2])
    for seed in range(20):
        counts = np.bincount(systematic(jax.random.key(seed), jnp.log(jnp.tile(weights, 4)))[:], minlength=20)
        assert counts.sum() == 20
        assert (np.abs(counts - 20 * np.tile(weights, 4) / 4) < 1).all()
