"""Losses and their gradients against closed forms, for Gaussian data and linear networks.

Such a loss is a quadratic form in x_0 and eps. So four pairs (±STD, ±1), whose second moments are those of Gaussian
data and noise, give its expectation to the last digit. The formulas are those of the papers, in NumPy.
"""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdiff.gaussian import parameterization, process, schedules
from jaxdiff.gaussian.noise import normal
from jaxdiff.likelihood import (
    continuous_bound,
    dequantize,
    discrete_bound,
    discretized_decoder,
    log_likelihood,
    normal_decoder,
    softmax_decoder,
)
from jaxdiff.losses import diffusion
from jaxdiff.losses import times as loss_times
from jaxdiff.losses import weights as loss_weights
from jaxdiff.losses.hybrid import hybrid_loss
from jaxdiff.losses.importance import History, importance_loss
from jaxdiff.losses.sliced import sliced_loss
from jaxdiff.samplers import fixed_large
from jaxdiff.types import Batch

STD, SLOPE, TIMES = 0.7, 0.4, np.array([0.2, 0.55, 0.9])
DATA, NOISE = np.array([STD, STD, -STD, -STD]), np.array([1.0, -1.0, 1.0, -1.0])


def vp_levels(t):
    alpha = np.exp(-0.5 * (0.1 * t + 0.5 * 19.9 * t**2))
    return alpha, np.sqrt(1 - alpha**2)


def vp(t):
    """alpha, sigma and their derivatives, from beta = 0.1 + 19.9 t."""
    alpha, sigma = vp_levels(t)
    slope = -0.5 * (0.1 + 19.9 * t) * alpha
    return alpha, sigma, slope, -alpha * slope / sigma


def edm(t):
    return np.ones_like(t), 80 * t, np.zeros_like(t), np.full_like(t, 80.0)


def flow(t):
    return 1 - t, t, -np.ones_like(t), np.ones_like(t)


PATHS = {"vp": vp, "edm": edm, "flow": flow}


def meanings(path, t):
    """(a, b) of the output a x_0 + b eps, the scale of the input, and what (1, 0) and (0, 1) are worth in eps."""
    alpha, sigma, d_alpha, d_sigma = path(t)
    one, zero, data = np.ones_like(t), np.zeros_like(t), 0.5
    skip, out = data**2 / (sigma**2 / alpha**2 + data**2), 1 / np.sqrt((alpha / sigma) ** 2 + 1 / data**2)
    coefficients = {
        "eps": (zero, one),
        "x0": (one, zero),
        "v": (-sigma, alpha),
        "score": (zero, -1 / sigma),
        "velocity": (d_alpha, d_sigma),
        # Of x_t / alpha, which has noise level sigma / alpha: (x_0 - c_skip x_t / alpha) / c_out.
        "edm": ((1 - skip) / out, -skip * sigma / alpha / out),
    }
    scales = dict.fromkeys(coefficients, one) | {"edm": 1 / np.sqrt(sigma**2 + (data * alpha) ** 2)}
    # At one x_t a change of x_0 by 1 is one of eps by -alpha / sigma: how far eps moves when the output moves by 1.
    of_eps = {name: 1 / (b - a * sigma / alpha) for name, (a, b) in coefficients.items()}
    return coefficients, scales, of_eps


def weights(path, t):
    """Factors on the squared error in eps."""
    alpha, sigma, d_alpha, d_sigma = path(t)
    snr, slope, level = (alpha / sigma) ** 2, 2 * (d_alpha / alpha - d_sigma / sigma), sigma / alpha
    return {
        "eps": np.ones_like(t),
        "elbo": -slope / 2,
        "likelihood": -slope,
        "min_snr": np.minimum(snr, 5) / snr,
        "p2": 1 / (1 + snr),
        "sigmoid": -slope / 2 / (1 + snr * np.exp(3)),
        "edm": (level**2 + 0.5**2) / (level * 0.5) ** 2 * level**2,
    }


@pytest.fixture
def given(monkeypatch):
    """`given(process, noise)`: the process with this noise, (batch,) or (batch, width), taken to be normal."""

    def replace(chain, noise):
        monkeypatch.setattr(process, "normal", lambda key, x: jnp.asarray(noise).reshape(len(x), -1))
        return chain._replace(noise=process.normal)

    return replace


