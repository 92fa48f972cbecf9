import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdiff.gaussian import betas, parameterization
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.process import posterior, transition
from jaxdiff.gaussian.schedules import ddpm
from jaxdiff.likelihood import discretized_decoder
from jaxdiff.losses.hybrid import make_fraction, mean_network, step_bound
from jaxdiff.samplers import ancestral, learned_range, sample

CHAIN = ddpm(betas.cosine(100))


def network(params, x, t, condition=None, key=None):
    return jnp.concatenate([params["mean"] * x, params["v"] * jnp.ones_like(x)], axis=-1)


PARAMS = {"mean": jnp.float32(0.3), "v": jnp.float32(0.2)}


@pytest.mark.system
def test_the_two_halves():
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    eps = parameterization.eps()
    np.testing.assert_allclose(mean_network(network)(PARAMS, x, jnp.ones(2)), 0.3 * x, rtol=1e-6)
    fraction = make_fraction(CHAIN, eps, network, PARAMS)(x, jnp.float32(0.5))
    np.testing.assert_allclose(fraction, 0.6 * jnp.ones_like(x), rtol=1e-6)


@pytest.mark.system
def test_a_step_is_the_kl_of_two_normals():
    """Against numerical integration, in bits, for a variance between the bounds."""
    s, t = jnp.float32([0.5]), jnp.float32([0.51])
    x_0, x_hat = jnp.full((1, 1), 0.4), jnp.full((1, 1), 0.1)
    _, of_x_0, small = (float(c[0]) for c in posterior(CHAIN, s, t))
    variance = small**0.75 * float(transition(CHAIN, s, t)[1][0]) ** 0.25
    p, q = stats.norm(of_x_0 * 0.1, variance**0.5), stats.norm(of_x_0 * 0.4, small**0.5)
    exact = q.expect(lambda x: q.logpdf(x) - p.logpdf(x)) / np.log(2)
    ours = step_bound(CHAIN, x_0, x_hat, jnp.full((1, 1), 0.25), s, t, 256)
    np.testing.assert_allclose(ours, exact, rtol=1e-3)


@pytest.mark.system
def test_the_hybrid_bound_is_the_mean_over_the_components_of_each_example():
    s, t = jnp.float32([0.5, 0.6, 0.7]), jnp.float32([0.51, 0.61, 0.71])
    x_0, x_hat = jnp.array([[0.4, 0.1], [0.2, 0.3], [-0.5, 0.0]]), jnp.zeros((3, 2))
    bound = lambda columns: step_bound(CHAIN, x_0[:, columns], x_hat[:, columns], jnp.full((3, 1), 0.25), s, t, 256)
    both = bound(slice(2))
    assert both.shape == (3,)
    np.testing.assert_allclose(both, (bound(slice(0, 1)) + bound(slice(1, 2))) / 2, rtol=1e-6)


@pytest.mark.statistical
def test_the_first_step_is_the_decoder():
    """Its log probability over all levels is a distribution."""
    levels = 9
    x_0, s = jnp.linspace(-1, 1, levels)[:, None], jnp.zeros(levels)
    bits = step_bound(CHAIN, x_0, jnp.full_like(x_0, 0.1), jnp.full_like(x_0, 0.5), s, s + 0.01, levels)
    np.testing.assert_allclose((2.0**-bits).sum(), 1, rtol=1e-4)


@pytest.mark.statistical
@pytest.mark.parametrize("steps", [1, 2, 100, 4000])
@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_what_is_trained_at_the_data_is_what_is_measured_there(steps, fraction):
    """The bound's decoder, in training and in evaluation, has one width, also where `fixed_small` is 0."""
    levels, t = 256, jnp.float32(1 / steps)
    x_0 = jnp.linspace(-1, 1, levels)[:, None]
    x_hat = x_0 + 0.5 * 2 / (levels - 1)
    trained = step_bound(
        CHAIN, x_0, x_hat, jnp.full_like(x_0, fraction), jnp.zeros(levels), jnp.full(levels, t), levels
    )
    decoder = discretized_decoder(levels, learned_range(lambda x_t, t: jnp.full_like(x_t, fraction)))
    measured = -decoder(CHAIN, lambda x_t, t: x_hat, x_0, x_0, t) / np.log(2)
    np.testing.assert_allclose(trained, measured, rtol=1e-4)
    assert trained.max() < 30


@pytest.mark.system
def test_the_variance_learns_what_is_best():
    """Gaussian data and its exact denoiser: gradient descent on the bound finds the width of the true reverse step."""
    std, s, t, n = 0.5, 0.5, 0.51, 40_000
    x_0 = std * jax.random.normal(jax.random.key(0), (n, 1))
    times = jnp.full(n, s), jnp.full(n, t)
    alpha, sigma = CHAIN.alpha(jnp.float32(t)), CHAIN.sigma(jnp.float32(t))
    x_t = alpha * x_0 + sigma * jax.random.normal(jax.random.key(1), (n, 1))
    x_hat = alpha * std**2 / ((alpha * std) ** 2 + sigma**2) * x_t
    fractions = jnp.linspace(0, 1, 101)
    cost = jax.lax.map(lambda f: step_bound(CHAIN, x_0, x_hat, jnp.full_like(x_0, f), *times, 256).mean(), fractions)
    best = float(fractions[jnp.argmin(cost)])
    _, of_x_0, small = (float(c) for c in posterior(CHAIN, jnp.float32(s), jnp.float32(t)))
    unsure = (std * float(sigma)) ** 2 / float((alpha * std) ** 2 + sigma**2)
    large = float(transition(CHAIN, jnp.float32(s), jnp.float32(t))[1])
    expected = np.log((small + of_x_0**2 * unsure) / small) / np.log(large / small)
    assert abs(best - expected) < 0.03


@pytest.mark.system
def test_one_network_pass_gives_mean_and_variance():
    """The two calls of a step are one after compilation: no more arithmetic than with a fixed variance."""
    weights = jax.random.normal(jax.random.key(0), (256, 512)) / 16

    def big(params, x, t, condition=None, key=None):
        return jnp.tanh(x @ params)

    eps = parameterization.eps()

    def flops(learned):
        def run(params, x):
            denoiser = make_denoiser(CHAIN, eps, mean_network(big), params)
            options = {"variance": learned_range(make_fraction(CHAIN, eps, big, params))} if learned else {}
            return sample(ancestral(CHAIN, denoiser, **options), jax.random.key(0), x, jnp.array([0.5, 0.4]))

        analysis = jax.jit(run).lower(weights, jnp.ones((64, 256))).compile().cost_analysis()
        return analysis["flops"]

    product = 2 * 64 * 256 * 512
    assert flops(True) - flops(False) < 0.6 * product  # a second pass over both halves would be one product more
