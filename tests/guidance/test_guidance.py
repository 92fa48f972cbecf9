"""Guided denoisers against those of the densities that they stand for, which for Gaussians are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import guidance, samplers
from jaxdiff.gaussian import schedules
from jaxdiff.gaussian.denoiser import to_score
from jaxdiff.gaussian.mixture import gaussian_mixture, mixture_log_density
from tests.helpers import oracle

CHAIN = schedules.vp()
TIMES = [0.1, 0.5, 0.9]
WEIGHTS, MEANS, STDS = oracle.PLANE


def component(*chosen):
    return WEIGHTS[list(chosen)], MEANS[list(chosen)], STDS[list(chosen)]


def of(*chosen):
    return gaussian_mixture(CHAIN, *component(*chosen))


@pytest.fixture
def points(float64):
    return oracle.noised(CHAIN, 0, oracle.PLANE, 200, 0.5, jnp.float64)


def close(one, other, points, tolerance=1e-9):
    for t in TIMES:
        np.testing.assert_allclose(one(points, jnp.float64(t)), other(points, jnp.float64(t)), atol=tolerance)


@pytest.mark.system
@pytest.mark.parametrize("scale", [-0.5, 0.3, 2.5])
def test_the_guided_score_of_gaussians_is_the_score_of_the_product(points, scale):
    """N(m, s)^w N(n, u)^(1 - w) is a Gaussian, of precision w / s² + (1 - w) / u²."""
    for t in TIMES:
        alpha, sigma = CHAIN.alpha(t), CHAIN.sigma(t)
        (m, n), (s, u) = alpha * MEANS[:2], jnp.hypot(alpha * STDS[:2], sigma)
        guided = to_score(CHAIN, guidance.classifier_free(of(0), of(1), scale))(points, jnp.float64(t))
        precision = scale / s**2 + (1 - scale) / u**2
        mean = (scale * m / s**2 + (1 - scale) * n / u**2) / precision
        np.testing.assert_allclose(guided, -precision * (points - mean), atol=1e-8)


@pytest.mark.system
def test_at_scale_one_and_zero_nothing_is_changed_bit_for_bit(rng):
    x = jnp.asarray(rng.normal(size=(50, 2)), jnp.float32)
    for scale, expected in ((1.0, of(0)), (0.0, of(1, 2))):
        denoise = jax.jit(lambda x, t, w: guidance.classifier_free(of(0), of(1, 2), w)(x, t))
        np.testing.assert_array_equal(denoise(x, 0.4, scale), jax.jit(expected)(x, 0.4))


@pytest.mark.system
def test_rescaled_fully_the_spread_is_the_conditional_ones(points):
    for rescale, expected in ((1.0, of(0)), (0.0, guidance.classifier_free(of(0), of(1), 3.0))):
        x_0 = guidance.classifier_free(of(0), of(1), 3.0, rescale)(points, 0.5)
        np.testing.assert_allclose(jnp.std(x_0, 1), jnp.std(expected(points, 0.5), 1), rtol=1e-9)


@pytest.mark.system
def test_an_exact_classifier_gives_the_conditional_model(points):
    joint, alone = mixture_log_density(CHAIN, *oracle.PLANE), mixture_log_density(CHAIN, *component(2))
    posterior = lambda x, t: alone(x, t) - joint(x, t)
    close(guidance.by_density(CHAIN, of(0, 1, 2), posterior), of(2), points)
    close(guidance.by_density(CHAIN, of(0, 1, 2), posterior, 0.0), of(0, 1, 2), points)


@pytest.mark.system
def test_pure_noise_is_guided_by_the_limit(points):
    """At alpha = 0: the mean of the class that a classifier asks for; E[x_0] - 2 s² (E[x_0] - aim) for an energy."""
    chain, aim = schedules.flow(), np.array([0.3, -0.2])
    known = lambda *chosen: gaussian_mixture(chain, *component(*chosen))
    joint, alone = (mixture_log_density(chain, *component(*c)) for c in ((0, 1, 2), (2,)))
    of_class = guidance.by_density(chain, known(0, 1, 2), lambda x, t: alone(x, t) - joint(x, t))
    np.testing.assert_allclose(of_class(points, 1.0), np.tile(MEANS[2], (200, 1)), atol=1e-3)
    lowered = guidance.by_energy(chain, known(0), lambda x: jnp.sum((x - aim) ** 2, 1))
    expected = MEANS[0] - 2 * STDS[0] ** 2 * (MEANS[0] - aim)
    np.testing.assert_allclose(lowered(points, 1.0), np.tile(expected, (200, 1)), atol=1e-3)


@pytest.mark.system
def test_an_energy_moves_by_its_gradient_through_the_denoiser(points):
    """Of N(m, s), x̂_0 is linear in x_t with slope alpha s² / (alpha² s² + sigma²)."""
    aim, scale = np.array([0.3, -0.2]), 0.7
    guided = guidance.by_energy(CHAIN, of(0), lambda x: jnp.sum((x - aim) ** 2, 1), scale)
    for t in TIMES:
        alpha, sigma, x_0 = CHAIN.alpha(t), CHAIN.sigma(t), of(0)(points, t)
        variance = (sigma * STDS[0]) ** 2 / ((alpha * STDS[0]) ** 2 + sigma**2)
        np.testing.assert_allclose(guided(points, t), x_0 - scale * variance * 2 * (x_0 - aim), atol=1e-9)


@pytest.mark.system
def test_independent_conditions_together_are_the_one_that_knows_both(points):
    """Of two coordinates, each known by one condition alone."""
    wide, narrow = np.array([1.5, 1.5]), np.array([0.2, 0.3])
    gaussian = lambda m, s: gaussian_mixture(CHAIN, np.ones(1), np.array([m]), np.array([s]))
    anything = gaussian([0.0, 0.0], wide)
    first, second = gaussian([1.0, 0.0], [narrow[0], 1.5]), gaussian([0.0, -1.0], [1.5, narrow[1]])
    both = gaussian([1.0, -1.0], narrow)
    close(guidance.all_of(anything, [first, second], [1.0, 1.0]), both, points)
    close(guidance.all_of(anything, [both, second], [1.0, -1.0]), first, points)
    close(guidance.all_of(anything, [first], [2.0]), guidance.classifier_free(first, anything, 2.0), points)


@pytest.mark.system
def test_one_or_the_other_is_the_mixture(points):
    densities = [mixture_log_density(CHAIN, *component(i)) for i in (0, 2)]
    log_weights = np.log(WEIGHTS[[0, 2]])
    either = lambda x, t: jnp.stack([d(x, t) for d in densities], 1) + log_weights
    close(guidance.any_of([of(0), of(2)], either), of(0, 2), points)


@pytest.mark.system
def test_guidance_within_an_interval_of_noise_levels(points):
    levels = {t: float(CHAIN.sigma(t) / CHAIN.alpha(t)) for t in TIMES}
    guided = guidance.within(CHAIN, of(0), of(1), levels[0.1] * 1.01, levels[0.9] * 0.99)
    many = jnp.asarray(TIMES)[jnp.arange(200) % 3]
    for t, expected in zip(TIMES, (of(1), of(0), of(1)), strict=True):
        np.testing.assert_allclose(guided(points, t), expected(points, t))
        chosen = many == t
        np.testing.assert_allclose(guided(points, many)[chosen], expected(points, many)[chosen])


@pytest.mark.system
def test_the_interval_holds_both_of_its_ends(points):
    """On a path where sigma / alpha is a time: from 0.25 to 0.5 of 80, and nothing but a step of floats further."""
    chain, inside, outside = schedules.edm(), (lambda x, t: x + 1), (lambda x, t: x - 1)
    guided = guidance.within(chain, inside, outside, 20.0, 40.0)
    t = np.array([0.25, 0.5, 0.375, np.nextafter(0.25, 0), np.nextafter(0.5, 1), 0.0, 1.0])
    chosen = np.array([1, 1, 1, -1, -1, -1, -1])
    np.testing.assert_array_equal(guided(jnp.zeros((7, 2)), jnp.asarray(t))[:, 0], chosen)
    np.testing.assert_array_equal([guided(jnp.zeros((1, 2)), time)[0, 0] for time in t], chosen)


def test_an_interval_without_end_reaches_where_alpha_is_0(points):
    flow = schedules.flow()
    guided = guidance.within(flow, of(0), of(1), 0.0, jnp.inf)
    assert flow.alpha(1.0) == 0
    np.testing.assert_allclose(guided(points, 1.0), of(0)(points, 1.0), rtol=1e-12)
    np.testing.assert_allclose(guidance.within(flow, of(0), of(1), 0.0, 9.0)(points, 1.0), of(1)(points, 1.0), 1e-12)


def test_cfg_pp_is_ddim_at_its_ends_and_has_no_other_noise(points):
    t, s, key = jnp.float64(0.6), jnp.float64(0.4), jax.random.key(0)
    ddim = lambda d: samplers.ddim(CHAIN, d).step(key, samplers.State(points), t, s).x
    pp = lambda w: guidance.cfg_pp(CHAIN, of(0), of(1), w).step(key, samplers.State(points), t, s).x
    np.testing.assert_allclose(pp(0.0), ddim(of(1)), atol=1e-12)
    eps = (points - CHAIN.alpha(t) * of(1)(points, t)) / CHAIN.sigma(t)
    expected = CHAIN.alpha(s) * of(0)(points, t) + CHAIN.sigma(s) * eps
    np.testing.assert_allclose(pp(1.0), expected, atol=1e-12)


@pytest.mark.parametrize("scale", [0.3, 1.7])
def test_cfg_pp_in_between(points, scale):
    """Equation 10 of Chung et al.: the guided x̂_0, the unconditional eps."""
    t, s = jnp.float64(0.6), jnp.float64(0.4)
    (at, st), (as_, ss) = (
        (np.sqrt(1 - b), np.sqrt(b)) for b in (1 - np.exp(-0.1 * u - 9.95 * u**2) for u in (0.6, 0.4))
    )
    ours = guidance.cfg_pp(CHAIN, of(0), of(1), scale).step(jax.random.key(0), samplers.State(points), t, s).x
    eps = (points - at * of(1)(points, t)) / st
    expected = as_ * (of(1)(points, t) + scale * (of(0)(points, t) - of(1)(points, t))) + ss * eps
    np.testing.assert_allclose(ours, expected, atol=1e-12)


@pytest.mark.system
def test_what_is_flat_has_no_spread_to_bring_back():
    """Images of one value each, and examples of one number: guided, and left so."""
    for shape in ((4, 8, 8, 1), (4, 1)):
        flat = lambda value, shape=shape: lambda x_t, t: jnp.broadcast_to(jnp.float32(value), shape)
        guided = guidance.classifier_free(flat(0.3), flat(0.1), 3.0, 1.0)(jnp.zeros(shape), 0.5)
        np.testing.assert_allclose(guided, 0.7, rtol=1e-5)


def test_rescaled_by_a_share(points):
    """Lin et al.: factor phi std_c / std + 1 - phi, for each example of its own."""
    towards, away = of(0)(points, 0.5), of(1)(points, 0.5)
    guided = away + 3.0 * (towards - away)
    factor = 0.7 * np.std(towards, axis=1) / np.std(guided, axis=1) + 0.3
    ours = guidance.classifier_free(of(0), of(1), 3.0, 0.7)(points, 0.5)
    np.testing.assert_allclose(ours, guided * factor[:, None], rtol=1e-9)
