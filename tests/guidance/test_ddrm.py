"""DDRM against its equations, written for one coordinate, and against what Kawar et al. prove of its marginals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import guidance, samplers
from jaxdiff.gaussian import process, schedules
from jaxdiff.guidance.ddrm import begin, of_mask, of_operator
from jaxdiff.modalities.images import operators

CHAIN = schedules.vp()
NOISE, ETA, ETA_B = 0.3, 0.85, 0.9
KERNEL = np.outer([1, 3, 1], [1, 4, 2]) / 35
OPERATORS = {
    "blur": (lambda x: operators.blurred(jnp.asarray(KERNEL))(x), (0, 1)),
    "downsample": (operators.downsampled(2), (0, 1)),
    "grey": (operators.grey(), (2,)),
    "blur, as any": (lambda x: operators.blurred(jnp.asarray(KERNEL))(x), None),
    "projections": (lambda x: x.reshape(len(x), -1) @ jnp.sin(jnp.arange(144.0 * 5)).reshape(144, 5), None),
    "more than there are": (lambda x: x.reshape(len(x), -1) @ jnp.sin(jnp.arange(144.0 * 200)).reshape(144, 200), None),
}


@pytest.fixture
def problem(rng, float64):
    """Three measurements of five numbers: of one that is exact enough at both times, one at none, and one between."""
    V = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    A = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ np.diag([3.0, 0.6, 0.05]) @ V[:3]
    return A, of_operator(lambda x: x @ A.T, (5,))


@pytest.mark.system
@pytest.mark.parametrize("name", OPERATORS)
def test_a_spectrum_is_the_operator_turned(name, rng, float64):
    operator, mixed = OPERATORS[name]
    spectrum = of_operator(operator, (6, 8, 3), mixed)
    x = jnp.asarray(rng.normal(size=(2, 6, 8, 3)))
    rows = spectrum.turn(x)
    np.testing.assert_allclose(spectrum.back(rows), x, atol=1e-12)
    np.testing.assert_allclose(np.sum(rows**2), np.sum(x**2))
    np.testing.assert_allclose(spectrum.measured(operator(x)), spectrum.values * rows, atol=1e-10)
    assert (spectrum.values >= 0).all()


def test_the_spectrum_of_a_mask_is_that_of_its_operator(rng):
    mask = jnp.asarray(rng.integers(0, 2, (2, 4, 5, 1)), jnp.float32)
    x, spectrum = jnp.asarray(rng.normal(size=mask.shape), jnp.float32), of_mask(mask)
    np.testing.assert_array_equal(spectrum.back(spectrum.turn(x)), x)
    np.testing.assert_array_equal(spectrum.measured(operators.masked(mask)(x)), spectrum.values * spectrum.turn(x))


def by_the_paper(A, x_t, x_0, y, z, r_t, r_s):
    """One step of equation 8 for a single example at its own scale, x_t = x_0 + r_t eps."""
    U, S, Vt = np.linalg.svd(A)
    S = np.append(S, np.zeros(Vt.shape[0] - len(S)))
    bar_t, bar_0, bar_y, bar_z = Vt @ x_t, Vt @ x_0, np.append(U.T @ y, np.zeros(Vt.shape[0] - len(U))), Vt @ z
    out = np.empty_like(bar_0)
    for i, value in enumerate(S):
        if value == 0:
            mean, std = bar_0[i] + np.sqrt(1 - ETA**2) * r_s * (bar_t[i] - bar_0[i]) / r_t, ETA * r_s
        elif r_s < NOISE / value:
            told = (bar_y[i] / value - bar_0[i]) / (NOISE / value)
            mean, std = bar_0[i] + np.sqrt(1 - ETA**2) * r_s * told, ETA * r_s
        else:
            mean = (1 - ETA_B) * bar_0[i] + ETA_B * bar_y[i] / value
            std = np.sqrt(r_s**2 - NOISE**2 / value**2 * ETA_B**2)
        out[i] = mean + std * bar_z[i]
    return Vt.T @ out


@pytest.mark.system
def test_a_step_is_that_of_the_paper(problem, rng):
    A, spectrum = problem
    x_t, x_0, y = (jnp.asarray(rng.normal(size=(4, n))) for n in (5, 5, 3))
    sampler = guidance.ddrm(CHAIN, lambda x, t: x_0, spectrum, y, NOISE, ETA, ETA_B)
    key, t, s = jax.random.key(0), jnp.float64(0.6), jnp.float64(0.3)
    r_t, r_s = (float(CHAIN.sigma(time) / CHAIN.alpha(time)) for time in (t, s))
    assert NOISE / 3.0 < r_s < NOISE / 0.05
    z = CHAIN.noise(key, x_t)
    found = sampler.step(key, sampler.init(x_t), t, s).x / CHAIN.alpha(s)
    for i in range(4):
        expected = by_the_paper(A, x_t[i] / CHAIN.alpha(t), x_0[i], y[i], z[i], r_t, r_s)
        np.testing.assert_allclose(found[i], expected, atol=1e-9)


@pytest.mark.system
def test_with_the_true_image_the_noise_is_that_of_the_time(problem, rng):
    """Proposition 3.1 of Kawar et al., over the noise of y and of the chain; each bound is six deviations."""
    A, spectrum = problem
    n, x_0 = 40_000, jnp.asarray(rng.normal(size=5))
    y = A @ x_0 + NOISE * rng.normal(size=(n, 3))
    sampler = guidance.ddrm(
        CHAIN, lambda x, t: jnp.broadcast_to(x_0, x.shape), spectrum, jnp.asarray(y), NOISE, ETA, ETA_B
    )
    x_1 = process.prior(CHAIN, jax.random.key(1), jnp.zeros((n, 5)), 1.0)
    for end in (0.5, 0.2, 0.05):
        x = samplers.sample(sampler, jax.random.key(2), x_1, np.linspace(1, end, 6))
        noise = (x - CHAIN.alpha(end) * x_0) / CHAIN.sigma(end)
        np.testing.assert_allclose(noise.mean(0), 0, atol=6 / np.sqrt(n))
        np.testing.assert_allclose(np.cov(noise.T), np.eye(5), atol=6 * np.sqrt(2 / n))


@pytest.mark.system
def test_without_noise_the_draw_agrees_with_the_measurement(problem, rng):
    A, spectrum = problem
    y, x_1 = (jnp.asarray(rng.normal(size=(10, n))) for n in (3, 5))
    sampler = guidance.ddrm(CHAIN, lambda x, t: 0.5 * x, spectrum, y, 0.0)
    x = samplers.sample(sampler, jax.random.key(0), x_1, np.linspace(1, 0, 6))
    np.testing.assert_allclose(x @ A.T, y, atol=1e-8)


@pytest.mark.system
def test_the_chain_begins_as_in_the_paper(problem, rng):
    """Equation 6, coordinate by coordinate: of three measured ones the last is drowned in noise at this time."""
    A, spectrum = problem
    y, z, t = jnp.asarray(rng.normal(size=(4, 3))), jnp.asarray(rng.normal(size=(4, 5))), jnp.float64(0.5)
    alpha, sigma = float(CHAIN.alpha(t)), float(CHAIN.sigma(t))
    assert NOISE / 0.6 < sigma / alpha < NOISE / 0.05
    begun = begin(CHAIN, z, spectrum, y, NOISE, t)  # for `vp` the prior is z itself
    U, S, Vt = np.linalg.svd(A)
    for i in range(4):
        bar = np.array(Vt @ z[i])
        for k in range(2):
            bar[k] = alpha * (U[:, k] @ y[i] / S[k] + np.sqrt((sigma / alpha) ** 2 - (NOISE / S[k]) ** 2) * bar[k])
        np.testing.assert_allclose(begun[i], Vt.T @ bar, atol=1e-9)
