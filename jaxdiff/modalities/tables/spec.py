"""Spec: what one row of a table is, and the codec between the table's units and columns of mean 0 and deviation 1.

The details of the specification hold the cleaning and the names, as plain data:

    columns                              names of all columns of the table
    label, classes                       name of the class, and of its values; "" and [] without
    kept, median, mean, std, missing     of all columns, see `jaxdiff.modalities.tables.cleaning`
"""

from collections.abc import Sequence

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.tables import schema
from jaxdiff.modalities.tables.cleaning import MISSING, Cleaning
from jaxdiff.types import Codec, Spec

__all__ = ["AXES", "NUMBERS", "RANGE", "cleaning_of", "make_codec", "mixed_columns", "table_spec"]

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
