"""A folder of pictures of any size, read when they are needed and kept in memory if they fit."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from jaxdiff.data.picture import check_size, fit
from jaxdiff.data.source import Source, to_unit_range
from jaxdiff.errors import InputError
from jaxdiff.types import Batch, Condition

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
NAMED = 5
"""Of the pictures that cannot be read, so many are named."""


def folder(path: str, size: int = 64, channels: int = 3, flip: bool = True, cache_gb: float = 4.0) -> Source:
    """All pictures below a folder; where each lies in a sub-folder, the first sub-folder's name is its class.

    Args:
      path: of the folder.
      size: side in pixels; pictures are resized with antialiasing and cropped at the centre.
      channels: 3 for RGB, 1 for grey.
      flip: allow horizontal flips.
      cache_gb: keep the prepared pictures in memory if they take no more than this.

    Raises:
      InputError: no such folder, no picture in it, or some that cannot be read, which are named: here, or, for damage
        behind the header, when they are first taken.
    """
    check_size(size, channels)
    root = Path(path)
    if not root.is_dir():
        raise InputError(f"{path!r} is not a folder")
    files = sorted(f for f in root.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    if not files:
        raise InputError(f"no picture below {path!r}: looked for {', '.join(sorted(SUFFIXES))}")
    pool = ThreadPoolExecutor(16)
    bad = [problem for problem in pool.map(_look, files) if problem]
    if bad:
        more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise InputError("; ".join(bad[:NAMED]) + more)

    places = [f.relative_to(root).parts for f in files]
    classes = sorted({p[0] for p in places}) if all(len(p) > 1 for p in places) else []
    labels = np.array([classes.index(p[0]) for p in places], np.int32) if len(classes) > 1 else None

    shape = (size, size, channels)
    cached = len(files) * size * size * channels <= cache_gb * 1e9
    cache = np.empty((len(files) if cached else 0, *shape), np.uint8)
    known = np.zeros(len(files), bool)

    def read(i):
        if known[i]:
            return cache[i]
        pixels = _read(files[i], size, channels)
        if cached:
            cache[i], known[i] = pixels, True
        return pixels

    def take(indices):
        pixels = np.stack(list(pool.map(read, indices)))
        return Batch(to_unit_range(pixels), None if labels is None else Condition(labels[indices]))

    return Source(
        len(files),
        shape,
        len(classes) if labels is not None else 0,
        take,
        flip,
        labels=labels if labels is None else lambda: labels,
    )


def _look(file: Path) -> str:
    """What is wrong with a picture's header, if anything."""
    try:
        with _naming(file):
            Image.open(file).close()
    except InputError as error:
        return str(error)
    return ""


def _read(file: Path, size: int, channels: int) -> np.ndarray:
    with _naming(file), Image.open(file) as picture:
        return fit(picture, size, channels)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Whatever is wrong with a picture, say which."""
    try:
        yield
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{str(file)!r} cannot be read as a picture: mend it or take it out ({error})") from error
