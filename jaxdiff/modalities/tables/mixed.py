"""Tables of mixed columns in a .csv: numbers and categories, with missing values."""

import csv
import gzip
import io
import logging
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxdiff.data.source import Source, content, labeled
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.tables import schema
from jaxdiff.modalities.tables.schema import Column
from jaxdiff.types import Batch, Spec

__all__ = ["columns", "mixed_spec", "people", "read_csv", "rows_of", "split_of"]

logger = logging.getLogger(__name__)
SPLITS = ("all", "train", "test")


def columns(
    path: str,
    label: str = "",
    ignore: str = "",
    numbers: str = "",
    categories: str = "",
    separator: str = ",",
    split: str = "all",
) -> Source:
    """The rows of a .csv (or .csv.gz, or .parquet) of numbers and categories, which has a header.

    A column is of numbers if all its cells are, or are missing, and there are more than ten different ones.

    Args:
      label: a column of categories that is to be the class of a row, its condition.
      ignore: names of columns to leave out, with commas.
      numbers, categories: names of columns that are of numbers, or categories, whatever their cells say.
      separator: between the cells.
      split: "all"; "test", a fifth of the rows, drawn once and for all; or "train", the others, from which the quantile
        maps are learned in both.

    Raises:
      InputError: the file cannot be read, or holds a row or column that cannot be used, which is named.
    """
    names, rows = read_csv(path, separator)
    left_out = _listed(ignore)
    for name in (*left_out, *([label] if label else [])):
        if name not in names:
            raise unknown(f"column (data.label, data.ignore) in {path!r}", name, names)
    kept = [i for i, name in enumerate(names) if name not in left_out]
    names, rows = [names[i] for i in kept], [[row[i] for i in kept] for row in rows]
    texts = [*_listed(categories), *([label] if label else [])]
    if twice := [name for name in _listed(numbers) if name in texts]:
        raise InputError(f"data.numbers: column {twice[0]!r} is in data.categories, or data.label, too: leave one out")
    kinds = {**dict.fromkeys(_listed(numbers), "number"), **dict.fromkeys(texts, "category")}
    inferred = schema.infer(names, rows, kinds, repr(path))
    for column in inferred:
        if column.kind == "category" and len(column.values) == 1:
            logger.warning("column %r: always %r, drawn as that", column.name, column.values[0])
    table = schema.parsed(inferred, rows, repr(path))
    train, chosen = split_of(len(table), split)
    known = schema.learned(inferred, table[train])
    return _source(known, table[train], table[chosen], label)


def rows_of(path: str, known: Sequence[Column]) -> np.ndarray:
    """The rows of a .csv in columns that are known, (n, columns) float64, whatever their order in the file.

    Raises:
      InputError: the file cannot be read, or lacks a column, or a cell is none of it.
    """
    names, rows = read_csv(path)
    if lost := [column.name for column in known if column.name not in names]:
        raise unknown(f"column in {path!r}", lost[0], names)
    places = [names.index(column.name) for column in known]
    return schema.parsed(known, [[row[i] for i in places] for row in rows], repr(path))


