"""Tables: rows of numbers, (n, columns), cleaned and brought to a common scale, with a way back.

Cleaning is learned from the rows that a model trains on, and applied to any others:

    values that are not finite   become their column's median, or their row is left out
    constant columns             are left out, and filled in again on the way back
    the others                   have mean 0 and standard deviation 1
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError, unknown

__all__ = ["MISSING", "Cleaning", "learn_cleaning"]

MISSING = ("median", "drop", "refuse")


class Cleaning(NamedTuple):
    """The statistics of a table's columns; all arrays (columns,)."""

    kept: np.ndarray
    """Whether a column varies."""
    median: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    missing: str

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """(n, columns) to (m, kept columns), float32; m < n where rows are dropped, see `complete`."""
        rows = _table(rows, len(self.kept))
        rows = rows[self.complete(rows)]
        filled = np.where(np.isfinite(rows), rows, self.median)
        return ((filled - self.mean) / self.std)[:, self.kept].astype(np.float32)

    def complete(self, rows: np.ndarray) -> np.ndarray:
        """(n,): which rows `apply` keeps."""
        finite = np.asarray(np.isfinite(rows).all(1))
        if self.missing == "refuse" and not finite.all():
            first = int(np.argmin(finite))
            raise InputError(
                f"{(~finite).sum()} rows hold values that are not finite, the first is row {first}: choose "
                "missing='median' or 'drop'"
            )
        return np.asarray(finite | (self.missing != "drop"))

    def invert(self, cleaned):
        """(..., kept columns) to (..., columns), in the units of the table: float64, or float32 of JAX arrays."""
        xp = jnp if isinstance(cleaned, jax.Array) else np
        padded = xp.concatenate([cleaned, xp.zeros_like(cleaned[..., :1])], axis=-1)
        place = np.where(self.kept, np.cumsum(self.kept) - 1, self.kept.sum())
        return padded[..., place] * self.std + self.mean


def learn_cleaning(rows: np.ndarray, missing: str = "median") -> tuple[Cleaning, list[str]]:
    """The cleaning that suits a table, and a report of what it will do, a line each.

    Args:
      rows: (n, columns), of any numeric type; values may be missing (NaN or infinite).
      missing: what becomes of these: "median", of their column; "drop", their row; "refuse", an error.

    Raises:
      InputError: not a table of numbers, one of another `missing`, or nothing that varies is left.
    """
    if missing not in MISSING:
        raise unknown("treatment of missing values", missing, MISSING)
    rows = _table(rows)
    columns = rows.shape[1]
    cleaning = Cleaning(np.ones(columns, bool), np.zeros(columns), np.zeros(columns), np.ones(columns), missing)
    used = cleaning.complete(rows)
    values = np.where(np.isfinite(rows), rows, np.nan)[used]
    empty = np.isnan(values).all(0) if len(values) else np.ones(columns, bool)
    median = np.zeros(columns)
    median[~empty] = np.nanmedian(values[:, ~empty], axis=0)
    filled = np.where(np.isnan(values), median, values)
    varies = np.array([len(np.unique(column)) > 1 for column in filled.T])
    if not varies.any():
        raise InputError(f"a table of {len(rows)} rows and {columns} columns, and none varies: nothing can be learned")
    std = np.where(varies, filled.std(0), 1)
    report = [f"column {c}: no value at all, left out" for c in np.flatnonzero(empty)]
    report += [f"column {c}: always {median[c]:g}, left out" for c in np.flatnonzero(~varies & ~empty)]
    for c in np.flatnonzero(np.isnan(values).any(0) & varies):
        report.append(f"column {c}: {np.isnan(values[:, c]).sum()} missing values become {median[c]:g}, the median")
    if not used.all():
        report.append(f"{(~used).sum()} of {len(rows)} rows have missing values, left out")
    return Cleaning(varies, median, np.where(varies, filled.mean(0), median), std, missing), report


def _table(rows: np.ndarray, columns: int | None = None) -> np.ndarray:
    rows = np.asarray(rows)
    if rows.ndim != 2 or not rows.size or rows.dtype.kind not in "fiub" or columns not in (None, rows.shape[1]):
        wanted = "(n, columns)" if columns is None else f"(n, {columns})"
        raise InputError(f"a table is {wanted} numbers, not {rows.dtype} of shape {rows.shape}")
    return rows.astype(np.float64)
