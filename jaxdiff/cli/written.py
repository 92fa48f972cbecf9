"""Written: files of the command line, so that what was drawn survives a full disk and a second process."""

import itertools
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from jaxdiff.errors import InputError
from jaxdiff.training.files import replacing

__all__ = ["Rows", "claimed", "put", "put_result"]


@contextmanager
def claimed(out: Path) -> Iterator[Path]:
    """Make a folder for this process alone: `out`, or, where another process writes there, `out`-2, `out`-3 ...

    Raises:
      InputError: nothing can be written there, at the beginning or in the body.
    """
    for i in itertools.count(1):
        folder = out if i == 1 else out.with_name(f"{out.name}-{i}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock", blocking=False):
                yield folder
            return
        except Timeout:
            continue
        except OSError as error:
            raise InputError(
                f"cannot write to {str(folder)!r}: {error.strerror or error}: make room, or name another with --out"
            ) from error


class Rows:
    """An array in a .npy that grows at its end: (n, ...), readable whenever it is closed.

    NumPy leaves room in the header for n, so that it can be written again in place, on a full disk, too.
    """

    def __init__(self, path: Path):
        """Write to `path`, once there is something to write."""
        self.path, self.count = path, 0
        self._file: FileIO | None = None

    def append(self, rows: np.ndarray) -> None:
        """Write more rows, (m, ...), shaped and typed like those before."""
        if self._file is None:
            self._file, self._like = FileIO(self.path, "w"), rows[:0]
            self._begin()
        left = memoryview(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        while left:
            left = left[self._file.write(left) :]
        self.count += len(rows)

    def close(self) -> None:
        """Write how many rows there are, and leave the file; nothing happens where none came."""
        if self._file is not None:
            self._file.truncate(self._begin() + self.count * self._like.itemsize * math.prod(self._like.shape[1:]))
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _begin(self) -> int:
        """Write the header; returns its size in bytes."""
        header = BytesIO()
        shape, described = (self.count, *self._like.shape[1:]), np.lib.format.dtype_to_descr(self._like.dtype)
        np.lib.format.write_array_header_1_0(header, {"descr": described, "fortran_order": False, "shape": shape})
        assert self._file
        self._file.seek(0)
        return self._file.write(header.getvalue())


def put(file: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {str(file)!r}: {error.strerror or error}") from error


def put_result(result: dict[str, Any], page: str, file: str, report: str, above: Path) -> None:
    """Write the page of what was measured, and its JSON where a file for it is named, and say where they are.

    Args:
      file, report: of the JSON and of the page; "" for none, and for a page beside the JSON or else in `above`.

    Raises:
      InputError: as of `put`.
    """
    beside = Path(file).with_suffix(".html") if file else above / "report.html"
    wanted = {Path(report or beside): page}
    if file:
        wanted[Path(file)] = json.dumps(result, indent=2, default=str) + "\n"
    for place, text in wanted.items():
        put(place, text)
    print(f"written: {', '.join(map(str, wanted))}")
