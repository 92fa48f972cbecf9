"""Inversion: from images to their noise along the probability flow, and back under another condition or between two."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.config.sampling import Bind
from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import Process, log_snr, time_at
from jaxdiff.guidance import sdedit as translating
from jaxdiff.pipelines.common import CLASSES, LEAST, MOST, checked_images, nothing_known, path_of, repeated
from jaxdiff.pipelines.model import Given, Model
from jaxdiff.pipelines.options import check_mean
from jaxdiff.pipelines.pipeline import LABEL, Argument, Pipeline, class_number
from jaxdiff.samplers import heun, invert, sample
from jaxdiff.types import Array

__all__ = ["PIPELINES", "STEPS", "class_swap", "interpolate"]


def class_swap(model: Model, images: np.ndarray, condition: Given, to: Given, steps: int = 100) -> Array:
    """The same image under another condition: the flow's way to the noise under one, and back under the other.

    DDIM's inversion (Song et al. 2021, section 4.3; Su et al. 2023), by Heun's method, not Euler's. With `to` the
    same condition the images come back, but for the error of `steps` steps.
    """
    levels, images = _levels(model, steps), checked_images(model, images)
    if not model.conditions:
        raise InputError(
            f"class_swap: this model knows no classes, and nothing else of its images: take a run of {CLASSES}"
        )
    before, after = (model.check_condition(nothing_known(given), len(images)) for given in (condition, to))
    noise = _inverse(model.params, images, levels, before, model.bind)
    return _forward(model.params, noise, levels, after, model.bind)


def interpolate(model: Model, a: np.ndarray, b: np.ndarray, frames: int = 9, steps: int = 100, condition=None) -> Array:
    """Images between two, (frames, height, width, channels): along the arc between their noises, see `class_swap`.

    Args:
      condition: of both: a class, or a `Condition` of one row; none by default.
    """
    levels, pair = _levels(model, steps), checked_images(model, np.stack([a, b]))
    if frames < 2:
        raise InputError(f"frames={frames}: must be at least 2")
    two, many = (nothing_known(repeated(condition, n)) for n in (2, frames))
    two, many = model.check_condition(two, 2), model.check_condition(many, frames)
    noise = _inverse(model.params, pair, levels, two, model.bind)
    first, last = (jnp.broadcast_to(z, (frames, *model.shape)) for z in noise)
    between = translating.slerp(first, last, jnp.linspace(0, 1, frames))
    return _forward(model.params, between, levels, many, model.bind)


def _levels(model: Model, steps: int) -> np.ndarray:
    """Log-SNRs for both ways, from the noise to the image."""
    path_of(model)
    check_mean(model.samplers, "inversion")
    if steps < 1:
        raise InputError(f"steps={steps}: must be at least 1")
    return np.linspace(-2 * np.log(MOST), -2 * np.log(LEAST), steps + 1).astype(np.float32)


def _times(process: Process, levels: Array) -> Array:
    """The times at which a process passes these log-SNRs, rescaled to the range that it has."""
    low, high = (log_snr(process, jnp.float32(t)) for t in (1.0, 0.0))
    low, high = jnp.maximum(levels[0], low), jnp.minimum(levels[-1], high)
    return time_at(process, low + (high - low) * (levels - levels[0]) / (levels[-1] - levels[0]))


@functools.partial(jax.jit, static_argnames="bind")
def _inverse(params, images, levels, condition, bind: Bind):
    process, denoiser, *_ = bind(params, condition)
    times = _times(process, levels)
    return invert(heun(process, denoiser), process.alpha(times[-1]) * images, times)


@functools.partial(jax.jit, static_argnames="bind")
def _forward(params, noise, levels, condition, bind: Bind):
    process, denoiser, *_ = bind(params, condition)
    times = _times(process, levels)
    return sample(heun(process, denoiser), jax.random.key(0), noise, times) / process.alpha(times[-1])


def _swap(model, key, images, condition, to, first=0, steps=100):
    return class_swap(model, images, condition, to, steps)


def _interpolate(model, key, images, steps=100, condition=None):
    if len(images) < 2:
        raise InputError(f"interpolate: between two images, and the input holds {len(images)}")
    return interpolate(model, images[0], images[1], steps=steps, condition=condition)


STEPS = Argument("steps", "of Heun's method, each way", int, default="100")

PIPELINES = {
    "class_swap": Pipeline(
        _swap,
        "to the noise along the probability flow under one class, and back under another (DDIM inversion)",
        (
            LABEL._replace(help="class of the input", required=True, default=""),
            Argument("to", "class wanted", read=class_number, required=True),
            STEPS,
        ),
    ),
    "interpolate": Pipeline(
        _interpolate, "images between the first two, along the arc between their noises", (LABEL, STEPS), whole=True
    ),
}
