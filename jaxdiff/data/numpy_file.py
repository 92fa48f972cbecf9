"""NumPy files, .npy and .npz: a header is believed only if the file holds as many bytes as it promises.

The rows of a .npy stay on disk and are read by their position, not through a map of the file, which ends the process
(SIGBUS) when somebody writes the file again.
"""

import math
import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from jaxdiff.errors import InputError, unknown

__all__ = ["MEMORY", "Rows", "array_of", "load", "member", "names_in"]

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says what a container or a job may have."""
HEADER = 10_000
"""Bytes that a header may take, as NumPy has it."""


def _memory() -> float:
    """The memory that this process may have, in bytes; infinite where the system does not say."""
    limits = [math.inf]
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf, and other systems not all its names
        limits += [os.sysconf("SC_PAGE_SIZE") * pages] if (pages := os.sysconf("SC_PHYS_PAGES")) > 0 else []
    for file in LIMITS:
        with suppress(ValueError, OSError):  # "max" is no limit
            limits.append(int(Path(file).read_text()))
    return min(limits)


MEMORY = _memory()
"""An array that is read as a whole has to fit."""


class Rows(NamedTuple):
    """An array whose rows are read when they are needed.

    Attributes:
      shape, dtype: of the array.
      take: `(indices) -> rows`, a copy.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    take: Callable[[Any], np.ndarray]

    def extremes(self) -> tuple[Any, Any]:
        """The least and the largest value, NaN if there is one, from 16 MB at once."""
        n = max(2**24 // (math.prod(self.shape[1:]) * self.dtype.itemsize), 1)
        parts = (self.take(np.arange(i, min(i + n, self.shape[0]))) for i in range(0, self.shape[0], n))
        lows, highs = zip(*((part.min(), part.max()) for part in parts), strict=True)
        return np.min(lows), np.max(highs)


def load(path: str, key: str, label_key: str, fields: str) -> tuple[Rows, np.ndarray | None]:
    """The rows of a .npy, whatever its suffix, or of an array of a .npz, and another array of that, if it is wanted.

    Args:
      path: of the file.
      key: of the rows in a .npz; may be empty if it holds one array.
      label_key: of the other array; empty for none.
      fields: what the configuration calls the two, for messages.

    Raises:
      InputError: no array of that name, or one larger than the memory.
      Exception: of a damaged file, of any kind.
    """
    if (names := names_in(path)) is None:
        if key or label_key:
            raise InputError(f"{path!r} holds one array, without a name: {fields} are for a .npz with several")
        return _rows(path), None
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
        key = key or (names[0] if len(names) == 1 else "")
        rows = _member(content, key, path, fields)
        labels = _member(content, label_key, path, fields) if label_key else None
    return Rows(rows.shape, rows.dtype, rows.__getitem__), labels


def member(path: str, key: str, fields: str) -> np.ndarray:
    """One array of a .npz, by name, such as texts.

    Args:
      fields: what the configuration calls it, for messages.

    Raises:
      InputError: no such array, or one larger than the memory.
      Exception: of a damaged file, of any kind.
    """
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
        return _member(content, key, path, fields)


def array_of(path: str | Path) -> np.ndarray:
    """The array of a .npy, as a whole.

    Raises:
      InputError: it cannot be read, or is empty.
    """
    try:
        rows = _rows(str(path))
    except Exception as error:  # of a damaged file, NumPy raises all kinds
        raise InputError(f"{str(path)!r} cannot be read as a .npy: {' '.join(str(error).split())}") from error
    if not rows.shape or 0 in rows.shape:
        raise InputError(f"{str(path)!r} holds an array of shape {rows.shape}: there is nothing in it")
    return rows.take(np.arange(rows.shape[0]))


def names_in(path: str | Path) -> list[str] | None:
    """The names of the arrays in a .npz, whatever its suffix; None of any other file.

    Raises:
      OSError, zipfile.BadZipFile: it cannot be read.
    """
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            return None
        file.seek(0)
        with np.load(file, allow_pickle=False) as content:
            return content.files


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is in Fortran's order, and type of an array in a file of this size.

    Raises:
      ValueError: it cannot be, or is larger than the file.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its format is version {version}")
    if version != (1, 0):  # NumPy bounds the header once it has read it
        length = int.from_bytes(file.read(4), "little")
        file.seek(-4, os.SEEK_CUR)
        if length > HEADER:
            raise ValueError(f"its header takes {length:,} bytes")
    shape, fortran, dtype = read(file)
    if dtype.hasobject or any(type(n) is not int for n in shape):
        raise ValueError(f"it holds Python objects, or its shape {shape} is none")
    promised, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or promised > there:
        raise ValueError(f"its header promises an array of shape {shape}, {promised:,} bytes, and {there:,} are there")
    return shape, fortran, dtype


def _rows(path: str) -> Rows:
    """The rows of a .npy, read from the file as it was opened, also if another takes its place."""
    with open(path, "rb") as file:
        shape, fortran, dtype = _header(file, os.fstat(file.fileno()).st_size)
        if fortran or len(shape) < 2:  # rows that lie scattered
            file.seek(0)
            whole = np.load(file, allow_pickle=False)
            return Rows(whole.shape, whole.dtype, whole.__getitem__)
        start, descriptor = file.tell(), os.dup(file.fileno())
    row, known = math.prod(shape[1:]) * dtype.itemsize, _state(descriptor)

    def take(indices):
        rows = np.empty((len(indices), *shape[1:]), dtype)
        into = rows.reshape(len(rows), -1).view(np.uint8) if rows.size else rows
        try:
            got = [os.preadv(descriptor, [b.data], start + int(i) * row) for b, i in zip(into, indices, strict=True)]
        except OSError as error:
            raise InputError(f"{path!r} cannot be read any more: {error.strerror}") from error
        if _state(descriptor) != known or any(n != row for n in got):
            raise InputError(
                f"{path!r} was written again while it was in use: the same command goes on if it holds what it held "
                "before (write changed data under another name, or move them into its place)"
            )
        return rows

    weakref.finalize(take, os.close, descriptor)
    return Rows(shape, dtype, take)


def _state(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


def _member(content: Any, key: str, path: str, fields: str) -> np.ndarray:
    """One array of a .npz, whose size was compared with its header before anything was read."""
    if key not in content.files:
        raise unknown(f"array ({fields}) in {path!r}", key, content.files)
    names = content.zip.namelist()
    name = key if key in names else f"{key}.npy"
    if (size := content.zip.getinfo(name).file_size) > MEMORY:
        raise InputError(
            f"{key!r} in {path!r} takes {size / 1e6:,.1f} MB, more than this machine's memory: save it as a .npy, "
            "which stays on disk"
        )
    with content.zip.open(name) as file:
        _header(file, size)
    return content[key]