def corners(path, given):
    """A process whose noise, and a batch and times, are the four pairs at each of the times."""
    chain = given(getattr(schedules, path)(), np.tile(NOISE, len(TIMES)))
    times = lambda process, key, n: jnp.repeat(jnp.asarray(TIMES), len(NOISE))
    return chain, times, Batch(jnp.tile(DATA, len(TIMES))[:, None])


def linear(params, x, t, condition=None, key=None):
    return params * x


DEFAULTS = {
    loss_weights.min_snr: {"gamma": 5.0},
    loss_weights.p2: {"k": 1.0, "gamma": 1.0},
    loss_weights.sigmoid: {"bias": -3.0},
    loss_weights.edm: {"sigma_data": 0.5},
    loss_weights.velocity: {"t_min": 0.0},
    loss_times.log_normal: {"mean": -1.2, "std": 1.2},
    loss_times.logit_normal: {"mean": 0.0, "std": 1.0, "t_min": 0.0},
    loss_times.uniform: {"t_min": 0.0, "steps": None},
    loss_times.stratified: {"t_min": 0.0, "steps": None},
    loss_times.antithetic: {"t_min": 0.0, "steps": None},
    importance_loss: {"steps": 1000, "keep": 10, "even": 1e-3},
    hybrid_loss: {"steps": 1000, "levels": 256, "bound_weight": 1e-3},
    parameterization.edm: {"sigma_data": 0.5},
    continuous_bound: {"t_min": 0.0, "draws": 1},
    log_likelihood: {"t_min": 1e-5, "trace": "hutchinson", "rtol": 1e-5, "atol": 1e-5},
}
"""EDM's P_mean, P_std and sigma_data, Min-SNR's 5, Improved DDPM's 10 losses and 0.001s, and the like."""


@pytest.mark.parametrize("function", DEFAULTS, ids=lambda f: f.__name__)
def test_published_constants_are_the_defaults(function):
    parameters = inspect.signature(function).parameters.values()
    assert {p.name: p.default for p in parameters if p.default is not p.empty} == DEFAULTS[function]


@pytest.mark.system
@pytest.mark.parametrize("path", PATHS)
def test_every_weight_and_output_has_the_published_loss_and_gradient(path, given, float64):
    chain, times, batch = corners(path, given)
    names = [(m, w) for m in meanings(vp, TIMES)[0] for w in ["simple", *weights(vp, TIMES)]]

    @jax.jit
    def ours(params):
        found = {}
        for m, w in names:
            meaning = getattr(parameterization, m)()
            found[m, w] = diffusion.diffusion_loss(chain, meaning, linear, getattr(loss_weights, w)(), times)(
                params, jax.random.key(0), batch
            )
        return {pair: value for pair, (value, _) in found.items()}, {m: found[m, "simple"][1]["mse"] for m, _ in names}

    (values, errors), slopes = ours(SLOPE), jax.jit(jax.jacfwd(lambda p: ours(p)[0]))(SLOPE)
    alpha, sigma, *_ = PATHS[path](TIMES)
    coefficients, scales, of_eps = meanings(PATHS[path], TIMES)
    for m, w in names:
        (a, b), scale = coefficients[m], scales[m]
        of_data, of_noise = SLOPE * scale * alpha - a, SLOPE * scale * sigma - b
        error = (of_data * STD) ** 2 + of_noise**2
        slope = 2 * scale * (of_data * alpha * STD**2 + of_noise * sigma)
        factor = 1 if w == "simple" else weights(PATHS[path], TIMES)[w] * of_eps[m] ** 2
        np.testing.assert_allclose(values[m, w], np.mean(factor * error), rtol=1e-8, err_msg=f"{m}, {w}")
        np.testing.assert_allclose(slopes[m, w], np.mean(factor * slope), rtol=1e-7, err_msg=f"{m}, {w}")
        np.testing.assert_allclose(errors[m], np.mean(error), rtol=1e-9, err_msg=m)


