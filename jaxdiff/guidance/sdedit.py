"""Translate: start from an image instead of from noise, and keep of it what the noise leaves.

    sdedit     the image, noised to a time: the later, the less is kept (Meng et al. 2022)
    as_noisy   the image is itself noisy, of known noise level sigma / alpha: it is x_t already, up to scale

How noisy an image is, `noise_level` estimates from its finest details (Donoho and Johnstone 1994).
"""

import jax.numpy as jnp
import numpy as np

from jaxdiff.gaussian.process import Process, perturb
from jaxdiff.types import Array, Key

__all__ = ["as_noisy", "noise_level", "sdedit", "slerp"]


def sdedit(process: Process, key: Key, images: Array, t: Array) -> Array:
    """Noise images (batch, ...) to a time, where sampling starts."""
    return perturb(process, key, images, t)[0]


def as_noisy(process: Process, images: Array, t: Array) -> Array:
    """x_t of images that are x_0 + noise of standard deviation sigma / alpha at t."""
    return process.alpha(t) * images


def noise_level(images: np.ndarray) -> np.ndarray:
    """Estimated standard deviation of white noise in each of (n, height, width, channels): (n,).

    The median of the absolute diagonal Haar details, which are noise in most places, over that of a standard normal.
    """
    a, b, c, d = (images[:, i : i - 1 or None, j : j - 1 or None] for i in (0, 1) for j in (0, 1))
    details = jnp.abs(a - b - c + d) / 2
    return np.median(np.asarray(details).reshape(len(images), -1), axis=1) / 0.6744897501960817


def slerp(a: Array, b: Array, share: Array) -> Array:
    """From a to b, each (batch, ...), along the arc between them, by shares (batch,) (Shoemake 1985)."""
    flat_a, flat_b = (z.reshape(z.shape[0], -1) for z in (a, b))
    norms = jnp.linalg.norm(flat_a, axis=1) * jnp.linalg.norm(flat_b, axis=1)
    angle = jnp.arccos(jnp.clip(jnp.sum(flat_a * flat_b, axis=1) / norms, -1, 1))
    wide = jnp.sin(angle) > 1e-4
    safe = jnp.where(wide, jnp.sin(angle), 1)
    of_a = jnp.where(wide, jnp.sin((1 - share) * angle) / safe, 1 - share)
    of_b = jnp.where(wide, jnp.sin(share * angle) / safe, share)
    return (of_a[:, None] * flat_a + of_b[:, None] * flat_b).reshape(a.shape)
