"""The exact denoiser of a Gaussian, and what is sampled with it, against formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian.grids import log_snr, uniform
from jaxdiff.gaussian.mixture import gaussian, gaussian_mixture
from jaxdiff.gaussian.schedules import cosine, vp
from jaxdiff.guidance.held import context

FRAMES = 6


def walk(frames=FRAMES, channels=1):
    """Mean and covariance of an AR(1) sequence of so many frames."""
    places = np.arange(frames)
    of_frames = 0.8 ** abs(places[:, None] - places)
    covariance = np.kron(of_frames, np.eye(channels) * 0.7 + 0.3)
    return np.linspace(-1, 1, frames * channels).reshape(frames, channels), covariance


def formula(process, mean, covariance, x, t):
    """S Aᵀ (A S Aᵀ + D)⁻¹ (x - A m) + m of one example, in float64."""
    alpha, sigma = (np.asarray(c(jnp.asarray(t)), np.float64) for c in (process.alpha, process.sigma))
    alpha, sigma = (np.repeat(c, x[0].size) for c in (alpha, sigma))
    a, d, m = np.diag(alpha), np.diag(sigma**2), mean.reshape(-1)
    rest = np.linalg.solve(a @ covariance @ a + d, x.reshape(-1) - alpha * m)
    return (m + covariance @ a @ rest).reshape(x.shape)


@pytest.mark.system
@pytest.mark.parametrize("channels", [1, 2])
def test_each_frame_at_its_own_time(channels, rng):
    mean, covariance = walk(channels=channels)
    x, t = rng.normal(size=(5, *mean.shape)), rng.uniform(0.01, 1, (5, FRAMES))
    x, t = np.float32(x), np.float32(t)
    found = gaussian(vp(), mean, covariance)(jnp.asarray(x), jnp.asarray(t))
    for i in range(5):
        np.testing.assert_allclose(found[i], formula(vp(), mean, covariance, x[i], t[i]), atol=1e-5)


@pytest.mark.system
def test_one_time_for_all_is_the_same_as_that_time_for_each(rng):
    mean, covariance = walk()
    x, t = jnp.asarray(rng.normal(size=(5, FRAMES, 1)), jnp.float32), jnp.linspace(0.05, 1, 5)
    denoise = gaussian(vp(), mean, covariance)
    np.testing.assert_allclose(denoise(x, t), denoise(x, jnp.tile(t[:, None], (1, FRAMES))), atol=1e-5)
    np.testing.assert_allclose(denoise(x, t[2]), denoise(x, jnp.full(5, t[2])), atol=1e-6)


@pytest.mark.system
def test_a_diagonal_one_is_a_mixture_of_one_component(rng):
    mean, std = np.array([0.5, -1.0, 2.0]), np.array([0.3, 1.0, 0.0])
    x = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    one = gaussian(cosine(), mean, np.diag(std**2))(x, jnp.float32(0.4))
    np.testing.assert_allclose(one, gaussian_mixture(cosine(), [1.0], mean[None], std[None])(x, 0.4), atol=1e-5)


def linear(run, frames):
    """The matrix and the shift of an affine map of (n, frames, 1), found by unit vectors."""
    moved = np.asarray(run(jnp.concatenate([jnp.zeros((1, frames, 1)), jnp.eye(frames)[..., None]])))[..., 0]
    return (moved[1:] - moved[0]).T, moved[0]


@pytest.mark.system
@pytest.mark.parametrize("delay", [0.0, 0.4, 1.0])
def test_staggered_sampling_has_the_right_covariance_also_on_the_way(delay, float64):
    process, (mean, covariance) = cosine(), walk()
    sampler = samplers.staggered(process, gaussian(process, mean, covariance), delay)
    times = uniform(int(400 * (1 + 5 * delay)))
    half = len(times) // 2

    @jax.jit
    def run(x):
        x_0, frames = samplers.trajectory(sampler, jax.random.key(0), x, times, np.array([half]))
        return x_0, frames[0]

    matrix, shift = linear(lambda x: run(x)[0], FRAMES)
    assert np.abs(matrix @ matrix.T - covariance).max() < 0.02
    np.testing.assert_allclose(shift, mean[:, 0], atol=0.02)
    matrix, _ = linear(lambda x: run(x)[1], FRAMES)
    t = samplers.frame_times(jnp.asarray(times[half], jnp.float64), FRAMES, delay)
    alpha, sigma = np.asarray(process.alpha(t)), np.asarray(process.sigma(t))
    assert np.abs(matrix @ matrix.T - (np.outer(alpha, alpha) * covariance + np.diag(sigma**2))).max() < 0.02


@pytest.mark.system
@pytest.mark.parametrize("delay", [0.4, 1.0])
def test_with_noise_too(delay, float64):
    """A step is linear in x and in its noise: by unit vectors of both, step by step, the covariance is exact."""
    process, (mean, covariance) = cosine(), walk()
    denoiser, times = gaussian(process, 0 * mean, covariance), uniform(int(400 * (1 + 5 * delay)))
    one, nothing = jnp.eye(FRAMES)[..., None], jnp.zeros((FRAMES, FRAMES, 1))

    @jax.jit
    def run(start):
        def body(law, along):
            drawn = process._replace(noise=lambda key, x: jnp.concatenate([nothing, one]))
            sampler = samplers.staggered(drawn, denoiser, delay, eta=1.0)
            moved = sampler.step(jax.random.key(0), samplers.State(jnp.concatenate([one, nothing])), *along).x[..., 0]
            of_x, of_noise = moved[:FRAMES], moved[FRAMES:]
            return of_x.T @ law @ of_x + of_noise.T @ of_noise, None

        return jax.lax.scan(body, start, (jnp.asarray(times[:-1], float), jnp.asarray(times[1:], float)))[0]

    assert np.abs(run(jnp.eye(FRAMES)) - covariance).max() < 0.02


@pytest.mark.system
@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_frames_that_are_known_condition_the_others_exactly(delay, float64):
    process, (mean, covariance) = cosine(), walk()
    known, given = np.array([True, True, False, False, False, True]), jnp.asarray(mean + 0.7)

    def run(x):
        each = lambda a: jnp.broadcast_to(a, (len(x), *a.shape))
        exact = gaussian(process, mean, covariance)
        frames = each(jnp.asarray(known, float))
        told = context(process, exact, each(given), frames, 0.0, jnp.zeros_like(x))
        return samplers.sample(
            samplers.staggered(process, told, delay), jax.random.key(0), x, uniform(int(400 * (1 + 5 * delay)))
        )

    matrix, shift = linear(jax.jit(run), FRAMES)
    free = ~known
    gain = covariance[np.ix_(free, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    expected = covariance[np.ix_(free, free)] - gain @ covariance[np.ix_(known, free)]
    assert np.abs((matrix @ matrix.T)[np.ix_(free, free)] - expected).max() < 0.02 * expected.max()
    np.testing.assert_allclose(shift[free], mean[free, 0] + gain @ np.full(known.sum(), 0.7), atol=5e-3)
    np.testing.assert_allclose(shift[known], mean[known, 0] + 0.7, atol=1e-6)


@pytest.mark.system
def test_the_spectrum_of_an_autoregressive_process(float64):
    """The log-spectrum of samples of an AR(2), on a circle, is within 0.2 dB of the formula at every frequency."""
    n, process = 64, vp()
    response = 1 - 1.5 * np.exp(-2j * np.pi * np.arange(n) / n) + 0.8 * np.exp(-4j * np.pi * np.arange(n) / n)
    spectrum = 1 / abs(response) ** 2
    spectrum /= spectrum.mean()
    row = np.fft.ifft(spectrum).real
    covariance = np.stack([np.roll(row, i) for i in range(n)])
    sampler = samplers.dpmpp_2m(process, gaussian(process, np.zeros(n), covariance))
    run = jax.jit(lambda x: samplers.sample(sampler, jax.random.key(0), x, log_snr(process, 100)))
    matrix = np.asarray(run(jnp.eye(n)))
    drawn = np.diag(np.fft.fft(np.fft.ifft(matrix.T @ matrix, axis=0), axis=1)).real
    assert np.abs(10 * np.log10(drawn / spectrum)).max() < 0.2
