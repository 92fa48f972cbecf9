"""Detect: how strange an image is to a model, pixel by pixel.

    denoising_error      noise the image to several levels and see how well the model finds the noise again: the loss of
                         training, of one image (Graham et al. 2023 and others use the like)
    reconstruction       noise it to one level, draw it anew from there, and compare (Wyatt et al. 2022, AnoDDPM)
    msma                 the errors at all levels together, compared with those of normal images (Mahmood et al. 2021,
                         MSMA, here with a Gaussian)

What a model was trained on it denoises well, and draws as it was. But a plain image is denoised well, too, whether it
is strange or not: where images are of different intricacy, compare with normal ones.
"""

import functools
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.config.sampling import Bind
from jaxdiff.config.schema import check_value
from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian.noise import by_example
from jaxdiff.gaussian.process import Process, log_snr, perturb, require_white, time_at
from jaxdiff.gaussian.schedules import edm
from jaxdiff.pipelines.common import (
    LEAST,
    MOST,
    check_level,
    checked_images,
    draw_with,
    nothing_known,
    path_of,
    time_of_level,
)
from jaxdiff.pipelines.hooks import Inputs
from jaxdiff.pipelines.img2img import SDEDIT
from jaxdiff.pipelines.model import Given, Model
from jaxdiff.pipelines.options import check_mean
from jaxdiff.types import Array, Denoiser, Key, as_time, expand

__all__ = ["LEVELS", "METHODS", "at_any_level", "denoising_error", "detect", "msma", "threshold"]


def denoising_error(process: Process, denoiser: Denoiser, key: Key, x_0: Array, times: Array) -> tuple[Array, Array]:
    """The squared error of eps: its mean over times (n,), shaped like x_0, and over pixels, (batch, n)."""

    chex.assert_rank(times, 1)

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