@pytest.mark.parametrize("path", ["flow", "vp"])
def test_the_clean_image_with_the_weight_of_the_velocity_is_the_velocity(path, given, float64):
    """Values and gradients, of one network: its x_0 weighted, or turned to a velocity."""
    chain, times, batch = corners(path, given)
    x0, velocity = parameterization.x0(), parameterization.velocity()

    def turned(params, x, t, condition=None, key=None):
        return parameterization.convert(chain, x0, velocity, linear(params, x, t), x, (t + 1) / 1000)

    def loss(meaning, network, weight):
        loss_fn = diffusion.diffusion_loss(chain, meaning, network, weight, times)
        return jax.jit(jax.value_and_grad(lambda params: loss_fn(params, jax.random.key(0), batch)[0]))(SLOPE)

    weighted = loss(x0, linear, loss_weights.velocity())
    np.testing.assert_allclose(weighted, loss(velocity, turned, loss_weights.simple()), rtol=1e-6)


def test_the_weight_of_the_velocity_is_bounded_below_a_time():
    t = jnp.array([0.01, 0.05, 0.5, 0.8])
    weight = loss_weights.velocity(0.05)(schedules.flow(), parameterization.x0(), t)
    np.testing.assert_allclose(weight, [400, 400, 4, 1.5625], rtol=1e-5)


@pytest.mark.system
@pytest.mark.parametrize(("name", "options"), [("min_snr", {"gamma": 0.5}), ("p2", {"k": 2.0, "gamma": 0.5})])
def test_weights_with_other_settings(name, options, float64):
    alpha, sigma, *_ = vp(TIMES)
    snr = (alpha / sigma) ** 2
    expected = {"min_snr": np.minimum(snr, 0.5) / snr, "p2": (2 + snr) ** -0.5}[name]
    ours = getattr(loss_weights, name)(**options)(schedules.vp(), parameterization.eps(), jnp.asarray(TIMES))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    biased = loss_weights.sigmoid(-1.0)(schedules.flow(), parameterization.eps(), jnp.array([0.3]))
    np.testing.assert_allclose(biased, 1 / (0.3 * 0.7) / (1 + np.exp(1) * (0.7 / 0.3) ** 2), rtol=1e-9)
    wide = loss_weights.edm(0.25)(schedules.flow(), parameterization.x0(), jnp.array([0.3]))
    np.testing.assert_allclose(wide, (0.3**2 / 0.7**2 + 0.25**2) / (0.3 / 0.7 * 0.25) ** 2, rtol=1e-9)


@pytest.mark.system
def test_times_run_from_t_min_to_1_and_chains_over_all_their_steps(float64):
    """Drawn from fixed numbers: u = 0 is t = 1, and u near 1 is t_min; of a chain the first and the last step."""
    u = jnp.array([0.0, 0.3, 1 - 1e-16])
    fixed = loss_times._uniform(lambda key, batch: u, 0.2, None)
    np.testing.assert_allclose(fixed(None, None, 3), [1, 0.76, 0.2], rtol=1e-12)
    chain = loss_times._uniform(lambda key, batch: jnp.append(u, 1.0), 0.0, 4)
    np.testing.assert_allclose(chain(None, None, 4), [0.25, 0.5, 1, 1], rtol=1e-12)
    np.testing.assert_array_equal(np.unique(loss_times.uniform(steps=1)(None, jax.random.key(0), 9)), [1])
    late = loss_times.logit_normal(0.0, 1.0, 0.4)(None, jax.random.key(0), 99)
    assert late.min() == 0.4
    assert late.max() > 0.8


def sliced_value(slope):
    """E[u · J u + s² / 2] sigma² of the score s = slope x, at the four pairs and all times."""
    alpha, sigma, *_ = vp(TIMES)
    variance = (alpha * STD) ** 2 + sigma**2
    return np.mean(sigma**2 * (slope + 0.5 * slope**2 * variance)), np.mean(sigma**2 * (1 + slope * variance))


@pytest.mark.system
def test_the_sliced_loss_of_gaussian_data(given, float64):
    """Of a linear score, and of a network for eps, whose score is -out / sigma."""
    chain, times, batch = corners("vp", given)
    found = jax.jit(jax.value_and_grad(sliced_loss(chain, parameterization.score(), linear, times), has_aux=True))
    (value, metrics), slope = found(-SLOPE, jax.random.key(0), batch)
    np.testing.assert_allclose((value, slope), sliced_value(-SLOPE), rtol=1e-9)
    np.testing.assert_allclose(metrics["sliced"], value, rtol=1e-12)
    alpha, sigma, *_ = vp(TIMES)
    value, _ = jax.jit(sliced_loss(chain, parameterization.eps(), linear, times))(SLOPE, jax.random.key(0), batch)
    expected = np.mean(-sigma * SLOPE + 0.5 * SLOPE**2 * ((alpha * STD) ** 2 + sigma**2))
    np.testing.assert_allclose(value, expected, rtol=1e-9)


