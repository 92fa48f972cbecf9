"""Images in a NumPy file: `.npy` (one array, left on disk until it is read) or `.npz` (several, by name)."""

import logging
import math
import os
from pathlib import Path

import numpy as np

from jaxdiff.data import numpy_file
from jaxdiff.data.captions import captioned_by
from jaxdiff.data.source import Source, labeled, say_gaps, to_unit_range
from jaxdiff.errors import InputError
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch

__all__ = ["LABELS", "arrays"]

logger = logging.getLogger(__name__)

LABELS = 2**31
CHANNELS = 4
"""So many at most where they come before the sides, as in PyTorch."""
HINT = 64
"""Bytes are looked at in so many images."""


def arrays(
    path: str,
    key: str = "",
    label_key: str = "",
    low: float = -1.0,
    high: float = 1.0,
    flip: bool = False,
    classes: str = "",
    caption_key: str = "",
) -> Source:
    """Images of a `.npy` or `.npz` file.

    Args:
      path: of the file; images are (n, height, width) or (n, height, width, channels).
      key: of the images in a `.npz`; may be left out if it holds one array.
      label_key: of the integer labels in a `.npz`, if they are wanted.
      low, high: the range of floating-point pixels. That of uint8 is 0 to 255, unless another from 0 on is said,
        such as 0 to 1.
      flip: allow horizontal flips.
      caption_key: of the captions in a `.npz`, an array of texts, if they are wanted.
      classes: names of the classes, in the order of their labels, with commas between them.

    Raises:
      InputError: no such file or array, or one of another type, shape or range.
    """
    if not os.path.isfile(path) or Path(path).suffix not in (".npy", ".npz"):
        what = "not a .npy or .npz file" if os.path.exists(path) else "not there: give the path of a .npy or .npz file"
        raise InputError(f"{path!r} is {what}")
    try:
        images, labels = numpy_file.load(path, key, label_key, "data.key, data.label_key")
        texts = numpy_file.member(path, caption_key, "data.caption_key") if caption_key else None
    except InputError:
        raise
    except Exception as error:  # of a damaged file, NumPy, zipfile and zlib raise all kinds
        reason = " ".join(str(error).split())
        raise InputError(f"{path!r} cannot be read as a NumPy file of plain numbers: {reason}") from error
    shape = images.shape if len(images.shape) != 3 else (*images.shape, 1)
    if len(shape) != 4 or 0 in shape:
        raise InputError(f"{path!r} holds an array of shape {images.shape}: images are (n, height, width[, channels])")
    if shape[1] <= CHANNELS < min(shape[2:]):
        raise InputError(
            f"{path!r} holds an array of shape {shape}, whose channels come first: images are (n, height, width, "
            "channels): save np.transpose(array, (0, 2, 3, 1))"
        )
    low, high = _range(path, images, low, high)
    if labels is not None:
        whole = labels.shape == shape[:1] and np.issubdtype(labels.dtype, np.integer)
        if not whole or labels.min() < 0 or labels.max() >= LABELS:
            raise InputError(f"{label_key!r} in {path!r} must hold one label, an integer from 0, for each image")
        labels = labels.astype(np.int32)
        say_gaps(labels, f"{label_key!r} in {path!r}")

    def take(indices):
        return Batch(to_unit_range(images.take(indices).reshape(-1, *shape[1:]), low, high))

    count = 0 if labels is None else int(labels.max()) + 1
    levels = int(high - low) + 1 if images.dtype == np.uint8 and high - low == int(high - low) else None
    spec = image_spec(shape[1:], levels, _names(classes, count, path))
    source = labeled(Source(shape[0], spec, take, flip=flip), labels, count)
    return source if texts is None else captioned_by(source, texts, f"{caption_key!r} in {path!r}")


def _names(classes: str, count: int, path: str) -> list[str]:
    names = [name.strip() for name in classes.split(",") if name.strip()]
    if names and len(names) != count:
        raise InputError(f"data.classes has {len(names)} names: {path!r} has {count} classes by its data.label_key")
    return names


def _range(path: str, images: numpy_file.Rows, low: float, high: float) -> tuple[float, float]:
    """The range of the pixels; what hints at another one is said.

    Raises:
      InputError: pixels of another type, or outside of their range.
    """
    if images.dtype == np.uint8 and 0 <= low < high <= 255 and (low, high) != (0, 255):
        least, most = images.extremes()
    elif images.dtype == np.uint8:
        some = images.take(np.linspace(0, images.shape[0] - 1, HINT).astype(int))
        low, high, least, most = 0, 255, some.min(), some.max()
    elif not np.issubdtype(images.dtype, np.floating):
        raise InputError(f"{path!r} holds {images.dtype}: images are uint8 (0 to 255) or floating point")
    elif not (low < high and math.isfinite(high - low)):
        raise InputError(f"data.low={low}, data.high={high}: the range of the pixels is finite, and low below high")
    else:
        least, most = images.extremes()
    if not (least >= low and most <= high):
        raise InputError(
            f"{path!r} holds values from {least} to {most}, outside the range {low} to {high} that the configuration "
            "names: set data.low and data.high"
        )
    if low < 0 <= least:
        logger.warning("%r: no value is below 0, of %s to %s: if 0 is black, set data.low=0", path, low, high)
    elif most <= 1 and high == 255:
        logger.warning("%r: no value is above 1, of 255: if 1 is white, multiply them by 255", path)
    return low, high
