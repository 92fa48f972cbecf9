"""Data whose denoiser, score and density are exact at every time of every process, and how to compare with it."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.gaussian import betas, schedules
from jaxdiff.gaussian.denoiser import to_score
from jaxdiff.gaussian.mixture import gaussian_mixture, mixture_log_density

PLANE = (
    np.array([0.3, 0.5, 0.2]),
    np.array([[-1.0, 0.5], [0.8, 0.3], [0.2, -1.1]]),
    np.array([[0.5, 0.3], [0.4, 0.6], [0.35, 0.5]]),
)
"""Three stretched components in two dimensions: weights, means, standard deviations."""


def wide(dimensions: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four stretched components in many dimensions."""
    rng = np.random.default_rng(64)
    return np.array([0.1, 0.2, 0.3, 0.4]), rng.normal(size=(4, dimensions)), rng.uniform(0.2, 0.8, (4, dimensions))


PROCESSES = {
    "ddpm": lambda: schedules.ddpm(betas.linear(1000)),
    "ddpm_cosine": lambda: schedules.ddpm(betas.cosine(1000)),
    "ddpm_zero_snr": lambda: schedules.ddpm(betas.linear(1000), zero_terminal_snr=True),
    "vp": schedules.vp,
    "sub_vp": schedules.sub_vp,
    "cosine": schedules.cosine,
    "sigmoid": schedules.sigmoid,
    "polynomial": schedules.polynomial,
    "ve": schedules.ve,
    "ncsn": schedules.ncsn,
    "edm": schedules.edm,
    "flow": schedules.flow,
    "interpolant": lambda: schedules.interpolant(lambda t: (1 - t) ** 2, lambda t: jnp.sin(t * np.pi / 2)),
    "from_log_snr": lambda: schedules.from_log_snr(lambda t: 12 - 17 * t),
    "shifted_vp": lambda: schedules.shifted(schedules.vp(), 2.0),
    "shifted_flow": lambda: schedules.shifted(schedules.flow(), 3.0, power=1.0),
}
"""Every constructor there is."""

MIDDLE = {
    "vp": (0.8, 0.2),
    "sub_vp": (0.8, 0.3),
    "ve": (0.8, 0.45),
    "edm": (4 / 80, 0.4 / 80),
    "flow": (0.8, 0.2),
}
"""Of each path an interval away from its singular ends, where sigma / alpha falls by about ten."""


def draw(seed: int, mixture, n: int) -> np.ndarray:
    """Points of the mixture, (n, dimensions)."""
    weights, means, stds = mixture
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(weights), n, p=weights)
    return means[chosen] + stds[chosen] * rng.normal(size=(n, means.shape[1]))


def noised(chain, seed: int, mixture, n: int, t: float, dtype=jnp.float32) -> jax.Array:
    """Exact draws of q(x_t)."""
    x_0 = jnp.asarray(draw(seed, mixture, n), dtype)
    t = jnp.asarray(t, dtype)
    return chain.alpha(t) * x_0 + chain.sigma(t) * jax.random.normal(jax.random.key(seed), x_0.shape, dtype)


def denoiser(chain, mixture):
    return gaussian_mixture(chain, *mixture)


def log_density(chain, mixture):
    return mixture_log_density(chain, *mixture)


def score(chain, mixture):
    return to_score(chain, denoiser(chain, mixture))


def sliced_wasserstein(a: np.ndarray, b: np.ndarray, directions: int = 64) -> float:
    """The 2-Wasserstein distance of two equally large sets of points, root mean square over random directions."""
    rng = np.random.default_rng(1)
    d = rng.normal(size=(directions, a.shape[1]))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    left, right = np.sort(np.asarray(a) @ d.T, axis=0), np.sort(np.asarray(b) @ d.T, axis=0)
    return float(np.sqrt(np.mean((left - right) ** 2)))


def warmed(steps: int, high: float, low: float) -> np.ndarray:
    """An even grid whose first step is made in a dozen, each twice as long as the one before.

    So a multistep method has its history before its first long step, and shows its own order from there on.
    """
    u = np.concatenate([[0], 2.0 ** np.arange(-12, 0) / steps, np.arange(1, steps + 1) / steps])
    return high + (low - high) * u
