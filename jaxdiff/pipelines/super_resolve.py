"""Super-resolve: large images of small ones, by a model that was not trained to (`jaxdiff.pipelines.restore`)."""

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.images import operators
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.pipeline import LABEL, Argument, Pipeline
from jaxdiff.pipelines.restore import DRAWS, METHODS, NOISE, SCALE, measured, restore
from jaxdiff.types import Array, Key

__all__ = ["PIPELINES", "degrade", "small_shape", "super_resolve"]


def super_resolve(model: Model, key: Key, small: np.ndarray, **options) -> Array:
    """Large images of small ones, of which each pixel is the mean of a square; `options` are those of `restore`.

    Args:
      small: (n, height, width, channels), whose sides are those of the model by a whole factor.
    """
    return restore(model, key, small, "downsample", **options)


def small_shape(model: Model, factor: int) -> tuple[int, ...]:
    """The shape of the model's images, so many times smaller."""
    if factor < 1 or any(side % factor for side in model.shape[:2]):
        raise InputError(f"--factor {factor}: must divide the model's {model.shape[0]}x{model.shape[1]}")
    return (model.shape[0] // factor, model.shape[1] // factor, model.shape[2])


def _super_resolve(model, key, images, factor=None, **options):
    if factor is not None and images.shape[1:] != small_shape(model, factor):
        raise InputError(f"--factor {factor}: images {images.shape[1]} high are not {model.shape[0]} / {factor}")
    return super_resolve(model, key, images, **options)


def degrade(rng, images, model, arguments):
    """Shrink images, and add noise."""
    factor = arguments.get("factor", 2)
    small_shape(model, factor)
    return measured(operators.downsampled(factor), rng, images, arguments)


PIPELINES = {
    "super_resolve": Pipeline(
        _super_resolve,
        "super-resolution by a model that was not trained to",
        (
            Argument("factor", "how many times smaller the input is", int, default="2"),
            Argument("method", ", ".join(METHODS), default="moment_matching"),
            NOISE._replace(default="0.05"),
            SCALE,
            DRAWS,
            LABEL,
        ),
        takes=lambda model, arguments: small_shape(model, arguments.get("factor", 2)),
        measured=True,
        degrade=degrade,
    )
}
