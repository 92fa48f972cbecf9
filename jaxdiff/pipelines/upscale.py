"""Upscale: large images of small ones, by a model that was trained to (`jaxdiff.modalities.images.low_resolution`)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.gaussian.noise import ByExample, normal
from jaxdiff.modalities.images import operators
from jaxdiff.modalities.images.low_resolution import as_condition
from jaxdiff.pipelines.common import measured_images
from jaxdiff.pipelines.model import Given, Model
from jaxdiff.pipelines.options import is_traced
from jaxdiff.pipelines.pipeline import LABEL, Argument, Pipeline
from jaxdiff.types import Array, Key

__all__ = ["PIPELINES", "check_noise", "degrade", "small_shape", "upscale"]


def upscale(
    model: Model,
    key: Key,
    small: np.ndarray,
    noise: float = 0.0,
    added: float = 0.0,
    condition: Given = None,
    first: int = 0,
    **options,
) -> Array:
    """Upscale images by a model that was trained to (`jaxdiff.modalities.images.low_resolution`).

    Args:
      small: (n, height, width, channels), smaller than the model's images by its factor, `model.upscales`.
      noise: standard deviation of the noise in them, which the model is told.
      added: the same of noise that is added first: a little hides what is wrong with images that a model drew.
      condition: their class labels, or one for all, which a model that has classes needs: it never missed them but with
        the image.

    Raises:
      InputError: another model, or sizes that do not fit.
    """
    small, factor = measured_images(small), model.upscales
    height, width, channels = small_shape(model)
    if small.shape[1:] != (height, width, channels) or not len(small):
        raise InputError(f"images of shape {small.shape}: this model takes (n, {height}, {width}, {channels})")
    check_noise(model, noise, added)
    known = condition if isinstance(condition, Mapping) else {} if condition is None else {"label": condition}
    if "label" not in known and model.num_classes:
        raise InputError("condition: this model enlarges images of known classes: give those of the images")
    key, key_noise = jax.random.split(key)
    more = jnp.full(len(small), added, jnp.float32)
    drawn = ByExample(normal, first + jnp.arange(len(small)))
    told = as_condition(key_noise, jnp.asarray(small), factor, more, drawn)
    whole = {"low_res_noise": jnp.hypot(told["low_res_noise"], noise)}
    return model.sample(key, len(small), condition={**known, **told, **whole}, first=first, **options)


def check_noise(model: Model, noise: float, added: float) -> None:
    """Refuse noise in small images that a model which enlarges them was never trained with."""
    if not all(is_traced(value) or 0 <= value < np.inf for value in (noise, added)):
        raise InputError(f"noise={noise}, added={added}: must be 0 or above")
    if not (is_traced(noise) or is_traced(added)) and np.hypot(noise, added) > model.low_res_noise * (1 + 1e-6):
        raise InputError(
            f"noise={noise}, added={added}: this model was trained to enlarge images with noise up to "
            f"{model.low_res_noise:g}: take less, or a run with a higher train.low_res_noise"
        )


def small_shape(model: Model) -> tuple[int, ...]:
    """The shape of the images that a model upscales."""
    if model.upscales == 1:
        raise InputError("this model was not trained to upscale: take one with train.upscale, or task super_resolve")
    return (model.shape[0] // model.upscales, model.shape[1] // model.upscales, model.shape[2])


def degrade(rng, images, model, arguments):
    """Shrink images by the model's factor, and add noise if the user names some."""
    small_shape(model)
    small = np.asarray(operators.downsampled(model.upscales)(jnp.asarray(images)))
    noise = arguments.get("noise", 0.0)
    return small + noise * rng.normal(size=small.shape).astype(np.float32), arguments


PIPELINES = {
    "upscale": Pipeline(
        upscale,
        "super-resolution by a model that was trained to (configs/super_resolution.py)",
        (
            Argument(
                "noise", "standard deviation of the noise in the small images, of pixels in [-1, 1]", float, default="0"
            ),
            LABEL,
        ),
        takes=lambda model, arguments: small_shape(model),
        measured=True,
        degrade=degrade,
    )
}
