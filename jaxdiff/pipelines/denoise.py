"""Denoise: a noisy image is x_t of the process where the noise levels agree, and is drawn on from there."""

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import require_white
from jaxdiff.guidance import sdedit
from jaxdiff.pipelines.common import checked_images, draw_with, path_of, time_of_level
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import is_traced
from jaxdiff.pipelines.pipeline import LABEL, Argument, Pipeline
from jaxdiff.types import Array, Key

__all__ = ["AS_NOISY", "PIPELINES", "degrade", "denoise"]

AS_NOISY = Hooks(begin=lambda process, key, x, times, inputs: sdedit.as_noisy(process, inputs.each, times[0]))


def denoise(model: Model, key: Key, images: np.ndarray, noise: float | None = None, **options) -> Array:
    """Take white noise out of images: they are x_t where the model's noise is theirs, and are drawn on from there.

    Args:
      noise: its standard deviation; by default the median of what the images seem to have.

    Raises:
      InputError: noise beyond all that the grid visits.
    """
    images = checked_images(model, images, anything=True)
    require_white(path_of(model), "denoise: white noise, as of x_t,")
    level = float(np.median(sdedit.noise_level(images))) if noise is None else noise
    if not is_traced(level) and not level > 0:
        raise InputError(f"noise={level}: must be above 0")
    return draw_with(model, key, len(images), AS_NOISY, Inputs(images), start=time_of_level(model, level), **options)


def degrade(rng, images, model, arguments):
    """Add white noise, of 0.3 unless told otherwise; `denoise` is told what the user tells."""
    noise = arguments.get("noise", 0.3)
    return images + noise * rng.normal(size=images.shape).astype(np.float32), arguments


PIPELINES = {
    "denoise": Pipeline(
        denoise,
        "take white noise out: the image is x_t where the model's noise is its own, and is drawn on from there",
        (
            Argument("noise", "its standard deviation, of pixels in [-1, 1]", float, default="estimated"),
            LABEL,
        ),
        measured=True,
        degrade=degrade,
        settle=lambda images, given: {"noise": float(np.median(sdedit.noise_level(images))), **given},
    )
}
