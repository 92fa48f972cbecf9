"""Spec: what one image is."""

from collections.abc import Sequence

from jaxdiff.modalities.images.coded import latent_codec
from jaxdiff.types import Codec, Spec

__all__ = ["AXES", "RANGE", "image_spec", "make_codec", "range_of"]

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
    """Images are drawn as they are trained on, and latents are decoded."""
    return latent_codec(spec) if "autoencoder" in spec.details else Codec()


def range_of(spec: Spec) -> tuple[float | None, float | None]:
    """The range of its values: latents may have any."""
    return (None, None) if "autoencoder" in spec.details else RANGE