def msma(normal: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Mahalanobis distances of the logarithms of errors (n, levels) from those of normal images, (m, levels): (n,)."""
    chex.assert_rank([normal, errors], 2)
    chex.assert_equal_shape_suffix([normal, errors], 1)
    known, logs = np.log(normal), np.log(errors)
    centerd = logs - known.mean(0)
    covariance = np.atleast_2d(np.cov(known, rowvar=False)) + 1e-9 * np.eye(known.shape[1])
    return np.sqrt(np.einsum("ni,ni->n", centerd, np.linalg.solve(covariance, centerd.T).T))


def threshold(normal: np.ndarray, false_positives: float) -> float:
    """The score above which a share of normal examples would be called strange: scores (n,), share in (0, 1)."""
    if not 0 < false_positives < 1:
        raise InputError(f"false_positives={false_positives}: must be a share between 0 and 1")
    return float(np.quantile(normal, 1 - false_positives))


METHODS = ("denoising_error", "msma", "reconstruction", "likelihood")
LEVELS = (0.2, 0.4, 0.6, 0.8, 1.0)


def detect(
    model: Model,
    key: Key,
    images: np.ndarray,
    method: str = "denoising_error",
    levels: Sequence[float] | int | None = None,
    condition: Given = None,
    normal: np.ndarray | None = None,
    normal_condition: Given = None,
    first: int = 0,
    **options,
) -> tuple[np.ndarray, np.ndarray]:
    """Anomaly scores (`jaxdiff.pipelines.anomaly`): `(scores (n,), maps (n, height, width))`, higher for stranger.

    Args:
      method: "denoising_error", averaged over all `levels`; "msma", how unlike its values at the levels are to
        those of `normal` images; "reconstruction", averaged, each from that level; or "likelihood", the variational
        bound on -log p, in nats, but for what is the same for all images.
      levels: of noise, sigma / alpha, above 0; 0.2, 0.4, 0.6, 0.8 and 1 by default. For "likelihood", how many levels,
        evenly spread in log-SNR; 5 by default.
      normal: for "msma", images that are not strange, many more than levels, such as some of those trained on.
      normal_condition: what is known of these.
      first: the number of the first image, from which, with the key, the noise of each follows.

    The noise is that of the process: simplex noise for a model that was trained with it.
    """
    if method not in METHODS:
        raise unknown("method of detection", method, METHODS)
    if options and method != "reconstruction":
        raise InputError(f"{next(iter(options))}: is for method 'reconstruction', which draws; {method!r} does not")
    if (normal is None) == (method == "msma"):
        raise InputError("normal: goes with method 'msma', and only with it")
    if normal_condition is not None and normal is None:
        raise InputError("normal_condition: is known of the images of normal: give these, too")
    if method != "reconstruction":
        check_mean(model.samplers, f"method {method!r} of detection")
    images = checked_images(model, images)
    if method == "likelihood":
        return _likelihood(model, key, images, 5 if levels is None else levels, condition, first)
    levels = LEVELS if levels is None else levels
    if not isinstance(levels, Sequence) or not len(levels) or not all(0 < level < np.inf for level in levels):
        raise InputError(f"levels={levels}: must be noise levels above 0")
    if method == "reconstruction":
        return _reconstruction(model, key, images, levels, condition, first, options)
    error, each = _errors(model, key, images, levels, condition, first)
    if normal is None:
        return _scored(error)
    if len(normal) < 2 * len(levels):
        raise InputError(
            f"normal: {len(normal)} images are too few for {len(levels)} levels: give twice as many at least"
        )
    known = _errors(model, key, checked_images(model, normal), levels, normal_condition, 0)[1]
    return msma(np.asarray(known), np.asarray(each)), np.asarray(error).mean(-1)


def _scored(error: Array | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n,) and maps (n, height, width) of errors (n, height, width, channels)."""
    maps = np.asarray(error).mean(-1)
    return maps.mean((1, 2)), maps


def _errors(model, key, images, levels, condition: Given, first: int) -> tuple[Array, Array]:
    """`denoising_error` at levels of noise that the model's process has."""
    given = model.check_condition(nothing_known(condition), len(images))
    process = model.bind(model.params, given).process
    for level in levels:
        check_level(process, level)
    index = first + jnp.arange(len(images))
    return _error(model.params, key, images, jnp.asarray(levels, jnp.float32), given, index, model.bind)


def _likelihood(model, key, images, levels, condition: Given, first: int) -> tuple[np.ndarray, np.ndarray]:
    """The variational bound, pixel by pixel, from so many levels."""
    check_value("levels", levels, int, 1, 10_000)
    path_of(model)
    model.check_likelihood()
    given = model.check_condition(nothing_known(condition), len(images))
    require_white(model.bind(model.params, given).process, "likelihood")
    at = jnp.asarray(np.geomspace(LEAST, MOST, levels), jnp.float32)
    index = first + jnp.arange(len(images))
    error, _ = _error(model.params, key, images, at, given, index, model.bind, beyond=True)
    return _scored(np.log(MOST / LEAST) * images[0].size * error)


def _reconstruction(model, key, images, levels, condition, first, options) -> tuple[np.ndarray, np.ndarray]:
    """The squared distance to images that are drawn again from each level."""
    error = np.zeros_like(images)
    for i, start in enumerate([time_of_level(model, level) for level in levels]):
        drawn = draw_with(
            model,
            jax.random.fold_in(key, i),
            len(images),
            SDEDIT,
            Inputs(images),
            condition=condition,
            start=start,
            first=first,
            **options,
        )
        error += (np.asarray(drawn) - images) ** 2
    return _scored(error / len(levels))


@functools.partial(jax.jit, static_argnames=("bind", "beyond"))
def _error(params, key, images, levels, condition, index, bind: Bind, beyond: bool = False):
    process, denoiser, *_ = bind(params, condition)
    process = process._replace(noise=by_example(process.noise, index))
    if beyond:
        process, denoiser = edm(MOST)._replace(noise=process.noise), at_any_level(process, denoiser, edm(MOST))
    return denoising_error(process, denoiser, key, images, time_at(process, -2 * jnp.log(levels)))