@pytest.mark.system
def test_the_slices_of_the_sliced_loss_are_signs(given, float64):
    """Of s = A x the estimate is u · A u, whose mean over signs is the trace: here 1, with ±(A_12 + A_21) beside it."""
    chain = given(schedules.vp(), np.zeros(1))
    matrix = jnp.array([[0.4, 0.5], [0.1, 0.6]])
    network = lambda params, x, t, condition=None, key=None: x @ matrix.T
    loss_fn = sliced_loss(chain, parameterization.score(), network, lambda process, key, n: jnp.full(n, 0.5))
    one = lambda key: loss_fn(None, key, Batch(jnp.zeros((1, 2))))[0]
    found = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(0), 40))
    expected = schedules.vp().sigma(jnp.array(0.5)) ** 2 * np.array([0.4, 1.6]) / 2
    assert all(np.isclose(value, expected, rtol=1e-9).any() for value in found)
    assert {int(np.argmin(np.abs(value - expected))) for value in found} == {0, 1}


STEPS, LEVELS, UNSURE = 4, 5, 0.2


def hybrid_value(x_0, eps, t, slope, v):
    """(error, bound) of each component: L_simple, and T times KL or decoder in bits (Improved DDPM, section 3)."""
    alpha, sigma = vp_levels(t)
    x_t = alpha * x_0 + sigma * eps
    x_hat = (x_t - sigma * slope * x_t) / alpha

    def spreads(t):
        """of_x_0, beta-tilde and beta of the step that ends 1 / T below t."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = vp_levels(t), vp_levels(t - 1 / STEPS)
        beta = sigma_t**2 - (alpha_t / alpha_s) ** 2 * sigma_s**2
        return alpha_s * beta / sigma_t**2, beta * sigma_s**2 / sigma_t**2, beta

    f, bound = (v + 1) / 2, np.empty_like(t)
    for i, time in enumerate(t):
        of_x_0, small, large = spreads(time)
        if np.isclose(time, 1 / STEPS):
            std = np.sqrt(large**f * spreads(2 * time)[1] ** (1 - f))
            half, point = 1 / (LEVELS - 1), x_0[i]
            low = -np.inf if point < -1 + half else (point - half - x_hat[i]) / std
            high = np.inf if point > 1 - half else (point + half - x_hat[i]) / std
            bound[i] = -np.log(stats.norm.cdf(high) - stats.norm.cdf(low))
        else:
            variance = large**f * small ** (1 - f)
            ratio = small / variance
            bound[i] = 0.5 * (ratio - 1 - np.log(ratio) + (of_x_0 * (x_0[i] - x_hat[i])) ** 2 / variance)
    return (slope * x_t - eps) ** 2, STEPS * bound / np.log(2)


@pytest.mark.system
@pytest.mark.parametrize("weight", [1e-3, 0.5])
def test_the_hybrid_loss_and_its_gradient(weight, given, float64):
    """Value, and gradients: of the mean from L_simple alone, of the variance from the bound alone."""
    rng, seen = np.random.default_rng(0), []
    x_0, eps = rng.choice(np.linspace(-1, 1, LEVELS), (16, 2)), rng.normal(size=(16, 2))
    chain = given(schedules.vp(), eps)

    def network(params, x, t, condition=None, key=None):
        seen.append(jax.lax.stop_gradient(t))
        return jnp.concatenate([params["mean"] * x, params["v"] * jnp.ones_like(x)], axis=-1)

    options = {} if weight == 1e-3 else {"bound_weight": weight}
    loss_fn = hybrid_loss(chain, parameterization.eps(), network, STEPS, LEVELS, **options)

    def with_times(params):
        value, metrics = loss_fn(params, jax.random.key(2), Batch(jnp.asarray(x_0)))
        return value, (metrics, seen[-1])

    params = {"mean": SLOPE, "v": UNSURE}
    (value, (metrics, index)), slopes = jax.jit(jax.value_and_grad(with_times, has_aux=True))(params)
    t = (np.asarray(index) + 1) / 1000
    np.testing.assert_allclose(np.unique(np.round(t, 9)), np.arange(1, STEPS + 1) / STEPS, rtol=1e-9)
    parts = x_0.ravel(), eps.ravel(), np.repeat(t, 2)
    error, bound = hybrid_value(*parts, SLOPE, UNSURE)
    np.testing.assert_allclose(metrics["mse"], error.mean(), rtol=1e-9)
    np.testing.assert_allclose(metrics["bits_per_dim"], bound.mean(), rtol=1e-6)
    np.testing.assert_allclose(value, error.mean() + weight * bound.mean(), rtol=1e-6)
    of_mean = hybrid_value(*parts, SLOPE + 1e-6, UNSURE)[0].mean() - error.mean()
    of_v = hybrid_value(*parts, SLOPE, UNSURE + 1e-6)[1].mean() - bound.mean()
    np.testing.assert_allclose(slopes["mean"], of_mean / 1e-6, rtol=1e-4)
    np.testing.assert_allclose(slopes["v"], weight * of_v / 1e-6, rtol=1e-4)


@pytest.mark.system
def test_the_importance_sampled_loss_and_what_it_remembers(given, float64):
    """Loss / (T p) at times drawn with p ∝ sqrt(E[L²]), mixed with an even share (Nichol and Dhariwal, section 3.3)."""
    steps, n, even = 4, 4000, 0.1
    rng, seen = np.random.default_rng(1), []
    x_0, eps = rng.normal(size=n), rng.normal(size=n)
    history = History(jnp.asarray(rng.uniform(0.5, 3, (steps, 3)) * np.array([[1], [2], [4], [8]])), jnp.full(steps, 3))
    chain = given(schedules.vp(), eps)

    def network(params, x, t, condition=None, key=None):
        seen.append(jax.lax.stop_gradient(t))
        return params * x

    stateful = importance_loss(chain, parameterization.eps(), network, loss_weights.elbo(), steps, 3, even)

    def with_times(params):
        value, (metrics, after) = stateful.loss(params, history, jax.random.key(0), Batch(jnp.asarray(x_0)[:, None]))
        return value, (metrics, after, seen[-1])

    (value, (metrics, after, told)), slope = jax.jit(jax.value_and_grad(with_times, has_aux=True))(SLOPE)
    t = (np.asarray(told) + 1) / 1000
    index = np.round(t * steps).astype(int) - 1
    size = np.sqrt(np.mean(np.asarray(history.losses) ** 2, axis=1))
    p = (1 - even) * size / size.sum() + even / steps
    assert stats.chisquare(np.bincount(index, minlength=steps), n * p).pvalue > 0.01
    alpha, sigma, *_ = vp(t)
    x_t, weight = alpha * x_0 + sigma * eps, weights(vp, t)["elbo"]
    losses = weight * (SLOPE * x_t - eps) ** 2
    np.testing.assert_allclose(value, np.mean(losses / (steps * p[index])), rtol=1e-9)
    of_slope = weight * 2 * (SLOPE * x_t - eps) * x_t / (steps * p[index])
    np.testing.assert_allclose(slope, np.mean(of_slope), rtol=1e-9)
    np.testing.assert_allclose(metrics["mse"], np.mean((SLOPE * x_t - eps) ** 2), rtol=1e-9)
    np.testing.assert_array_equal(after.seen, 3 + np.bincount(index, minlength=steps))
    for i in range(steps):
        np.testing.assert_allclose(after.losses[i], losses[index == i][-3:], rtol=1e-9)
    # Whatever p is, the mean over it is the plain mean.
    np.testing.assert_allclose(np.sum(p * (1 / (steps * p)) * np.arange(4.0)), 1.5)


def bound_pieces(x_0, t_min, draws):
    """The continuous bound of a denoiser 0.4 x, in two dimensions, with all that it drew: (bound, [(x_t, t)])."""
    seen, key = [], jax.random.key(6)

    def denoiser(x, t):
        seen.append((np.asarray(x), np.asarray(t)))
        return SLOPE * x

    with jax.disable_jit():
        bound = continuous_bound(schedules.vp(), denoiser, key, x_0, normal_decoder(), t_min, draws)
    return bound, seen


@pytest.mark.system
@pytest.mark.parametrize("draws", [1, 3])
def test_the_continuous_bound_by_hand(draws, float64):
    """Stratified times over the batch and the draws, -lambda' / 2 |eps - eps_hat|² at each, and both ends."""
    t_min, n = 0.1, 5
    x_0 = jnp.asarray(np.random.default_rng(0).normal(size=(n, 2)))
    bound, seen = bound_pieces(x_0, t_min, draws)
    terms, places = [], []
    for i, (x_t, t) in enumerate(seen[:draws]):
        eps = normal(jax.random.split(jax.random.fold_in(jax.random.key(6), i))[1], x_0)
        alpha, sigma, d_alpha, d_sigma = (c[:, None] for c in vp(t))
        np.testing.assert_allclose(x_t, alpha * x_0 + sigma * eps, rtol=1e-9)
        gap = eps - (x_t - alpha * SLOPE * x_t) / sigma
        terms.append((1 - t_min) * ((d_sigma / sigma - d_alpha / alpha) * gap**2).sum(1))
        places.append((1 - t) / (1 - t_min))
    np.testing.assert_allclose(bound.diffusion, np.mean(terms, axis=0), rtol=1e-9)
    for i, u in enumerate(places):
        assert u.min() >= 0
        assert u.max() < 1
        np.testing.assert_allclose(np.diff(np.sort(u)), 1 / n, rtol=1e-9)
        start = jax.random.uniform(jax.random.split(jax.random.fold_in(jax.random.key(6), i))[0], dtype=x_0.dtype)
        np.testing.assert_allclose(u[0], (start + i / draws / n) % 1, rtol=1e-9)
    (x_t, t), (alpha, sigma) = seen[-1], vp_levels(t_min)
    assert t == t_min
    np.testing.assert_allclose(
        bound.reconstruction, -stats.norm.logpdf(x_0, SLOPE * x_t, sigma / alpha).sum(1), rtol=1e-9
    )
    alpha, sigma = vp_levels(1.0)
    expected = 0.5 * (sigma**2 - 1 - np.log(sigma**2) + (alpha * np.asarray(x_0)) ** 2).sum(1)
    np.testing.assert_allclose(bound.prior, expected, rtol=1e-6)
    np.testing.assert_allclose(bound.total(), bound.prior + bound.diffusion + bound.reconstruction, rtol=1e-12)


