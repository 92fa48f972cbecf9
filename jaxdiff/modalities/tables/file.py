"""A table in a file: .csv, or a .npy or .npz array."""

import csv
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdiff.data import numpy_file
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.tables.rows import rows_source

__all__ = ["MISSING", "SUFFIXES", "Content", "table"]

SUFFIXES = (".csv", ".npy", ".npz")
MISSING = ("", "?", "na", "n/a", "nan", "null", "none")
"""Cells that hold no value, in lower case."""


class Content(NamedTuple):
    """What a file holds.

    Attributes:
      rows: (n, columns).
      columns: their names; empty for none.
      labels: the class of each row, as it stands there, if it was asked for.
    """

    rows: np.ndarray
    columns: list[str]
    labels: np.ndarray | None


def table(
    path: str, label: str = "", key: str = "", ignore: str = "", separator: str = ",", missing: str = "median"
) -> Source:
    """The rows of a file, in columns of mean 0 and standard deviation 1, see `jaxdiff.modalities.tables.cleaning`.

    Args:
      path: of a .csv of numbers, with the names of its columns in the first line unless that holds numbers, too; or of
        a .npy or .npz with an array (n, columns).
      label: the column of the .csv, or the array of the .npz, that holds the classes, if they are wanted.
      key: of the rows in a .npz; may be left out if it holds one array.
      ignore: names of columns of the .csv to leave out, with commas.
      separator: between the cells of a .csv.
      missing: what becomes of missing values: "median", of their column; "drop", their row; "refuse", an error.

    Raises:
      InputError: no such file, column or array, or one that holds no table of numbers.
    """
    suffix = Path(path).suffix
    if not os.path.isfile(path) or suffix not in SUFFIXES:
        raise InputError(f"{path!r} is no file of a table: data.path is that of a {', '.join(SUFFIXES)}")
    if suffix == ".csv" and key:
        raise InputError(f"data.key={key!r}: is for a .npz, and {path!r} is a .csv: leave it out")
    if suffix != ".csv" and (ignore or separator != ","):
        raise InputError(f"data.ignore={ignore!r}, data.separator={separator!r}: are for a .csv: leave them out")
    try:
        content = _csv(path, label, ignore, separator) if suffix == ".csv" else _array(path, key, label)
    except InputError:
        raise
    except Exception as error:  # of a damaged file, csv, NumPy, zipfile and zlib raise all kinds
        reason = " ".join(str(error).split())
        raise InputError(f"{path!r} cannot be read as a table of numbers: {reason}") from error
    if content.labels is None:
        return rows_source(content.rows, content.columns, missing=missing)
    names, labels = np.unique(content.labels, return_inverse=True)
    return rows_source(content.rows, content.columns, labels, label, list(map(str, names.tolist())), missing)


def _csv(path: str, label: str, ignore: str, separator: str) -> Content:
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file, delimiter=separator) if line]
    if not lines:
        raise InputError(f"{path!r} is empty: it has to hold rows of numbers")
    named = not all(map(_is_number, lines[0]))
    names = [name.strip() for name in lines[0]] if named else [f"column {c}" for c in range(len(lines[0]))]
    lines = lines[named:]
    if uneven := [i for i, line in enumerate(lines) if len(line) != len(names)]:
        raise InputError(
            f"{path!r}: row {uneven[0]} has {len(lines[uneven[0]])} cells and there are {len(names)} columns: mend it, "
            "or set data.separator"
        )
    left_out = [name.strip() for name in ignore.split(",") if name.strip()]
    for name in (*left_out, *([label] if label else [])):
        if name not in names:
            raise unknown(f"column (data.label, data.ignore) in {path!r}", name, names)
    kept = [c for c, name in enumerate(names) if name not in (*left_out, label)]
    rows = np.array([[_number(path, i, names[c], line[c]) for c in kept] for i, line in enumerate(lines)])
    labels = np.array([line[names.index(label)].strip() for line in lines]) if label else None
    if labels is not None and all(map(_is_number, labels)):
        labels = labels.astype(np.float64)
        labels = labels.astype(np.int64) if np.array_equal(labels, labels.astype(np.int64)) else labels
    elif labels is not None and (blank := [i for i, text in enumerate(labels) if text.lower() in MISSING]):
        raise InputError(f"{path!r}: row {blank[0]} has no class in column {label!r}: mend it or take it out")
    return Content(rows.reshape(len(lines), len(kept)), [names[c] for c in kept], labels)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _number(path: str, row: int, column: str, text: str) -> float:
    if text.strip().lower() in MISSING:
        return np.nan
    try:
        return float(text)
    except ValueError as error:
        raise InputError(
            f"{path!r}: row {row} has {text[:40]!r} in column {column!r}, which is no number: name the column in "
            "data.ignore or data.label, or replace it by numbers"
        ) from error


def _array(path: str, key: str, label: str) -> Content:
    rows, labels = numpy_file.load(path, key, label, "data.key, data.label")
    if len(rows.shape) != 2 or 0 in rows.shape or not rows.dtype.itemsize:
        raise InputError(f"{path!r}: a table is (n, columns) numbers, not {rows.dtype} of shape {rows.shape}")
    if labels is not None and labels.shape != rows.shape[:1]:
        raise InputError(f"{label!r} in {path!r} has shape {labels.shape}: it must hold one class for each row")
    return Content(rows.take(np.arange(rows.shape[0])), [], labels)
