"""Schema: what the columns of a table of mixed columns hold, inferred from its cells or given.

    number      with its quantile map, its decimals, and the text that stands for a missing value, if some are
    category    one of few texts, of which a missing value is one

A table is (n, columns) float64 as people read it: numbers, NaN where missing, and the numbers of categories. A network
sees its numbers as normal ones, a missing one as 0, and as symbols the categories and, of each number that may be
missing, whether it is.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.tables.quantiles import Quantiles, from_normal, learn_quantiles, to_normal

__all__ = [
    "MISSING",
    "Column",
    "cells",
    "fitting",
    "infer",
    "law_of",
    "learned",
    "packed",
    "parsed",
    "read_schema",
    "sizes",
    "unpacked",
]

MISSING = ("", "?", "na", "n/a", "nan", "null", "none")
"""Cells that hold no value, in lower case."""
FEW, MOST = 10, 1000
"""So many distinct numbers are categories; more categories are none."""
DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}")


class Column(NamedTuple):
    """A column of a table.

    Attributes:
      name: in the header.
      kind: "number" or "category".
      values: of a category, the texts, in order.
      missing: of a number, the text of a missing value; None if none is.
      decimals: of a number, how many at most; 0 of whole ones, -1 where the exponent is written.
      quantiles: of a number, its knots.
    """

    name: str
    kind: str
    values: tuple[str, ...] = ()
    missing: str | None = None
    decimals: int = 0
    quantiles: Quantiles | None = None


def infer(names: Sequence[str], rows: Sequence[Sequence[str]], kinds: dict[str, str], what: str) -> list[Column]:
    """The columns of rows of cells, without their quantiles.

    Args:
      kinds: by name, where the cells should not decide.
      what: the table is, for errors.

    Raises:
      InputError: a column of dates, of too many categories, or not of the kind that was given.
    """
    for name, kind in kinds.items():
        if name not in names:
            raise unknown(f"column in {what}", name, names)
        if kind not in ("number", "category"):
            raise unknown(f"kind of column {name!r}", kind, ("number", "category"))
    return [_infer(name, [row[i] for row in rows], kinds.get(name), what) for i, name in enumerate(names)]


def _infer(name: str, column: list[str], kind: str | None, what: str) -> Column:
    there = {cell: None for cell in column if cell.lower() not in MISSING}
    numbers = [_number(cell) for cell in there]
    bad = next((cell for cell, value in zip(there, numbers, strict=True) if value is None), None)
    if kind == "number" and bad is not None:
        raise InputError(f"{what}: row {column.index(bad) + 1} has {bad[:40]!r} in column {name!r}, which is no number")
    if (kind is None and bad is None and len(there) > FEW) or (kind == "number" and there):
        lost = [cell for cell in column if cell.lower() in MISSING]
        missing = max(dict.fromkeys(lost), key=lost.count) if lost else None  # the first of equals
        places = [-1 if "e" in cell.lower() else len(cell.partition(".")[2]) for cell in there]
        return Column(name, "number", missing=missing, decimals=-1 if -1 in places else max(places))
    if date := next((cell for cell in there if DATE.fullmatch(cell)), None):
        raise InputError(
            f"{what}: row {column.index(date) + 1} has the date {date[:40]!r} in column {name!r}: make it a number, "
            "such as days, or leave the column out with data.ignore"
        )
    values = sorted(set(column), key=lambda cell: (cell.lower() in MISSING, _number(cell) or 0, cell))
    if len(values) > MOST:
        raise InputError(
            f"{what}: column {name!r} has {len(values)} different texts, and a category has {MOST} at most: leave the "
            "column out with data.ignore"
        )
    return Column(name, "category", tuple(values))


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if np.isfinite(value) and "_" not in cell else None


def parsed(columns: Sequence[Column], rows: Sequence[Sequence[str]], what: str) -> np.ndarray:
    """Rows of cells as a table, (n, columns) float64.

    Raises:
      InputError: a cell is no number, or an unknown category; row and column are named.
    """
    table = np.empty((len(rows), len(columns)))
    for place, column in enumerate(columns):
        known: dict[str, float] = {value: i for i, value in enumerate(column.values)}
        for i, row in enumerate(rows):
            cell = row[place]
            value: float | None = known.get(cell)
            if column.kind == "number":
                value = np.nan if cell.lower() in MISSING else _number(cell)
            if value is None:
                kind = "no number" if column.kind == "number" else f"none of its {len(column.values)} categories"
                raise InputError(f"{what}: row {i + 1} has {cell[:40]!r} in column {column.name!r}, which is {kind}")
            table[i, place] = value
    return table


def cells(columns: Sequence[Column], table: np.ndarray) -> list[list[str]]:
    """A table as rows of cells, written as those that it was learned from; a class that is not known, -1, is empty."""
    written = []
    for column, values in zip(columns, np.asarray(table, np.float64).T, strict=True):
        if column.kind == "category":
            last = len(column.values) - 1
            written.append([column.values[min(int(v), last)] if v >= 0 else "" for v in values])
        else:
            written.append([_written(column, v) for v in values])
    return [list(row) for row in zip(*written, strict=True)]


def _written(column: Column, value: float) -> str:
    if not np.isfinite(value):
        return column.missing or ""
    if column.decimals < 0:
        return f"{value + 0.0:.8g}"
    return f"{np.round(value, column.decimals) + 0.0:.{column.decimals}f}"  # no minus before a 0


def learned(columns: Sequence[Column], table: np.ndarray) -> list[Column]:
    """The columns with quantile maps, learned from the rows of a table (n, columns)."""
    known = []
    for column, values in zip(columns, table.T, strict=True):
        there = values[np.isfinite(values)]
        if column.kind == "number":
            column = column._replace(quantiles=learn_quantiles(there if len(there) else np.zeros(1)))
        known.append(column)
    return known


def sizes(columns: Sequence[Column]) -> list[int]:
    """The number of symbols of each column of symbols: first the categories, then whether a number is missing."""
    return [len(c.values) for c in columns if c.kind == "category"] + [2 for c in columns if c.missing is not None] or [
        1
    ]


def fitting(columns: Sequence[Column], table: np.ndarray) -> np.ndarray:
    """Which cells of a table hold a value of their column, (n, columns): a category, or a number that may be missing.

    Raises:
      InputError: another number of columns.
    """
    if table.ndim != 2 or table.shape[1] != len(columns):
        raise InputError(f"a table of shape {table.shape}: this model takes (n, {len(columns)})")
    fits = np.isfinite(table)
    for place, column in enumerate(columns):
        if column.kind == "category":
            fits[:, place] = np.isin(table[:, place], np.arange(len(column.values)))
        elif column.missing is not None:
            fits[:, place] |= np.isnan(table[:, place])
    return fits


def packed(columns: Sequence[Column], table: np.ndarray, middle: bool = False) -> np.ndarray:
    """A table as a network sees it, (n, numbers + columns of symbols), float32; dither is drawn with a fixed seed.

    Args:
      middle: place each value in the middle of its mass in place of that, so that equal rows are equal.

    Raises:
      InputError: another number of columns, or a cell that holds none of its column's values.
    """
    table = np.asarray(table, np.float64)
    if not (fits := fitting(columns, table)).all():
        row, place = np.argwhere(~fits)[0]
        column, value = columns[place], table[row, place]
        wanted = f"a number of a category, 0 to {len(column.values) - 1}" if column.values else "a number, none missing"
        raise InputError(f"a table: row {row + 1} has {value:g} in column {column.name!r}, which takes {wanted}")
    dither = np.full(table.shape, 0.5) if middle else np.random.default_rng(0).random(table.shape)
    numbers, symbols, lost = [], [], []
    for place, column in enumerate(columns):
        values = table[:, place]
        if column.kind == "category":
            symbols.append(values)
            continue
        there = np.isfinite(values)
        assert column.quantiles is not None
        numbers.append(np.where(there, to_normal(column.quantiles, np.where(there, values, 0), dither[:, place]), 0))
        if column.missing is not None:
            lost.append(~there)
    symbols = [*symbols, *lost] or [np.zeros(len(table))]
    return np.stack([*numbers, *symbols], axis=1).astype(np.float32)


def unpacked(columns: Sequence[Column], x: np.ndarray) -> np.ndarray:
    """What a network draws, (..., numbers + columns of symbols), as a table (..., columns) float64."""
    x = np.asarray(x, np.float64)
    shape, x = x.shape[:-1], x.reshape(-1, x.shape[-1])
    numbers = sum(c.kind == "number" for c in columns)
    categories = numbers + sum(c.kind == "category" for c in columns)
    number, category, lost = iter(x[:, :numbers].T), iter(x[:, numbers:categories].T), iter(x[:, categories:].T)
    table = []
    for column in columns:
        if column.kind == "category":
            table.append(np.clip(np.round(next(category)), 0, len(column.values) - 1))
            continue
        assert column.quantiles is not None
        values = from_normal(column.quantiles, next(number))
        values = np.round(values, column.decimals) if column.decimals >= 0 else values
        table.append(np.where(next(lost) > 0.5, np.nan, values) if column.missing is not None else values)
    return np.stack(table, axis=1).reshape(*shape, len(columns))


def law_of(columns: Sequence[Column], x: np.ndarray) -> list[list[float]]:
    """The frequencies of the symbols of each column of symbols of packed rows, filled with 0; seen or not, above 0."""
    each = sizes(columns)
    codes = np.round(x[:, x.shape[1] - len(each) :]).astype(int)
    law = []
    for size, column in zip(each, codes.T, strict=True):
        counts = np.bincount(column, minlength=size) + 1e-6
        law.append([*(counts / counts.sum()).tolist(), *[0.0] * (max(each) - size)])
    return law


def read_schema(details: Any) -> list[Column]:
    """The columns that the details of a specification hold.

    Raises:
      InputError: they hold none.
    """
    try:
        columns = []
        for one in details["schema"]:
            knots = one["quantiles"]
            quantiles = None if knots is None else Quantiles(*(np.asarray(k, np.float64) for k in knots))
            columns.append(Column(**{**one, "values": tuple(one["values"]), "quantiles": quantiles}))
        fits = bool(columns) and all(_fits(column) for column in columns)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"details of a table: {type(error).__name__} {error}: they hold no schema") from error
    if not fits:
        raise InputError("details of a table: are not those of a schema of numbers and categories")
    return columns


def _fits(column: Column) -> bool:
    texts = all(isinstance(text, str) for text in (column.name, *column.values))
    if column.kind == "category":
        return texts and len(column.values) > 0
    knots = column.quantiles
    if knots is None or not (column.kind == "number" and texts and isinstance(column.decimals, int)):
        return False
    return bool(
        len(knots.values) > 0
        and all(k.shape == knots.values.shape and np.isfinite(k).all() for k in knots)
        and (np.diff(knots.values) > 0).all()
        and (np.diff(knots.upto) > 0).all()
    )