@pytest.mark.system
def test_the_discrete_bound_by_hand(float64):
    """Three steps with the larger variance, each with noise of its own."""
    chain, key, times = schedules.vp(), jax.random.key(8), np.array([0.7, 0.5, 0.3, 0.0])
    x_0 = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)))
    denoiser = lambda x, t: SLOPE * x
    bound = jax.jit(lambda x: discrete_bound(chain, denoiser, key, x, times, normal_decoder(), fixed_large))(x_0)
    for i, (t, s) in enumerate(itertools.pairwise(times[:-1])):
        (alpha, sigma), (alpha_s, sigma_s) = vp_levels(t), vp_levels(s)
        x_t = alpha * x_0 + sigma * normal(jax.random.fold_in(key, i), x_0)
        large = sigma**2 - (alpha / alpha_s * sigma_s) ** 2
        ratio, gap = (sigma_s / sigma) ** 2, alpha_s * large / sigma**2 * (x_0 - SLOPE * x_t)
        expected = 0.5 * (ratio - 1 - np.log(ratio) + gap**2 / large).sum(1)
        np.testing.assert_allclose(bound.diffusion[i], expected, rtol=1e-9)
    alpha, sigma = vp_levels(0.3)
    x_t = alpha * x_0 + sigma * normal(jax.random.fold_in(key, 2), x_0)
    expected = -stats.norm.logpdf(x_0, SLOPE * x_t, sigma / alpha).sum(1)
    np.testing.assert_allclose(bound.reconstruction, expected, rtol=1e-9)
    alpha, sigma = vp_levels(0.7)
    expected = 0.5 * (sigma**2 - 1 - np.log(sigma**2) + (alpha * np.asarray(x_0)) ** 2).sum(1)
    np.testing.assert_allclose(bound.prior, expected, rtol=1e-9)
    total = bound.prior + bound.diffusion.sum(0) + bound.reconstruction
    np.testing.assert_allclose(bound.total(), total, rtol=1e-12)


