"""Measured: how rows of tables are compared with others: by their columns, of mean 0 and deviation 1."""

import numpy as np

from jaxdiff.errors import unknown
from jaxdiff.modalities.tables import schema
from jaxdiff.modalities.tables.spec import make_codec, mixed_columns
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "beside", "rounded", "values"]

FEATURES = ("columns",)
ROUNDINGS = ("none",)


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """The columns that vary, standardized by the data of training, (n, columns); equal rows have equal ones."""
    if "schema" in spec.details:
        return schema.packed(mixed_columns(spec), np.asarray(x), middle=True)
    return np.asarray(make_codec(spec).encode(np.asarray(x)), np.float32)


def rounded(spec: Spec, x: np.ndarray, rounding: str) -> np.ndarray:
    """Rows as they are.

    Raises:
      InputError: another rounding than "none" is asked for.
    """
    if rounding not in ROUNDINGS:
        raise unknown("--rounding", rounding, ROUNDINGS)
    return np.asarray(x)


def beside(spec: Spec, x: np.ndarray, real: np.ndarray) -> None:
    """No picture: rows of numbers are not looked at one by one."""
