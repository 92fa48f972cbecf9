import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxdiff.errors import InputError
from jaxdiff.gaussian import grids, parameterization
from jaxdiff.gaussian.denoiser import check_levels, clip, dynamic_threshold, make_denoiser
from jaxdiff.gaussian.mixture import gaussian_mixture, mixture_log_density
from jaxdiff.gaussian.parameterization import target
from jaxdiff.gaussian.process import perturb
from jaxdiff.gaussian.schedules import edm, ncsn, ve, vp

WEIGHTS = jnp.array([1.0, 2.0, 3.0])
MEANS = jnp.array([[-1.0, 0.5], [2.0, 0.0], [0.0, -1.5]])
STDS = jnp.array([[0.3, 0.1], [0.2, 0.6], [0.5, 0.5]])


@pytest.mark.system
def test_mixture_is_the_posterior_mean_by_quadrature(any_process, float64):
    """E[x_0 | x_t], integrated numerically over a fine grid of x_0: independent of the formula."""
    weights, means, stds = (jnp.asarray(a, jnp.float64) for a in (WEIGHTS, MEANS, STDS))
    axis = np.linspace(-5, 5, 1201)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    weights_n = np.asarray(WEIGHTS) / 6
    density = sum(
        w * np.exp(-(((points - m) / s) ** 2).sum(-1) / 2) / np.prod(s)
        for w, m, s in zip(weights_n, np.asarray(MEANS, np.float64), np.asarray(STDS, np.float64), strict=True)
    )
    x_t, t = np.array([[0.3, -0.7]]), jnp.array(0.35)
    alpha, sigma = float(any_process.alpha(t)), float(any_process.sigma(t))
    joint = density * np.exp(-((x_t - alpha * points) ** 2).sum(-1) / (2 * sigma**2))
    expected = (joint[:, None] * points).sum(0) / joint.sum()
    denoiser = gaussian_mixture(any_process, weights, means, stds)
    np.testing.assert_allclose(denoiser(jnp.asarray(x_t), t)[0], expected, rtol=1e-6)


@pytest.mark.system
def test_mixture_obeys_tweedie(any_process, float64):
    """x̂_0 = (x_t + sigma² ∇ log q(x_t)) / alpha, with the gradient by automatic differentiation; t for each example."""
    mixture = [jnp.asarray(a, jnp.float64) for a in (WEIGHTS, MEANS, STDS)]
    x_t, t = jnp.array([[0.3, -0.7], [1.0, 1.0]]), jnp.array([0.2, 0.7])
    score = jax.grad(lambda x: mixture_log_density(any_process, *mixture)(x, t).sum())(x_t)
    alpha, sigma = any_process.alpha(t)[:, None], any_process.sigma(t)[:, None]
    expected = (x_t + sigma**2 * score) / alpha
    np.testing.assert_allclose(gaussian_mixture(any_process, *mixture)(x_t, t), expected, rtol=1e-9)


@pytest.mark.system
def test_round_components_and_images(any_process):
    """One std a component, examples of any shape; a single Gaussian's denoiser is linear."""
    mean = jnp.full((1, 4, 4, 1), 0.5)
    denoiser = gaussian_mixture(any_process, jnp.ones(1), mean, jnp.full((1, 1, 1, 1), 0.2))
    x_t, t = jax.random.normal(jax.random.key(0), (3, 4, 4, 1)), jnp.array(0.5)
    alpha, sigma = any_process.alpha(t), any_process.sigma(t)
    expected = 0.5 + alpha * 0.04 / (alpha**2 * 0.04 + sigma**2) * (x_t - alpha * 0.5)
    np.testing.assert_allclose(denoiser(x_t, t), expected, rtol=1e-5)


