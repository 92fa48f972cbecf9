"""Detect: how strange an image is to a model, pixel by pixel.

    denoising_error      noise the image to several levels and see how well the model finds the noise again: the loss of
                         training, of one image (Graham et al. 2023 and others use the like)
    reconstruction       noise it to one level, draw it anew from there, and compare (Wyatt et al. 2022, AnoDDPM)

What a model was trained on it denoises well, and draws as it was.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.process import Process, perturb
from jaxdiff.types import Array, Denoiser, Key, expand


def denoising_error(process: Process, denoiser: Denoiser, key: Key, x_0: Array, times: Array) -> Array:
    """The squared error of eps, averaged over times (n,) and draws: shaped like x_0."""

    def body(total, along):
        i, t = along
        x_t, _ = perturb(process, jax.random.fold_in(key, i), x_0, t)
        ratio = expand(process.alpha(t) / process.sigma(t), x_0)
        return total + (ratio * (denoiser(x_t, t) - x_0)) ** 2, None

    total, _ = jax.lax.scan(body, jnp.zeros_like(x_0), (jnp.arange(len(times)), times))
    return total / len(times)


def threshold(normal: np.ndarray, false_positives: float) -> float:
    """The score above which a share of normal examples would be called strange: scores (n,), share in (0, 1)."""
    return float(np.quantile(normal, 1 - false_positives))
