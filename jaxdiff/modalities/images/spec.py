"""Spec: what one image is."""

from jaxdiff.types import Codec, Spec

__all__ = ["AXES", "RANGE", "image_spec", "make_codec"]

AXES = ("height", "width", "channels")
RANGE = (-1.0, 1.0)


def image_spec(shape: tuple[int, ...], levels: int | None = None) -> Spec:
    """An image (height, width, channels) in [-1, 1]; its pixels may take so many levels, or, by default, any."""
    return Spec(tuple(shape), "images", *RANGE, levels)


def make_codec(spec: Spec) -> Codec:
    """Images are drawn as they are trained on."""
    return Codec()
