"""Hold: draw the rest of a sound or a video around the moments that are given (`jaxdiff.pipelines.inpaint`)."""

from typing import Any

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities import require
from jaxdiff.pipelines.inpaint import DRAWING, draw_around
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite
from jaxdiff.pipelines.pipeline import Argument, Pipeline
from jaxdiff.types import Key

__all__ = ["PIPELINES", "bridge", "extend", "hold"]

MODALITIES = ("audio", "video")
"""Those whose first axis is time."""


def hold(
    model: Model, key: Key, examples: np.ndarray, held: np.ndarray, method: str = "repaint", **options: Any
) -> np.ndarray:
    """Draw the moments of examples that are not held; those that are come back as they are.

    Args:
      examples: (n, time, ...), in the data's own units, as `Model.sample` returns them.
      held: (time,) or (n, time), which samples or frames are given.
      method: and `options`: see `jaxdiff.pipelines.inpaint.inpaint`, and those of `Model.sample`; `noise`, if it is
        given, is in the data's own units, too, and by default 0.01 of those in which a network sees them.

    Raises:
      InputError: a model of another modality, shapes that do not fit, values that are not finite, or nothing to draw.
    """
    require(MODALITIES, model.spec, "hold")
    examples, held = np.asarray(examples), np.asarray(held)
    if examples.ndim < 2 or examples.shape[1:] != model.shape or not len(examples):
        raise InputError(
            f"examples of shape {examples.shape}: this model takes (n, {', '.join(map(str, model.shape))})"
        )
    if examples.dtype.kind != "f" or not np.isfinite(examples).all():
        raise InputError(f"examples of {examples.dtype}: must be finite real numbers, as `Model.sample` returns them")
    if held.dtype != bool or held.shape not in (examples.shape[:2], examples.shape[1:2]):
        raise InputError(
            f"held: {held.dtype} of shape {held.shape}: must be bool, {examples.shape[1:2]} or {examples.shape[:2]}"
        )
    if held.all(-1).any():
        raise InputError("held: everything is: leave something to be drawn")
    held = np.broadcast_to(held, examples.shape[:2]).reshape(*examples.shape[:2], *(1,) * (examples.ndim - 2))
    mask = np.broadcast_to(held, examples.shape).astype(np.float32)
    seen = np.asarray(model.codec.encode(examples), np.float32)
    if options.get("noise") is not None:
        ends = [np.asarray(model.codec.encode(np.full((1, *model.shape), value))).flat[0] for value in (0.0, 1.0)]
        options["noise"] *= float(ends[1] - ends[0])
    drawn = model.codec.decode(finite(np.asarray(draw_around(model, key, seen, mask, method, **options)), "examples"))
    return np.where(held, examples, drawn)


def extend(model: Model, key: Key, examples: np.ndarray, given: float, **options: Any) -> np.ndarray:
    """Draw what follows the beginning of sounds or videos.

    Args:
      given: how much of each is held: frames, or seconds of a sound.
      options: those of `hold`.
    """
    count, length = _moments(model, given), model.shape[0]
    if not 0 < count < length:
        raise InputError(f"given={given:g}: {_of(model)}, must be above 0 and leave something to be drawn")
    return hold(model, key, examples, np.arange(length) < count, **options)


def bridge(model: Model, key: Key, examples: np.ndarray, gap: tuple[float, float], **options: Any) -> np.ndarray:
    """Draw what is missing between two moments of sounds or videos.

    Args:
      gap: from where to where nothing is known: frames from 0 on, the last one known again; or seconds of a sound.
      options: those of `hold`.
    """
    start, stop = (_moments(model, moment) for moment in gap)
    if not 0 <= start < stop <= model.shape[0] or (start, stop) == (0, model.shape[0]):
        raise InputError(f"gap={gap[0]:g} {gap[1]:g}: {_of(model)}, must rise, lie within, and leave something known")
    places = np.arange(model.shape[0])
    return hold(model, key, examples, (places < start) | (places >= stop), **options)


def _moments(model: Model, value: float) -> int:
    """Seconds of a sound as samples; frames as they are."""
    require(MODALITIES, model.spec, "this task")
    if model.spec.modality == "audio":
        return round(value * model.spec.details.get("rate", 1))
    if value != int(value):
        raise InputError(f"{value:g} frames: must be a whole number of them")
    return int(value)


def _of(model: Model) -> str:
    length = model.shape[0]
    if model.spec.modality == "audio":
        return f"in seconds of {length / model.spec.details.get('rate', 1):g}"
    return f"in frames of {length}"


def _two(gap: list[float]) -> tuple[float, float]:
    if len(gap) != 2:
        raise InputError(f"--gap {' '.join(f'{moment:g}' for moment in gap)}: takes two numbers, from and to")
    return gap[0], gap[1]


WHEN = "in frames, or seconds of a sound"
PIPELINES = {
    "extend": Pipeline(
        extend,
        "draw what follows the beginning of a sound or a video",
        (Argument("given", f"how much of the beginning is known, {WHEN}", float, required=True), *DRAWING),
        modality=MODALITIES,
    ),
    "bridge": Pipeline(
        bridge,
        "draw what is missing in the middle of a sound or a video",
        (
            Argument(
                "gap",
                f"where nothing is known, from and to, {WHEN}",
                float,
                many=True,
                required=True,
                read=lambda gap, model: _two(gap),
            ),
            *DRAWING,
        ),
        modality=MODALITIES,
    ),
}
