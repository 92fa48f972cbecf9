"""Images in memory: an array, of NumPy, JAX or a list of rows, as a source."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdiff.data.source import Source, content, labeled, say_gaps, to_unit_range
from jaxdiff.errors import InputError
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch

__all__ = ["image_array"]


def image_array(
    images: Any,
    labels: Any = None,
    range: tuple[float, float] | None = None,
    classes: Sequence[str] = (),
    flip: bool = False,
) -> Source:
    """A source of images that are in memory.

    Args:
      images: (n, height, width, channels) or (n, height, width), of uint8 or floating point.
      labels: (n,) whole numbers from 0; or texts, the names of classes: in the order of `classes`, or else sorted.
      range: of floating-point pixels, such as (0, 1); by default (-1, 1), if some are below 0. uint8 is (0, 255).
      classes: the names of the classes, in the order of their numbers.
      flip: mirror them in training.

    Raises:
      InputError: another shape or type, pixels outside the range or of an unclear one, or labels that do not fit.
    """
    images = np.asarray(images)
    if images.ndim == 3 and images.shape[2] <= 4 < min(images.shape[:2]):
        raise InputError(
            f"images of shape {images.shape}: give images[None] for one picture of {images.shape[2]} channels, and "
            "images[..., None] for grey ones so narrow"
        )
    images = images[..., None] if images.ndim == 3 else images
    if images.ndim != 4 or 0 in images.shape:
        raise InputError(f"images of shape {images.shape}: must be (n, height, width, channels) or (n, height, width)")
    if images.shape[1] <= 4 < min(images.shape[2:]):
        raise InputError(f"images of shape {images.shape}: the channels come last: give images.transpose(0, 2, 3, 1)")
    if images.dtype.kind == "V":  # bfloat16, which NumPy does not know
        images = images.astype(np.float32)
    low, high = _range(images, range)
    numbers, names = _labels(labels, len(images), classes)
    count = max(len(names), int(numbers.max()) + 1) if numbers is not None else 0
    spec = image_spec(images.shape[1:], 256 if images.dtype == np.uint8 else None, names)
    take = lambda i: Batch(to_unit_range(images[i], low, high))
    return labeled(Source(len(images), spec, take, flip=flip, known=content(images)), numbers, count)


def _range(images: np.ndarray, given: tuple[float, float] | None) -> tuple[float, float]:
    if images.dtype == np.uint8:
        if given not in (None, (0, 255)):
            raise InputError(f"range={given}: that of uint8 is (0, 255): leave it out")
        return 0, 255
    if not np.issubdtype(images.dtype, np.floating):
        raise InputError(f"images of {images.dtype}: must be uint8 (0 to 255) or floating point")
    least, most = float(images.min()), float(images.max())
    if given is None and least >= 0:
        raise InputError(f"images from {least:g} to {most:g}: say which range they are in, such as range=(0, 1)")
    low, high = given or (-1.0, 1.0)
    if not (low < high and np.isfinite(high - low)):
        raise InputError(f"range={given}: must be two finite numbers that rise")
    if not (low <= least and most <= high):  # also of NaN
        raise InputError(f"images from {least:g} to {most:g}: outside the range ({low:g}, {high:g}): give range=")
    return low, high


def _labels(labels: Any, n: int, classes: Sequence[str]) -> tuple[np.ndarray | None, list[str]]:
    """Whole numbers, (n,), and the names of their classes, as far as there are some."""
    names = [str(name) for name in classes]
    if labels is None and names:
        raise InputError("classes: are the names of labels: give labels, too")
    if len(set(names)) < len(names):
        raise InputError(f"classes={names}: give each its own name")
    if labels is None:
        return None, []
    found = np.asarray(labels)
    if found.shape != (n,):
        raise InputError(f"labels of shape {found.shape}: must be ({n},), one for each image")
    if found.dtype.kind == "U" or (found.dtype.kind == "O" and all(isinstance(label, str) for label in found)):
        there = sorted(set(map(str, found)))
        if names and (other := [name for name in there if name not in names]):
            raise InputError(f"labels: {other[0]!r} is none of the classes {', '.join(names)}")
        number = {name: i for i, name in enumerate(names or there)}
        return np.array([number[str(label)] for label in found], np.int32), list(number)
    if found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= 2**31:
        raise InputError(f"labels such as {found[0]!r} and {found[-1]!r}: must be whole numbers from 0, or texts")
    say_gaps(found, "labels")
    if names and found.max() >= len(names):
        raise InputError(f"labels up to {found.max()}: classes has {len(names)} names")
    return found.astype(np.int32), names
