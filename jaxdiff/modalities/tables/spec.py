"""Spec: what one row of a table is, and the codec between the table's units and columns of mean 0 and deviation 1.

The details of the specification hold the cleaning and the names, as plain data:

    columns                              names of all columns of the table
    label, classes                       name of the class, and of its values; "" and [] without
    kept, median, mean, std, missing     of all columns, see `jaxdiff.modalities.tables.cleaning`
"""

from collections.abc import Callable, Sequence

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.tables import schema
from jaxdiff.modalities.tables.cleaning import MISSING, Cleaning
from jaxdiff.types import Codec, Spec

__all__ = [
    "AXES",
    "NUMBERS",
    "RANGE",
    "check_names",
    "cleaning_of",
    "make_codec",
    "mixed_columns",
    "table_spec",
    "translation",
]

AXES = ("columns",)
RANGE = (None, None)
NUMBERS = ("median", "mean", "std")


def table_spec(cleaning: Cleaning, columns: Sequence[str], label: str = "", classes: Sequence[str] = ()) -> Spec:
    """A cleaned row: the columns that vary, with mean 0 and standard deviation 1."""
    plain = {name: np.asarray(value).tolist() for name, value in cleaning._asdict().items()}
    details = {"columns": list(columns), "label": label, "classes": list(classes), **plain}
    return Spec((int(cleaning.kept.sum()),), "tables", details=details)


def make_codec(spec: Spec) -> Codec:
    """From rows in the table's units, all columns, to cleaned ones, and back; without details the identity.

    Raises:
      InputError: details that are no cleaning of as many columns as an example has.
    """
    if not spec.details:
        return Codec()
    if "schema" in spec.details:
        columns = mixed_columns(spec)
        return Codec(lambda table: schema.packed(columns, table), lambda x: schema.unpacked(columns, x))
    cleaning = cleaning_of(spec)
    return Codec(cleaning.apply, cleaning.invert)


def mixed_columns(spec: Spec) -> list[schema.Column]:
    """The columns of a row of mixed columns.

    Raises:
      InputError: the details are no schema of as many entries as an example has.
    """
    columns, details = schema.read_schema(spec.details), spec.details
    try:
        law, numbers = np.asarray(details["law"], np.float64), details["numbers"]
        names, classes = list(details["columns"]), list(details["classes"])
        fits = law.ndim == 2 and bool(np.isfinite(law).all()) and (law >= 0).all() and (law.sum(1) > 0).all()
        fits = fits and numbers == sum(c.kind == "number" for c in columns) and isinstance(details["place"], int)
        fits = (
            fits and spec.shape[0] == numbers + len(law) and all(type(t) is str for t in (*classes, details["label"]))
        )
        fits = fits and names == [column.name for column in columns]
        fits = fits and len(law) == len(schema.sizes(columns)) and law.shape[1] == max(schema.sizes(columns))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"details of a table: {type(error).__name__} {error}: they hold no schema") from error
    if not fits:
        raise InputError(f"details of a table: are not those of a schema of {spec.shape[0]} entries")
    return columns


def check_names(what: str, its: Spec, ours: Spec) -> None:
    """Refuse columns of other names, or in another order, than those of another table; some tables have no names."""
    there, here = (list(spec.details.get("columns", [])) for spec in (its, ours))
    nameless = lambda names: names == [f"column {c}" for c in range(len(names))]
    if there != here and not nameless(there) and not nameless(here):
        raise InputError(f"{what}: has the columns {', '.join(there)}, and must have {', '.join(here)}, in this order")


def translation(its: Spec, ours: Spec, what: str) -> Callable[[np.ndarray], np.ndarray]:
    """From the rows of one table to rows of another: categories, which are numbers there, by their texts.

    Raises:
      InputError: other columns, or categories that are unknown; or, of rows, a missing number where none is known.
    """
    check_names(what, its, ours)
    if "schema" not in its.details or "schema" not in ours.details:
        return lambda table: table
    numbers: dict[int, np.ndarray] = {}
    pairs = list(zip(mixed_columns(its), mixed_columns(ours), strict=True))
    for place, (theirs, known) in enumerate(pairs):
        if theirs.kind != known.kind:
            raise InputError(f"{what}: column {known.name!r} is a {theirs.kind}, and must be a {known.kind}")
        if strange := [text for text in theirs.values if text not in known.values]:
            raise InputError(f"{what}: column {known.name!r} holds {strange[0][:40]!r}, none of its categories")
        if known.kind == "category":
            numbers[place] = np.array([known.values.index(text) for text in theirs.values])
    full = [place for place, (_, known) in enumerate(pairs) if known.kind == "number" and known.missing is None]

    def translate(table):
        table = np.array(table, np.float64)
        if np.isnan(table[:, full]).any():
            raise InputError(f"{what}: a number is missing in a column where the data of training has all: fill it in")
        for place, number in numbers.items():
            table[:, place] = number[table[:, place].astype(int)]
        return table

    return translate


def cleaning_of(spec: Spec) -> Cleaning:
    """The cleaning that the details of a specification hold."""
    details = spec.details
    try:
        numbers = {name: np.asarray(details[name], np.float64) for name in NUMBERS}
        kept, names, missing = np.asarray(details["kept"]), details["columns"], details["missing"]
        texts = [*names, *details["classes"], details["label"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"details of a table: {type(error).__name__} {error}: they hold no cleaning") from error
    fits = kept.dtype == bool and kept.shape == (len(names),) and kept.sum() == spec.shape[0]
    fits = fits and all(value.shape == kept.shape and np.isfinite(value).all() for value in numbers.values())
    if not fits or not (numbers["std"] > 0).all() or missing not in MISSING or not all(type(t) is str for t in texts):
        raise InputError(f"details of a table: are not those of a cleaning that keeps {spec.shape[0]} columns")
    return Cleaning(kept, numbers["median"], numbers["mean"], numbers["std"], missing)
