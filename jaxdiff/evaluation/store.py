"""Store: rows of features in files, one pass over the examples for all of them, which goes on where it was killed.

While they are written, the rows of NAME lie in NAME.part, a .npy whose header has the final shape already; how many
there are is told by the size of the file. Once all are there, it becomes NAME.npy.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from jaxdiff.errors import InputError

__all__ = ["fill", "opened"]


def fill(
    folder: Path,
    n: int,
    batches: Callable[[int], Iterator[Mapping[str, np.ndarray]]],
    names: Sequence[str],
    told: Callable[[int], object] = lambda done: None,
) -> dict[str, np.ndarray]:
    """The rows of all names, (n, width) of float32 each, as maps of their files.

    Args:
      batches: `(start) -> rows by name`, from row `start` on; called only if something is missing.
      names: of those that have to be there; batches may bring others, too.
      told: is called with the number of rows there are.

    Raises:
      InputError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not all((folder / f"{name}.npy").is_file() for name in names):
            _write(folder, n, batches, told)
    except OSError as error:
        raise InputError(f"cannot write to {str(folder)!r}: {error.strerror or error}: make room there") from error
    return opened(folder)


def opened(folder: Path) -> dict[str, np.ndarray]:
    """The rows that are complete in a folder, by name."""
    return {file.stem: np.load(file, mmap_mode="r") for file in sorted(folder.glob("*.npy"))}


def _write(
    folder: Path, n: int, batches: Callable[[int], Iterator[Mapping[str, np.ndarray]]], told: Callable[[int], object]
) -> None:
    done = min([_there(file, n) for file in folder.glob("*.part")], default=0)
    if not done:
        _forget(folder)
    for file in folder.glob("*.part"):
        os.truncate(file, _start(file) + done * _width(file) * 4)
    for rows in batches(done) if done < n else ():
        if done and not all((folder / f"{name}.part").exists() for name in rows):
            _forget(folder)  # killed before each of them had its first rows
            return _write(folder, n, batches, told)
        for name, values in rows.items():
            values = np.ascontiguousarray(values, np.float32)
            file = folder / f"{name}.part"
            with open(file, "ab") as out:
                if done == 0:
                    out.write(_header(n, values.shape[1]))
                out.write(values.data.cast("B"))
        done += len(next(iter(rows.values())))
        told(done)
    for file in folder.glob("*.part"):
        file.replace(file.with_suffix(".npy"))


def _forget(folder: Path) -> None:
    for file in folder.glob("*.part"):
        file.unlink()


def _header(n: int, width: int) -> bytes:
    out = BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": (n, width)})
    return out.getvalue()


def _read(file: Path) -> tuple[tuple[int, ...], int]:
    """The shape that is promised, and where the numbers begin; (0, 0) where not even that was written."""
    with open(file, "rb") as content:
        try:
            np.lib.format.read_magic(content)
            return np.lib.format.read_array_header_1_0(content)[0], content.tell()
        except (ValueError, EOFError):
            return (0, 0), 0


def _start(file: Path) -> int:
    return _read(file)[1]


def _width(file: Path) -> int:
    return _read(file)[0][1]


def _there(file: Path, n: int) -> int:
    """Whole rows in a file of n; none where it is of another number."""
    shape, start = _read(file)
    return (file.stat().st_size - start) // (shape[1] * 4) if shape[0] == n and shape[1] else 0
