"""Spec: what one video is."""

from collections.abc import Sequence

from jaxdiff.types import Codec, Spec

__all__ = ["AXES", "RANGE", "make_codec", "pace", "video_spec"]

AXES = ("frames", "height", "width", "channels")
RANGE = (-1.0, 1.0)
PACE = 8.0


def video_spec(
    shape: tuple[int, ...], pace: float = PACE, levels: int | None = None, classes: Sequence[str] = ()
) -> Spec:
    """A video (frames, height, width, channels) in [-1, 1].

    Args:
      pace: frames a second, at which it is shown.
      levels: that its pixels may take; any by default.
      classes: names of its classes, where it has some.
    """
    named = {"classes": list(classes)} if len(classes) else {}
    return Spec(tuple(shape), "video", *RANGE, levels, {"pace": float(pace), **named})


def make_codec(spec: Spec) -> Codec:
    """Videos are drawn as they are trained on."""
    return Codec()


def pace(spec: Spec) -> float:
    """Frames a second; 8 where a specification does not say."""
    return float(spec.details.get("pace", PACE))
