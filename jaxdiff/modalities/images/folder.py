"""A folder of pictures of any size, read when they are needed and kept in memory if they fit."""

import contextlib
import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from jaxdiff.data.below import class_names, is_hidden
from jaxdiff.data.caption_files import FILES, read_captions
from jaxdiff.data.captions import captioned
from jaxdiff.data.picture import check_shape, fit, opened
from jaxdiff.data.source import Source, labeled, to_unit_range
from jaxdiff.errors import InputError
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch

__all__ = ["LARGE", "LOOKED_AT", "NAMED", "SUFFIXES", "folder", "read_picture", "survey"]

logger = logging.getLogger(__name__)

SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
NAMED = 5
"""Of the pictures that cannot be read, so many are named."""
LOOKED_AT = 64
"""So many, from all over a folder, tell of what size and color its pictures are."""
LARGE = 2**24
"""Pictures of more pixels are decoded by one thread, so that memory has a bound: each thread keeps what it had."""
_alone = ThreadPoolExecutor(1)


def folder(
    path: str,
    size: int = 64,
    width: int = 0,
    channels: int = 3,
    flip: bool = True,
    cache_gb: float = 4.0,
    captions: str = "",
) -> Source:
    """All pictures below a folder; where each lies in a sub-folder, the first sub-folder's name is its class.

    Classes are in the order of their names, of numbers in that of the numbers. What begins with "." or "__", such as
    .ipynb_checkpoints and __MACOSX, is left out, and so are files of other kinds and links to folders within this one,
    which are counted in a warning.

    Args:
      path: of the folder.
      size: side, or height, in pixels; pictures are resized with antialiasing and cropped at the center.
      width: where it is another than the height; 0 for squares.
      channels: 3 for RGB, 1 for grey.
      flip: allow horizontal flips.
      cache_gb: keep the prepared pictures in memory if they take no more than this.
      captions: "auto" for those in metadata.jsonl, captions.json, captions.csv or NAME.txt beside each picture; or the
        name of such a list (`jaxdiff.data.caption_files`).

    Raises:
      InputError: no such folder, no picture in it, or some that cannot be read, which are named: here, or, for damage
        behind the header, when they are first taken. Links are followed within the folder only.
    """
    shape = (size, width or size, channels)
    check_shape(shape)
    root = Path(path)
    if not os.path.isdir(root):
        raise InputError(f"{path!r} is not a folder")
    below = [f for f in sorted(root.rglob("*")) if not any(map(is_hidden, f.relative_to(root).parts))]
    _refuse([_follow(f, root.resolve()) for f in below if f.is_symlink()])
    files = [f for f in below if f.suffix.lower() in SUFFIXES and f.is_file()]
    if not files:
        raise InputError(f"no picture below {path!r}: looked for {', '.join(sorted(SUFFIXES))}")
    texts = read_captions(root, files, captions) if captions else ()
    _say_rest(path, below, {*files, *(_of_captions(root, files) if captions else ())})
    pool = ThreadPoolExecutor(16)
    _refuse(list(pool.map(_look, files)))
    names = class_names([f.relative_to(root) for f in files], path, "pictures")
    labels = np.array([names.index(f.relative_to(root).parts[0]) for f in files], np.int32) if names else None

    read = _reader(files, shape, cache_gb)

    def take(indices):
        pixels = np.stack(list(pool.map(read, indices)))
        return Batch(to_unit_range(pixels))

    listing = "".join(f"{f.relative_to(root)}\0{f.stat().st_size}\0" for f in files).encode(errors="surrogateescape")
    source = Source(len(files), image_spec(shape, classes=names), take, flip=flip, known=listing)
    source = labeled(source, labels, len(names))
    return captioned(source, texts, f"{path!r}") if captions else source


def _reader(files: list[Path], shape: tuple[int, ...], cache_gb: float) -> Callable[[int], np.ndarray]:
    """`number -> pixels` of these pictures, kept in memory if they fit."""
    cached = len(files) * math.prod(shape) <= cache_gb * 1e9
    cache = np.empty((len(files) if cached else 0, *shape), np.uint8)
    known = np.zeros(len(files), bool)

    def read(i):
        if known[i]:
            return cache[i]
        pixels = _read(files[i], shape)
        if cached:
            cache[i], known[i] = pixels, True
        return pixels

    return read


def _say_rest(path: str, below: list[Path], taken: set[Path]) -> None:
    """Warn of what is below a folder and not taken."""
    other = Counter(f.suffix.lower() or "no suffix" for f in below if f not in taken and f.is_file())
    other.update("links to folders" for f in below if f.is_symlink() and f.is_dir())
    if other:
        logger.warning("%r: left out %s", path, ", ".join(f"{n} of {kind}" for kind, n in sorted(other.items())))


def _of_captions(root: Path, files: list[Path]) -> list[Path]:
    """The files that may hold captions of these pictures."""
    return [*(file.with_suffix(".txt") for file in files), *(root / name for name in FILES)]


def survey(path: str) -> tuple[int, int]:
    """The median of the shorter sides of the pictures below a folder, and 1 channel if all are grey, else 3.

    By some of them; 0 if there are none.
    """
    below = [f for f in sorted(Path(path).rglob("*")) if not any(map(is_hidden, f.relative_to(path).parts))]
    files = [f for f in below if f.suffix.lower() in SUFFIXES and f.is_file()]
    sides, channels = [0], 1
    for i in np.unique(np.linspace(0, len(files) - 1, LOOKED_AT).astype(int)) if files else ():
        with contextlib.suppress(InputError), _naming(files[i]), opened(files[i]) as picture:
            sides.append(min(picture.size))
            pixels = fit(picture, (32, 32, 3)).astype(int)
            channels = 3 if np.ptp(pixels, axis=-1).max() > 8 else channels
    return int(np.median(sides[1:] or sides)), channels


def read_picture(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """One picture brought to a shape (height, width, channels), float32 in [-1, 1].

    Raises:
      InputError: it cannot be read.
    """
    check_shape(shape)
    return to_unit_range(_read(path, shape))


def _refuse(problems: list[str]) -> None:
    """Refuse what has problems, if any are not empty."""
    if bad := [problem for problem in problems if problem]:
        raise InputError("; ".join(bad[:NAMED]) + (f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""))


def _follow(link: Path, root: Path) -> str:
    """Describe the fault of a link to a picture or a folder; empty if there is none."""
    picture = link.suffix.lower() in SUFFIXES
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # the latter of a circle
        return f"{str(link)!r} is a link that leads to nothing: mend it or take it out" if picture else ""
    if target.is_relative_to(root) or not (picture or target.is_dir()):
        return ""
    return f"{str(link)!r} is a link to {str(target)!r}, outside of the folder: put what it means in its place"


def _look(file: Path) -> str:
    """Describe the fault of a picture's header; empty if there is none."""
    try:
        with _naming(file), opened(file):
            pass
    except InputError as error:
        return str(error)
    return ""


def _read(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    with _naming(file), opened(file) as picture:
        if picture.width * picture.height > LARGE:
            return _alone.submit(fit, picture, shape).result()
        return fit(picture, shape)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Whatever is wrong with a picture, say which."""
    try:
        yield
    except Exception as error:  # of a damaged file, Pillow's decoders raise all kinds
        reason = " ".join(str(error).split())
        raise InputError(f"{str(file)!r} cannot be read as a picture: mend it or take it out ({reason})") from error
