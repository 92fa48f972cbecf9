"""Posterior denoisers against those of Gaussians, which are known for any linear measurement."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import convolve

from jaxdiff import guidance, samplers
from jaxdiff.errors import InputError
from jaxdiff.gaussian import schedules
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.guidance import linear
from jaxdiff.guidance.ddrm import of_operator
from jaxdiff.modalities.images import operators
from jaxdiff.types import expand

CHAIN = schedules.vp()
TIMES = [0.05, 0.4, 0.95]
NOISE = 0.3


@pytest.fixture
def problem(rng, float64):
    """Five dimensions of data, three of measurement, for 20 examples."""
    A = rng.normal(size=(3, 5))
    x_t, y = rng.normal(size=(20, 5)), rng.normal(size=(20, 3))
    return A, lambda x: x @ A.T, jnp.asarray(x_t), jnp.asarray(y)


def gaussian(mean, std):
    return gaussian_mixture(CHAIN, np.ones(1), np.asarray(mean)[None], np.asarray(std)[None])


def posterior_mean(mean, std, A, x_t, y, t):
    alpha, sigma = float(CHAIN.alpha(jnp.float64(t))), float(CHAIN.sigma(jnp.float64(t)))
    precision = np.diag(1 / np.asarray(std) ** 2 + alpha**2 / sigma**2) + A.T @ A / NOISE**2
    seen = mean / np.asarray(std) ** 2 + alpha * x_t / sigma**2 + y @ A / NOISE**2
    return np.linalg.solve(precision, seen.T).T


@pytest.mark.system
@pytest.mark.parametrize("t", TIMES)
def test_moment_matching_is_exact_for_gaussians(problem, t):
    A, operator, x_t, y = problem
    mean, std = np.arange(5) / 5.0, np.linspace(0.3, 1.5, 5)
    denoise = guidance.moment_matching(CHAIN, gaussian(mean, std), operator, y, NOISE, iterations=3)
    np.testing.assert_allclose(denoise(x_t, t), posterior_mean(mean, std, A, x_t, y, t), atol=1e-8)


@pytest.mark.system
@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("method", [guidance.pigdm, guidance.ddnm])
def test_with_a_fixed_variance_they_are_exact_for_round_gaussians(problem, method, t):
    A, operator, x_t, y = problem
    mean, std = np.arange(5) / 5.0, np.full(5, 0.8)
    denoise = method(CHAIN, gaussian(mean, std), operator, y, NOISE, std=0.8, iterations=3)
    np.testing.assert_allclose(denoise(x_t, t), posterior_mean(mean, std, A, x_t, y, t), atol=1e-8)


@pytest.mark.system
@pytest.mark.parametrize("method", ["moment_matching", "pigdm", "ddnm"])
@pytest.mark.parametrize("shape", [(20,), (20, 5)], ids=["batch", "frames"])
def test_they_are_exact_where_examples_or_frames_have_times_of_their_own(problem, rng, method, shape):
    A, operator, x_t, y = problem
    mean, std = np.arange(5) / 5.0, 0.8
    t = jnp.asarray(rng.uniform(0.05, 0.95, shape))

    def denoiser(x, t):
        alpha, sigma = (expand(c(t), x) for c in (CHAIN.alpha, CHAIN.sigma))
        return mean + alpha * std**2 * (x - alpha * mean) / (alpha**2 * std**2 + sigma**2)

    own = {"iterations": 5} if method == "moment_matching" else {"iterations": 5, "std": std}
    restored = getattr(guidance, method)(CHAIN, denoiser, operator, y, NOISE, **own)(x_t, t)
    alpha, sigma = (np.broadcast_to(expand(c(t), x_t), x_t.shape) for c in (CHAIN.alpha, CHAIN.sigma))
    for i in range(20):
        precision = np.diag(1 / std**2 + alpha[i] ** 2 / sigma[i] ** 2) + A.T @ A / NOISE**2
        seen = mean / std**2 + alpha[i] * x_t[i] / sigma[i] ** 2 + y[i] @ A / NOISE**2
        np.testing.assert_allclose(restored[i], np.linalg.solve(precision, seen), atol=1e-8)


@pytest.mark.system
def test_without_noise_ddnm_agrees_with_the_measurement_and_leaves_the_rest(problem):
    A, operator, x_t, y = problem
    denoiser = gaussian(np.zeros(5), np.ones(5))
    x_0, restored = denoiser(x_t, 0.4), guidance.ddnm(CHAIN, denoiser, operator, y, iterations=3)(x_t, 0.4)
    np.testing.assert_allclose(operator(restored), y, atol=1e-8)
    np.testing.assert_allclose(restored - x_0, (y - operator(x_0)) @ np.linalg.pinv(A).T, atol=1e-8)


@pytest.mark.system
def test_dps_moves_by_the_gradient_of_the_distance(problem):
    A, operator, x_t, y = problem
    denoiser, sampler = gaussian(np.zeros(5), np.ones(5)), samplers.ddim(CHAIN, gaussian(np.zeros(5), np.ones(5)))
    key, t, s = jax.random.key(0), jnp.float64(0.5), jnp.float64(0.4)
    moved = guidance.dps(CHAIN, denoiser, sampler, operator, y, 0.7).step(key, sampler.init(x_t), t, s).x
    residual = y - operator(denoiser(x_t, t))
    slope = CHAIN.alpha(t)  # of x̂_0, for unit variance
    gradient = -slope * residual @ A / np.linalg.norm(residual, axis=1, keepdims=True)
    np.testing.assert_allclose(moved, sampler.step(key, sampler.init(x_t), t, s).x - 0.7 * gradient, atol=1e-9)


@pytest.mark.system
def test_an_example_that_is_solved_stays_and_others_go_on(problem):
    _, operator, x_t, y = problem
    denoiser = gaussian(np.zeros(5), np.ones(5))
    exact = operator(denoiser(x_t, 0.4))
    y = y.at[:10].set(exact[:10])
    restored = guidance.moment_matching(CHAIN, denoiser, operator, y, NOISE, iterations=30)(x_t, 0.4)
    np.testing.assert_allclose(restored[:10], denoiser(x_t, 0.4)[:10], atol=1e-10)
    assert np.isfinite(restored).all()
    step = guidance.dps(CHAIN, denoiser, samplers.ddim(CHAIN, denoiser), operator, exact).step
    assert np.isfinite(step(jax.random.key(0), samplers.State(x_t), jnp.float64(0.4), jnp.float64(0.3)).x).all()


@pytest.mark.system
def test_operators(rng):
    x = rng.normal(size=(2, 6, 8, 3))
    kernel = rng.uniform(size=(3, 5))[:, :3]
    blurred = operators.blurred(jnp.asarray(kernel))(jnp.asarray(x, jnp.float32))
    for n in range(2):
        for c in range(3):
            expected = convolve(x[n, ..., c], kernel, mode="mirror")
            np.testing.assert_allclose(blurred[n, ..., c], expected, atol=1e-5)
    np.testing.assert_allclose(operators.downsampled(2)(x)[1, 2, 3, 1], x[1, 4:6, 6:8, 1].mean())
    np.testing.assert_allclose(operators.grey()(x)[..., 0], x.mean(-1))
    np.testing.assert_allclose(operators.masked(np.arange(3) > 0)(x)[..., 0], 0)


COLORED = schedules.interpolant(
    CHAIN.alpha, CHAIN.sigma, lambda key, x: jnp.cumsum(jax.random.normal(key, x.shape), -1)
)


@pytest.mark.parametrize("name", ["moment_matching", "pigdm", "ddnm", "dps", "ddrm"])
def test_other_noise_is_refused_where_the_formula_takes_it_to_be_white(name):
    operator, denoiser, y = lambda x: x[:, :1], lambda x, t: x, jnp.ones((1, 1))
    calls = {
        "dps": lambda p: guidance.dps(p, denoiser, samplers.ddim(p, denoiser), operator, y),
        "ddrm": lambda p: guidance.ddrm(p, denoiser, of_operator(operator, (2,)), y, NOISE),
    }
    make = calls.get(name, lambda p: getattr(guidance, name)(p, denoiser, operator, y, NOISE))
    make(CHAIN)
    with pytest.raises(InputError, match="is that of normal noise, and this process has another"):
        make(COLORED)


@pytest.mark.system
def test_moment_matching_has_its_limit_where_alpha_is_0(float64):
    """Of correlated data, one coordinate measured: the other is known by it at t = 1 as well as just before."""
    path, C = schedules.flow(), jnp.array([[1.0, 0.9], [0.9, 1.0]])

    def denoiser(x, t):
        alpha, sigma = path.alpha(t), path.sigma(t)
        return alpha * x @ jnp.linalg.inv(alpha**2 * C + sigma**2 * jnp.eye(2)) @ C

    guided = guidance.moment_matching(path, denoiser, lambda x: x[:, :1], jnp.full((1, 1), 1.5), 0.1)
    x = jnp.array([[0.3, -0.4]])
    at_1 = guided(x, jnp.float64(1))
    np.testing.assert_allclose(at_1, guided(x, jnp.float64(0.9999)), atol=1e-2)
    np.testing.assert_allclose(at_1, 1.5 / 1.01 * C[:1], atol=1e-2)


def test_a_chain_begins_at_the_measurement(problem):
    A, operator, x_1, y = problem
    t = jnp.float64(0.7)
    told = y @ np.linalg.solve(A @ A.T + NOISE**2 * np.eye(3), A)  # E[x_0 | y] of N(0, I)
    begun = linear.begin(CHAIN, x_1, operator, y, NOISE, t)
    np.testing.assert_allclose(begun, CHAIN.alpha(t) * told + x_1, atol=1e-8)