@pytest.mark.system
@pytest.mark.parametrize("name", ["eps", "x0", "v", "score", "velocity", "edm"])
def test_a_network_that_gives_the_target_denoises_exactly(name, any_process, rng):
    x_0, eps = (jnp.asarray(rng.normal(size=(3, 2)), jnp.float32) for _ in range(2))
    meaning, t = getattr(parameterization, name)(), jnp.float32(0.4)
    x_t = any_process.alpha(t) * x_0 + any_process.sigma(t) * eps
    seen = {}

    def network(params, x, time, condition=None, key=None):
        seen.update(params=params, x=x, time=time, condition=condition, key=key)
        return target(any_process, meaning, x_0, eps, jnp.full(3, t))

    denoiser = make_denoiser(any_process, meaning, network, "params", "condition")
    np.testing.assert_allclose(denoiser(x_t, t), x_0, atol=2e-5)
    assert (seen["params"], seen["condition"], seen["key"]) == ("params", "condition", None)
    assert seen["time"].shape == (3,)
    np.testing.assert_allclose(seen["x"], meaning.input_scale(any_process, t) * x_t, rtol=1e-6)


def test_clip():
    x = jnp.array([[-3.0, 0.5, 2.0]])
    np.testing.assert_array_equal(clip(1.0)(x), [[-1, 0.5, 1]])
    np.testing.assert_array_equal(clip(jnp.inf)(x), x)


@pytest.mark.system
def test_dynamic_threshold_is_imagens():
    x = jnp.array([[-4.0, 0.5, 2.0, 1.0], [-0.5, 0.1, 0.2, 0.0]])
    high = np.quantile([4.0, 0.5, 2.0, 1.0], 0.9)
    expected = np.stack([np.clip(x[0], -high, high) / high, x[1]])
    np.testing.assert_allclose(dynamic_threshold(0.9, 1.0)(x), expected, rtol=1e-6)


@pytest.mark.system
@pytest.mark.parametrize("name", ["eps", "v", "edm"])
def test_frames_may_have_times_of_their_own(any_process, name):
    """Frames noised and denoised together, each at its time, are as each of them alone."""
    made = getattr(parameterization, name)()
    network = lambda params, x, t, condition=None, key=None: jnp.tanh(x) * t.reshape(t.shape + (1,) * (x.ndim - t.ndim))
    x_0 = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    t = jnp.array([[0.1, 0.4, 0.9], [0.8, 0.2, 0.5]])
    plain = any_process._replace(noise=lambda key, x: jnp.ones_like(x))
    x_t, _ = perturb(plain, jax.random.key(1), x_0, t)
    alone, _ = perturb(plain, jax.random.key(1), x_0.reshape(6, 4, 5), t.reshape(6))
    np.testing.assert_allclose(x_t.reshape(6, 4, 5), alone, rtol=1e-5, atol=1e-6)
    denoise = make_denoiser(any_process, made, network, {})
    np.testing.assert_allclose(denoise(x_t, t).reshape(6, 4, 5), denoise(alone, t.reshape(6)), rtol=1e-4, atol=1e-6)


@pytest.mark.system
def test_the_density_of_a_mixture_is_scipys(any_process, float64):
    x_t, t = np.array([[0.3, -0.7], [1.0, 1.0]]), jnp.float64(0.35)
    alpha, sigma = float(any_process.alpha(t)), float(any_process.sigma(t))
    mixture = [np.asarray(a, np.float64) for a in (WEIGHTS, MEANS, STDS)]
    parts = [
        w / 6 * scipy.stats.norm(alpha * m, np.hypot(alpha * s, sigma)).pdf(x_t).prod(1)
        for w, m, s in zip(*mixture, strict=True)
    ]
    found = mixture_log_density(any_process, *map(jnp.asarray, mixture))(jnp.asarray(x_t), t)
    np.testing.assert_allclose(found, np.log(sum(parts)), rtol=1e-9)


def test_levels_that_a_model_does_not_have_are_refused():
    times = grids.uniform(10)[:-1]
    with pytest.raises(InputError, match="the net: knows noise levels .* from 0 to 1, and the way .* to 152.2: choose"):
        check_levels("the net", ncsn(10, 0.01, 1.0), vp(), times)
    with pytest.raises(InputError, match="from 0.5 to 50, and the way of sampling has some from 0.34"):
        check_levels("the net", ve(0.5, 50.0), vp(), times[5:])
    check_levels("the net", ve(0.3, 50.0), vp(), times[5:])
    check_levels("the net", edm(30.0), vp(), times, enough=20)
