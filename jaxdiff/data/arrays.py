"""Images in a NumPy file: `.npy` (one array, left on disk until it is read) or `.npz` (several, by name)."""

from pathlib import Path

import numpy as np

from jaxdiff.data.source import Source, to_unit_range
from jaxdiff.errors import InputError, unknown
from jaxdiff.types import Batch, Condition


def arrays(
    path: str, key: str = "", label_key: str = "", low: float = -1.0, high: float = 1.0, flip: bool = False
) -> Source:
    """Images of a `.npy` or `.npz` file.

    Args:
      path: of the file; images are (n, height, width) or (n, height, width, channels).
      key: of the images in a `.npz`; may be left out if it holds one array.
      label_key: of the integer labels in a `.npz`, if they are wanted.
      low, high: the range of floating-point pixels; uint8 ones are 0 to 255.
      flip: allow horizontal flips.

    Raises:
      InputError: no such file or array, or one of another type, shape or range.
    """
    file = Path(path)
    if not file.is_file() or file.suffix not in (".npy", ".npz"):
        raise InputError(f"{path!r} is not a .npy or .npz file")
    try:
        content = np.load(file, mmap_mode="r", allow_pickle=False)
        if isinstance(content, np.ndarray):
            images, labels = content, None
        else:
            images = _entry(content, key or (content.files[0] if len(content.files) == 1 else ""), path)
            labels = _entry(content, label_key, path) if label_key else None
    except (ValueError, EOFError, OSError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path!r} cannot be read as a NumPy file of plain numbers: {error}") from error
    images = images[..., None] if images.ndim == 3 else images
    levels = 256 if images.dtype == np.uint8 else None
    if images.ndim != 4 or not len(images):
        raise InputError(f"{path!r} holds an array of shape {images.shape}: images are (n, height, width[, channels])")
    if images.dtype == np.uint8:
        low, high = 0, 255
    elif not np.issubdtype(images.dtype, np.floating):
        raise InputError(f"{path!r} holds {images.dtype}: images are uint8 (0 to 255) or floating point")
    elif not (images.min() >= low and images.max() <= high):
        raise InputError(
            f"{path!r} holds values from {images.min()} to {images.max()}, outside the range {low} to {high} that the "
            "configuration names: set data.low and data.high"
        )
    if labels is not None:
        if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
            raise InputError(f"{label_key!r} in {path!r} must hold one label, an integer from 0, for each image")
        labels = labels.astype(np.int32)

    def take(i):
        return Batch(to_unit_range(images[i], low, high), None if labels is None else Condition(labels[i]))

    return Source(
        len(images),
        images.shape[1:],
        0 if labels is None else int(labels.max()) + 1,
        take,
        flip,
        levels,
        labels if labels is None else lambda: labels,
    )


def _entry(content, key: str, path: str) -> np.ndarray:
    if key not in content.files:
        raise unknown(f"array (data.key, data.label_key) in {path!r}", key, content.files)
    return content[key]
