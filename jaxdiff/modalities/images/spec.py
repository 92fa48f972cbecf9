"""Spec: what one image is."""

from collections.abc import Sequence

from jaxdiff.types import Codec, Spec

__all__ = ["AXES", "RANGE", "image_spec", "make_codec"]

AXES = ("height", "width", "channels")
RANGE = (-1.0, 1.0)


def image_spec(shape: tuple[int, ...], levels: int | None = None, classes: Sequence[str] = ()) -> Spec:
    """An image (height, width, channels) in [-1, 1].

    Args:
      levels: that its pixels may take; any by default.
      classes: names of its classes, where they have some.
    """
    return Spec(tuple(shape), "images", *RANGE, levels, {"classes": list(classes)} if classes else {})


def make_codec(spec: Spec) -> Codec:
    """Images are drawn as they are trained on."""
    return Codec()
