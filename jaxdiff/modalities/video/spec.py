"""Spec: what one video is."""

from collections.abc import Sequence

from jaxdiff.types import Codec, Spec

__all__ = ["AXES", "RANGE", "every", "make_codec", "pace", "video_spec"]

AXES = ("frames", "height", "width", "channels")
RANGE = (-1.0, 1.0)
PACE = 8.0


def video_spec(
    shape: tuple[int, ...], pace: float = PACE, levels: int | None = None, classes: Sequence[str] = (), every: int = 1
) -> Spec:
    """A video (frames, height, width, channels) in [-1, 1].

    Args:
      pace: frames a second, at which it is shown.
      levels: that its pixels may take; any by default.
      classes: names of its classes, where it has some.
      every: which frame of a clip is taken: one of so many.
    """
    named = ({"classes": list(classes)} if len(classes) else {}) | ({"every": int(every)} if every > 1 else {})
    return Spec(tuple(shape), "video", *RANGE, levels, {"pace": float(pace), **named})


def make_codec(spec: Spec) -> Codec:
    """Videos are drawn as they are trained on."""
    return Codec()


def every(spec: Spec) -> int:
    """One frame of how many of a clip is taken; 1 where a specification does not say."""
    return int(spec.details.get("every", 1))


def pace(spec: Spec) -> float:
    """Frames a second; 8 where a specification does not say."""
    return float(spec.details.get("pace", PACE))
