"""Upscale: large images of small ones, by a model that was trained to (`jaxdiff.modalities.images.low_resolution`)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.gaussian.noise import ByExample, normal
from jaxdiff.modalities.images.low_resolution import as_condition
from jaxdiff.pipelines.model import Given, Model
from jaxdiff.pipelines.options import is_traced
from jaxdiff.types import Array, Key


def enlarge(
    model: Model,
    key: Key,
    small: np.ndarray,
    noise: float = 0.0,
    added: float = 0.0,
    condition: Given = None,
    first: int = 0,
    **options,
) -> Array:
    """Large images of small ones, by a model that was trained to enlarge (`jaxdiff.modalities.images.low_resolution`).

    Args:
      small: (n, height, width, channels), smaller than the model's images by its factor, `model.enlarges`.
      noise: standard deviation of the noise in them, which the model is told.
      added: the same of noise that is added first: a little hides what is wrong with images that a model drew.
      condition: their class labels, which a model that has classes needs: it never missed them but with the image.

    Raises:
      InputError: another model, or sizes that do not fit.
    """
    small, factor = np.asarray(small, np.float32), model.enlarges
    height, width, channels = model.shape
    if factor == 1:
        raise InputError("this model was not trained to enlarge: take one with train.enlarge, or `restore`")
    if small.shape[1:] != (height // factor, width // factor, channels) or not len(small):
        raise InputError(
            f"images of shape {small.shape}: this model takes (n, {height // factor}, {width // factor}, {channels})"
        )
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
    if not (is_traced(noise) or is_traced(added)) and np.hypot(noise, added) > model.enlarge_noise * (1 + 1e-6):
        raise InputError(
            f"noise={noise}, added={added}: this model was trained to enlarge images with noise up to "
            f"{model.enlarge_noise:g}: take less, or a run with a higher train.enlarge_noise"
        )