def split_of(n: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows that quantiles are learned from, and those of a split, of n rows.

    Raises:
      InputError: an unknown split.
    """
    if split not in SPLITS:
        raise unknown("split of a table", split, SPLITS)
    if split != "all" and n < 5:
        raise InputError(f"data.split={split!r}: a fifth of {n} rows is none: give more rows, or take split all")
    order = np.random.default_rng(0).permutation(n)
    test, train = np.sort(order[: n // 5]), np.sort(order[n // 5 :])
    return (np.arange(n), np.arange(n)) if split == "all" else (train, train if split == "train" else test)


def _source(known: list[Column], train: np.ndarray, table: np.ndarray, label: str) -> Source:
    """Rows as examples; the class is no column of theirs."""
    if not label:
        x_0, spec = schema.packed(known, table), mixed_spec(known, schema.packed(known, train))
        return Source(len(x_0), spec, lambda indices: Batch(x_0[indices]), known=content(x_0))
    place = [column.name for column in known].index(label)
    rest = [column for column in known if column.name != label]
    others = [i for i in range(len(known)) if i != place]
    x_0 = schema.packed(rest, table[:, others])
    spec = mixed_spec(rest, schema.packed(rest, train[:, others]), label, known[place].values, place)
    source = Source(len(x_0), spec, lambda indices: Batch(x_0[indices]), known=content(x_0))
    return labeled(source, table[:, place].astype(np.int32), len(known[place].values))


def mixed_spec(
    known: Sequence[Column], x_0: np.ndarray, label: str = "", classes: Sequence[str] = (), place: int = 0
) -> Spec:
    """A packed row of these columns.

    Args:
      x_0: packed rows, for the frequencies of the symbols.
      label, classes, place: of the class of a row, if there is one: its name, its values, and where it stood.
    """
    described = [
        {
            **column._asdict(),
            "values": list(column.values),
            "quantiles": None if column.quantiles is None else [k.tolist() for k in column.quantiles],
        }
        for column in known
    ]
    details = {
        "schema": described,
        "law": schema.law_of(known, x_0),
        "numbers": sum(column.kind == "number" for column in known),
        "columns": [column.name for column in known],
        "label": label,
        "classes": list(classes),
        "place": place,
    }
    return Spec((x_0.shape[1],), "tables", details=details)


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def read_csv(path: str, separator: str = ",") -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a .csv, .csv.gz or .parquet, all cells as text without blanks around.

    Raises:
      InputError: no such file, an empty one, another encoding, or a row of another length; it is named.
    """
    place = Path(path).expanduser()
    if place.suffix == ".parquet":
        return _read_parquet(path)
    try:
        stored = place.read_bytes()
        stored = gzip.decompress(stored) if place.suffix == ".gz" else stored
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path!r} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        text = stored.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = stored.count(b"\n", 0, error.start)
        raise InputError(f"{path!r}: row {row} is no UTF-8 (0x{stored[error.start]:02x}): convert the file") from error
    try:
        lines = [[cell.strip() for cell in line] for line in csv.reader(io.StringIO(text), delimiter=separator) if line]
    except (csv.Error, TypeError) as error:
        raise InputError(f"{path!r} cannot be read as a table: {error}") from error
    if len(lines) < 2:
        raise InputError(f"{path!r} has {max(len(lines) - 1, 0)} rows: it has to hold a header and rows")
    header, rows = lines[0], lines[1:]
    if uneven := [i for i, line in enumerate(rows) if len(line) != len(header)]:
        i = uneven[0]
        raise InputError(f"{path!r}: row {i + 1} has {len(rows[i])} cells and the header {len(header)}: mend it")
    if len(set(header)) < len(header) or "" in header:
        twice = next(name for name in header if not name or header.count(name) > 1)
        raise InputError(f"{path!r}: the header holds {twice!r} twice, or a column without a name: name each once")
    return header, rows


def _read_parquet(path: str) -> tuple[list[str], list[list[str]]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(f"{path!r}: reading Parquet needs pyarrow: pip install pyarrow") from error
    try:
        table = parquet.read_table(Path(path).expanduser())
    except Exception as error:  # of a damaged file pyarrow raises many
        raise InputError(f"{path!r} cannot be read: {' '.join(str(error).split())[:200]}") from error
    every = [["" if value is None else str(value) for value in column.to_pylist()] for column in table.columns]
    return list(map(str, table.column_names)), [list(row) for row in zip(*every, strict=True)]


def people(n: int = 4000, split: str = "all", label: bool = False) -> Source:
    """An embedded table of mixed columns, drawn with a fixed seed: age, hours, gain, work, married and income.

    Gain is 0 for most, hours are missing for some, and income depends on all: what a table of people is like.

    Args:
      n: rows.
      split: see `columns`.
      label: whether income is the class of a row.
    """
    rng = np.random.default_rng(0)
    work = rng.choice(4, n, p=[0.6, 0.2, 0.15, 0.05])
    age = np.round(np.clip(rng.gamma(9, 4.5, n) + 2 * work, 17, 90))
    married = rng.random(n) < 1 / (1 + np.exp(-(age - 32) / 8))
    hours = np.round(np.clip(rng.normal(40 - 6 * (work == 1) + 3 * married, 9), 1, 99))
    score = -4.5 + 0.04 * age + 0.05 * hours + 1.2 * married + 0.8 * (work == 2)
    income = rng.random(n) < 1 / (1 + np.exp(-score))
    gain = np.where(rng.random(n) < 0.04 + 0.2 * income, np.round(np.exp(rng.normal(8.5, 0.8, n))), 0)
    hours[rng.random(n) < 0.05] = np.nan
    names = {"work": ("office", "own", "public", "none"), "married": ("no", "yes"), "income": ("<=50K", ">50K")}
    known = [
        Column("age", "number"),
        Column("work", "category", names["work"]),
        Column("hours", "number", missing="?"),
        Column("married", "category", names["married"]),
        Column("gain", "number"),
        Column("income", "category", names["income"]),
    ]
    table = np.stack([age, work, hours, married, gain, income], axis=1).astype(np.float64)
    train, chosen = split_of(n, split)
    return _source(schema.learned(known, table[train]), table[train], table[chosen], "income" if label else "")