@pytest.mark.system
def test_decoders_by_hand(float64):
    """Of levels -1, -0.5 ... 1: shares of normal densities or of a normal cut into bins, over all components."""
    chain, t, levels = schedules.vp(), jnp.array(0.1), np.linspace(-1, 1, LEVELS)
    x_0, x_t = np.array([[-1.0, 0.5], [1.0, 0.0]]), np.array([[-0.8, 0.4], [0.9, 0.2]])
    alpha, sigma = vp_levels(0.1)
    density = stats.norm.pdf(x_t[..., None], alpha * levels, sigma)
    chosen = stats.norm.pdf(x_t, alpha * x_0, sigma)
    denoiser = lambda x, t: SLOPE * x
    decode = lambda decoder, x_0, x_t: jax.jit(lambda x_0, x_t: decoder(chain, denoiser, x_0, x_t, t))(x_0, x_t)
    ours = decode(softmax_decoder(LEVELS), x_0, x_t)
    np.testing.assert_allclose(ours, np.log(chosen / density.sum(-1)).sum(1), rtol=1e-9)

    def binned(std):
        low = np.where(x_0 == -1, -np.inf, x_0 - 0.25)
        high = np.where(x_0 == 1, np.inf, x_0 + 0.25)
        cut = stats.norm(SLOPE * x_t, std)
        return np.log(cut.cdf(high) - cut.cdf(low)).sum(1)

    of_data = lambda process, x, s, t: process.sigma(t) ** 2 * (1 + s)
    for variance, std in ((None, sigma / alpha), (of_data, sigma)):
        ours = decode(discretized_decoder(LEVELS, variance), x_0, x_t)
        np.testing.assert_allclose(ours, binned(std), rtol=1e-8)
    values = np.linspace(-1, 1, 256)
    density = stats.norm.pdf(0.3, alpha * values, sigma)
    ours = decode(softmax_decoder(), values[None, :1], np.full((1, 1), 0.3))
    np.testing.assert_allclose(ours, np.log(density[0] / density.sum()), rtol=1e-8)
    ours = decode(discretized_decoder(), values[None, 9:10], np.full((1, 1), -2.0))
    cut = stats.norm(-2.0 * SLOPE, sigma / alpha)
    expected = np.log(cut.cdf(values[9] + 1 / 255) - cut.cdf(values[9] - 1 / 255))
    np.testing.assert_allclose(ours, expected, rtol=1e-8)


