"""Images in a NumPy file: `.npy` (one array, left on disk until it is read) or `.npz` (several, by name)."""

import math
import os
from pathlib import Path

import numpy as np

from jaxdiff.data.source import Source, labeled, to_unit_range
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch

__all__ = ["LABELS", "MEMORY", "arrays"]

LABELS = 2**31


def _memory() -> float:
    """The memory of the machine, in bytes; infinite where the system does not say."""
    try:
        pages = os.sysconf("SC_PHYS_PAGES")
        return os.sysconf("SC_PAGE_SIZE") * pages if pages > 0 else math.inf
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, and other systems not all of its names
        return math.inf


MEMORY = _memory()
"""An array of a `.npz` has to fit."""


def arrays(
    path: str,
    key: str = "",
    label_key: str = "",
    low: float = -1.0,
    high: float = 1.0,
    flip: bool = False,
    classes: str = "",
) -> Source:
    """Images of a `.npy` or `.npz` file.

    Args:
      path: of the file; images are (n, height, width) or (n, height, width, channels).
      key: of the images in a `.npz`; may be left out if it holds one array.
      label_key: of the integer labels in a `.npz`, if they are wanted.
      low, high: the range of floating-point pixels; uint8 ones are 0 to 255.
      flip: allow horizontal flips.
      classes: names of the classes, in the order of their labels, with commas between them.

    Raises:
      InputError: no such file or array, or one of another type, shape or range.
    """
    if not os.path.isfile(path) or Path(path).suffix not in (".npy", ".npz"):
        raise InputError(f"{path!r} is not a .npy or .npz file")
    try:
        images, labels = _load(path, key, label_key)
    except InputError:
        raise
    except Exception as error:  # of a damaged file, NumPy, zipfile and zlib raise all kinds
        reason = " ".join(str(error).split())
        raise InputError(f"{path!r} cannot be read as a NumPy file of plain numbers: {reason}") from error
    images = images[..., None] if images.ndim == 3 else images
    levels = 256 if images.dtype == np.uint8 else None
    if images.ndim != 4 or 0 in images.shape:
        raise InputError(f"{path!r} holds an array of shape {images.shape}: images are (n, height, width[, channels])")
    if images.dtype == np.uint8:
        low, high = 0, 255
    elif not np.issubdtype(images.dtype, np.floating):
        raise InputError(f"{path!r} holds {images.dtype}: images are uint8 (0 to 255) or floating point")
    elif not (low < high and math.isfinite(high - low)):
        raise InputError(f"data.low={low}, data.high={high}: the range of the pixels is finite, and low below high")
    elif not (images.min() >= low and images.max() <= high):
        raise InputError(
            f"{path!r} holds values from {images.min()} to {images.max()}, outside the range {low} to {high} that the "
            "configuration names: set data.low and data.high"
        )
    if labels is not None:
        whole = labels.shape == images.shape[:1] and np.issubdtype(labels.dtype, np.integer)
        if not whole or labels.min() < 0 or labels.max() >= LABELS:
            raise InputError(f"{label_key!r} in {path!r} must hold one label, an integer from 0, for each image")
        labels = labels.astype(np.int32)

    def take(i):
        return Batch(to_unit_range(images[i], low, high))

    count = 0 if labels is None else int(labels.max()) + 1
    spec = image_spec(images.shape[1:], levels, _names(classes, count, path))
    return labeled(Source(len(images), spec, take, flip=flip), labels, count)


def _names(classes: str, count: int, path: str) -> list[str]:
    names = [name.strip() for name in classes.split(",") if name.strip()]
    if names and len(names) != count:
        raise InputError(f"data.classes has {len(names)} names: {path!r} has {count} classes by its data.label_key")
    return names


def _load(path: str, key: str, label_key: str) -> tuple[np.ndarray, np.ndarray | None]:
    """The images and the labels, if they are wanted."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"PK"
        file.seek(0)
        if zipped:
            content = np.load(file, allow_pickle=False)
            images = _entry(content, key or (content.files[0] if len(content.files) == 1 else ""), path)
            return images, _entry(content, label_key, path) if label_key else None
    if key or label_key:
        raise InputError(
            f"{path!r} holds one array, without a name: data.key and data.label_key are for a .npz with several"
        )
    return np.load(path, mmap_mode="r", allow_pickle=False), None


def _entry(content, key: str, path: str) -> np.ndarray:
    if key not in content.files:
        raise unknown(f"array (data.key, data.label_key) in {path!r}", key, content.files)
    names = content.zip.namelist()
    size = content.zip.getinfo(key if key in names else f"{key}.npy").file_size
    if size > MEMORY:
        raise InputError(
            f"{key!r} in {path!r} takes {size / 1e6:,.1f} MB, more than this machine's memory: save it as a .npy, "
            "which stays on disk"
        )
    if not isinstance(array := content[key], np.ndarray):
        raise ValueError(f"{key!r} is no array")
    return array
