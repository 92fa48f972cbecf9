"""Detect: how strange an image is to a model, pixel by pixel.

    denoising_error      noise the image to several levels and see how well the model finds the noise again: the loss of
                         training, of one image (Graham et al. 2023 and others use the like)
    reconstruction       noise it to one level, draw it anew from there, and compare (Wyatt et al. 2022, AnoDDPM)
    untypical            the errors at all levels together, compared with those of normal images (Mahmood et al. 2021,
                         MSMA, here with a Gaussian)

What a model was trained on it denoises well, and draws as it was. But a plain image is denoised well, too, whether it
is strange or not: where images are of different intricacy, compare with normal ones.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import Process, log_snr, perturb, time_at
from jaxdiff.types import Array, Denoiser, Key, as_time, expand


def denoising_error(process: Process, denoiser: Denoiser, key: Key, x_0: Array, times: Array) -> tuple[Array, Array]:
    """The squared error of eps: its mean over times (n,), shaped like x_0, and over pixels, (batch, n)."""

    def body(total, along):
        i, t = along
        x_t, _ = perturb(process, jax.random.fold_in(key, i), x_0, t)
        ratio = expand(process.alpha(t) / process.sigma(t), x_0)
        error = (ratio * (denoiser(x_t, t) - x_0)) ** 2
        return total + error, error.reshape(len(x_0), -1).mean(1)

    total, each = jax.lax.scan(body, jnp.zeros_like(x_0), (jnp.arange(len(times)), times))
    return total / len(times), each.T


def at_any_level(process: Process, denoiser: Denoiser, to: Process) -> Denoiser:
    """A denoiser of `to` from one of a process that has not all of its noise levels r = sigma / alpha.

    Above the highest, R, x_0 + r eps tells x_0 through `x / r²` alone, but for a factor of its size: x̂_0 is that of
    `R² x / r²` at R. Below the lowest it is x itself, of which the error is that of the noise, the same for all images.
    Whatever x̂_0 is, the likelihood stays a bound.
    """

    def denoise(x_t, t):
        t = as_time(t, x_t)
        level = jnp.exp(-0.5 * log_snr(to, t))
        least, most = (jnp.exp(-0.5 * log_snr(process, jnp.asarray(end, x_t.dtype))) for end in (0, 1))
        near = jnp.clip(level, least, most)
        there = time_at(process, -2 * jnp.log(near))
        x = x_t / expand(to.alpha(t), x_t)
        x_0 = denoiser(expand(process.alpha(there) * jnp.minimum(1, near / level) ** 2, x) * x, there)
        return jnp.where(expand(level < least, x), x, x_0)

    return denoise


def untypical(normal: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Mahalanobis distances of the logarithms of errors (n, levels) from those of normal images, (m, levels): (n,)."""
    known, logs = np.log(normal), np.log(errors)
    centred = logs - known.mean(0)
    covariance = np.atleast_2d(np.cov(known, rowvar=False)) + 1e-9 * np.eye(known.shape[1])
    return np.sqrt(np.einsum("ni,ni->n", centred, np.linalg.solve(covariance, centred.T).T))


def threshold(normal: np.ndarray, false_positives: float) -> float:
    """The score above which a share of normal examples would be called strange: scores (n,), share in (0, 1)."""
    if not 0 < false_positives < 1:
        raise InputError(f"false_positives={false_positives}: must be a share between 0 and 1")
    return float(np.quantile(normal, 1 - false_positives))
