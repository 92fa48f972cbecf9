"""Follow: images with the edges, or the distances, of given pictures, by a model that was trained to (ControlNet)."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdiff.errors import InputError
from jaxdiff.modalities.images.controls import as_condition, find_control
from jaxdiff.pipelines.common import checked_images
from jaxdiff.pipelines.model import Given, Model
from jaxdiff.pipelines.options import is_traced
from jaxdiff.pipelines.pipeline import LABEL, Argument, Outcome, Pipeline
from jaxdiff.types import Array, Key

__all__ = ["PIPELINES", "control_of", "follow"]


def control_of(model: Model, images: np.ndarray | Array) -> Array:
    """The control of images (n, height, width, channels) that a model follows.

    Raises:
      InputError: it follows none.
    """
    if "control" not in model.conditions or not model.config:
        raise InputError("this model follows no pictures: train one with --config=configs/control.py:RUN,edges")
    return find_control(model.config["train"]["control"])(jnp.asarray(images))


def follow(
    model: Model,
    key: Key,
    images: np.ndarray,
    strength: float | Array = 1.0,
    condition: Given = None,
    control: Array | None = None,
    **options,
) -> Array:
    """Draw an image for each of some, with its edges or its distances (`jaxdiff.modalities.images.controls`).

    Args:
      strength: of the control, one for all or (n,); at 0 the model draws as if there were none.
      condition: what else is known: a class for all, (n,) of them, or by name.
      control: in place of that of the images, (n, height, width, 1), from -1 to 1.

    Raises:
      InputError: another model, or images or controls that do not fit.
    """
    images = checked_images(model, images)
    made = control_of(model, images) if control is None else jnp.asarray(control)
    if control is not None and not isinstance(made, Tracer) and made.min() >= 0:
        raise InputError(
            f"control: from {made.min():g} to {made.max():g}, and controls are from -1 to 1, -1 for nothing"
        )
    return _led(model, key, images, made, strength, condition, **options)


def _led(
    model: Model,
    key: Key,
    images: np.ndarray,
    made: Array,
    strength: float | Array = 1.0,
    condition: Given = None,
    **options,
) -> Array:
    """Draw an image for each of some, with this control."""
    if not is_traced(strength) and not np.isfinite(strength).all():
        raise InputError(f"strength={strength}: must be finite; 1 as in training, 0 for no control")
    if isinstance(condition, Mapping) or condition is None:
        known = dict(condition or {})
    else:
        known = {"label": np.broadcast_to(np.asarray(condition), len(images))}
    return model.sample(key, len(images), condition={**known, **as_condition(made, strength)}, **options)


def _follow(model: Model, key: Key, images: np.ndarray, **options) -> Outcome:
    """Follow, with the controls shown above what was drawn."""
    images = checked_images(model, images)
    control = control_of(model, images)
    shown = np.broadcast_to(np.asarray(control), (len(images), *model.shape))
    return Outcome(_led(model, key, images, control, **options), rows=(shown,))


PIPELINES = {
    "follow": Pipeline(
        _follow,
        "images with the edges or distances of given ones, by a model that was trained to (configs/control.py)",
        (Argument("strength", "of the control; 0 for none", float, default="1"), LABEL),
    )
}
