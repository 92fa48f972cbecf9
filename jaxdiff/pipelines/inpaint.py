"""Inpaint and outpaint: draw what is unknown of an image, and keep what is known (`jaxdiff.guidance.inpainting`)."""

import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError, unknown
from jaxdiff.guidance import inpainting
from jaxdiff.modalities import require
from jaxdiff.modalities.images.masks import MASKS, read_mask
from jaxdiff.pipelines.common import checked_images
from jaxdiff.pipelines.hooks import Hooks
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import check_start, is_traced
from jaxdiff.pipelines.pipeline import LABEL, Argument, Pipeline
from jaxdiff.pipelines.restore import (
    DRAWS,
    METHODS,
    NOISE,
    SCALE,
    keep_known,
    mean_of_draws,
    measurement,
    paired_noise,
    restoration,
    restoring_options,
)
from jaxdiff.types import Array, Key

__all__ = ["DRAWING", "INPAINT", "PIPELINES", "draw_around", "inpaint", "outpaint", "small_shape"]


def _repaint(process, denoiser, sampler, inputs):
    return inpainting.repaint(process, sampler, inputs.each["y"], inputs.each["mask"], inputs.shared["repeats"])


INPAINT = Hooks(begin=paired_noise, steer=_repaint, finish=keep_known)


def inpaint(
    model: Model,
    key: Key,
    images: np.ndarray,
    mask: np.ndarray,
    method: str = "repaint",
    repeats: int | None = None,
    noise: float | None = None,
    scale: float | None = None,
    draws: int = 1,
    **options,
) -> Array:
    """Draw what is unknown of images; the known pixels come back as they are.

    Args:
      mask: (n or 1, height, width, channels or 1): 1 where a pixel is known, 0 where it is to be drawn.
      method: "replace", "repaint" (`jaxdiff.guidance.inpainting`), or one of `restore`.
      repeats: of each step, for "repaint"; 10.
      noise: that the methods of `restore`, but for "dps", take the known pixels to have; 0.01.
      scale, draws: see `restore`.

    Raises:
      InputError: sizes that do not fit, a mask of other values, another method, or what the method has no use for.
    """
    images, mask = checked_images(model, images), np.asarray(mask)
    if mask.ndim != 4 or any(m not in (1, s) for m, s in zip(mask.shape, images.shape, strict=True)):
        raise InputError(f"mask of shape {mask.shape}: must fit images of shape {images.shape}")
    if not np.isin(mask, (0, 1)).all():
        raise InputError("mask: holds values other than 0 (to be drawn) and 1 (known)")
    mask = np.broadcast_to(mask.astype(np.float32), images.shape)
    return draw_around(model, key, images, mask, method, repeats, noise, scale, draws, **options)


def draw_around(
    model: Model,
    key: Key,
    examples: np.ndarray,
    mask: np.ndarray,
    method: str,
    repeats: int | None = None,
    noise: float | None = None,
    scale: float | None = None,
    draws: int = 1,
    **options,
) -> Array:
    """Draw what is unknown of examples of any modality of numbers, (n, ...), as the network sees them: see `inpaint`.

    Args:
      mask: shaped like the examples.
    """
    known = np.where(mask > 0, examples, 0).astype(np.float32)
    if method not in ("replace", "repaint", *METHODS):
        raise unknown("method of inpainting", method, ("replace", "repaint", *METHODS))
    if repeats is not None and method != "repaint":
        raise InputError(f"repeats: goes with method 'repaint', not with {method!r}")
    shared, each = measurement(method, noise, 0.01, scale, options), {"y": known, "mask": mask}
    if method in METHODS:
        hooks = restoration(method, "mask", model.shape, keep=True)
        return mean_of_draws(model, key, hooks, each, shared, draws, restoring_options(model, method, options))
    if (start := options.get("start")) is not None:
        check_start(model.path or model.bind(model.params, None).process, start)
    repeats = (10 if repeats is None else repeats) if method == "repaint" else 1
    if not is_traced(repeats) and repeats < 1:
        raise InputError(f"repeats={repeats}: must be at least 1")
    return mean_of_draws(model, key, INPAINT, each, {"repeats": jnp.int32(repeats)}, draws, options)


def outpaint(model: Model, key: Key, images: np.ndarray, top: int = -1, left: int = -1, **options) -> Array:
    """Draw what surrounds images that are smaller than the model's; `options` also those of `inpaint`.

    Args:
      top, left: where their corner goes; -1, as by default, for the middle.
    """
    require("images", model.spec, "outpaint")
    images = np.asarray(images, np.float32)
    height, width, channels = model.shape
    if images.ndim != 4 or images.shape[1] > height or images.shape[2] > width or images.shape[3] != channels:
        raise InputError(f"images of shape {images.shape[1:]}: must fit into this model's {model.shape}")
    top = (height - images.shape[1]) // 2 if top == -1 else top
    left = (width - images.shape[2]) // 2 if left == -1 else left
    if min(top, left) < 0 or top + images.shape[1] > height or left + images.shape[2] > width:
        raise InputError(f"top={top}, left={left}: the images of {images.shape[1:3]} reach beyond {model.shape[:2]}")
    place = np.s_[:, top : top + images.shape[1], left : left + images.shape[2]]
    canvas = np.zeros((len(images), *model.shape), np.float32)
    canvas[place], mask = images, np.zeros((1, height, width, 1))
    mask[place] = 1
    return inpaint(model, key, canvas, mask, **options)


def small_shape(model: Model) -> tuple[int, ...]:
    """The shape of the images that the command line outpaints: half the model's sides."""
    return (model.shape[0] // 2, model.shape[1] // 2, model.shape[2])


def _outpaint(model, key, images, **options):
    """Outpaint images, or the middle of those that are as large as the model's."""
    if images.shape[1:] == model.shape:
        height, width, _ = small_shape(model)
        y, x = (model.shape[0] - height) // 2, (model.shape[1] - width) // 2
        images = images[:, y : y + height, x : x + width]
    return outpaint(model, key, images, **options)


DRAWING = (
    Argument("method", f"repaint, replace, {', '.join(METHODS)}", default="repaint"),
    Argument("repeats", "of each step of repaint", int, default="10"),
    NOISE._replace(default="0.01"),
    SCALE,
    DRAWS,
    LABEL,
)

PIPELINES = {
    "inpaint": Pipeline(
        inpaint,
        "draw what a mask hides; known pixels come back exactly",
        (
            Argument(
                "mask",
                f"what is known: a picture, white where it is, or {', '.join(MASKS)}",
                read=lambda mask, model: read_mask(mask, model.shape),
                required=True,
            ),
            *DRAWING,
        ),
    ),
    "outpaint": Pipeline(
        _outpaint,
        "draw what surrounds an image",
        DRAWING,
        takes=lambda model, arguments: small_shape(model),
    ),
}