@pytest.mark.system
@pytest.mark.parametrize("trace", ["hutchinson", "exact"])
def test_the_flow_of_a_gaussian_by_hand(trace, float64):
    """Data N(0, diag(spread²)): x_i / std_i is constant along the flow; its Jacobian is diagonal, so signs suffice."""
    chain, spread, t_min, x = schedules.vp(), np.array([0.3, 2.0]), 0.1, np.array([[0.2, -1.0], [0.7, 3.0]])

    def std(t):
        alpha, sigma = vp_levels(t)
        return np.sqrt((alpha * spread) ** 2 + sigma**2)

    def denoiser(x, t):
        alpha, sigma = chain.alpha(t), chain.sigma(t)
        return alpha * spread**2 / ((alpha * spread) ** 2 + sigma**2) * x

    ours = log_likelihood(chain, denoiser, jax.random.key(0), jnp.asarray(x), t_min, trace, 1e-8, 1e-8)
    ratio = std(1.0) / std(t_min)
    np.testing.assert_allclose(ours, stats.norm.logpdf(x * ratio).sum(1) + np.log(ratio).sum(), rtol=1e-5)


def test_dequantized_levels_by_hand(float64):
    """Within half a level on either side, evenly."""
    x = jnp.zeros(2000)
    for levels, ours in ((256, dequantize(jax.random.key(1), x)), (5, dequantize(jax.random.key(1), x, 5))):
        u = np.asarray(ours) * (levels - 1) / 2
        assert stats.kstest(u, stats.uniform(-0.5, 1).cdf).pvalue > 0.01
