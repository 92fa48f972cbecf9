"""Measured: how rows of tables are compared with others: by their columns, of mean 0 and deviation 1."""

from collections.abc import Sequence

import numpy as np

from jaxdiff.modalities.tables import schema
from jaxdiff.modalities.tables.spec import make_codec, mixed_columns
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "values"]

FEATURES = ("columns",)
ROUNDINGS = {"none": np.asarray}


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """The columns that vary, standardized by the data of training, (n, columns); equal rows have equal ones.

    Of mixed columns the normal numbers, and of each category as many columns as it has values, in which two categories
    are at distance 1 of each other: how they happen to be numbered is of no account. A row with a cell that is none of
    its column's is NaN.
    """
    if "schema" in spec.details:
        return _without_codes(mixed_columns(spec), x)
    return np.asarray(make_codec(spec).encode(np.asarray(x)), np.float32)


def _without_codes(columns: Sequence[schema.Column], table: np.ndarray) -> np.ndarray:
    table, each = np.asarray(table, np.float64), schema.sizes(columns)
    fits = schema.fitting(columns, table)
    x = schema.packed(columns, np.where(fits, table, 0), middle=True)
    numbers, codes = np.split(x, [x.shape[1] - len(each)], axis=1)
    apart = [np.eye(n)[code.astype(int)] / np.sqrt(2) for n, code in zip(each, codes.T, strict=True)]
    found = np.concatenate([numbers, *apart], axis=1)
    return np.where(np.all(fits, axis=1, keepdims=True), found, np.nan).astype(np.float32)
