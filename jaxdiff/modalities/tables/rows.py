"""Rows: a table in memory as a source of examples, cleaned."""

import logging
from collections.abc import Sequence

import numpy as np

from jaxdiff.data.source import Source, content, labeled
from jaxdiff.errors import InputError
from jaxdiff.modalities.tables.cleaning import learn_cleaning
from jaxdiff.modalities.tables.spec import table_spec
from jaxdiff.types import Batch

__all__ = ["rows_source"]

logger = logging.getLogger(__name__)


def rows_source(
    rows: np.ndarray,
    columns: Sequence[str] = (),
    labels: np.ndarray | None = None,
    label: str = "label",
    classes: Sequence[str] = (),
    missing: str = "median",
) -> Source:
    """A table as a source: columns that vary, with mean 0 and standard deviation 1; `Source.spec` holds the way back.

    What the cleaning does beside that is logged as warnings.

    Args:
      rows: (n, columns), of any numeric type; values may be missing (NaN or infinite).
      columns: their names; by default "column 0", "column 1" ...
      labels: (n,) whole numbers from 0, the class of each row, if there are classes.
      label, classes: the names of the class and of its values, by default "label" and their numbers.
      missing: what becomes of missing values: "median", of their column; "drop", their row; "refuse", an error.

    Raises:
      InputError: not a table of numbers, another `missing`, labels that are none, or nothing that varies is left.
    """
    cleaning, report = learn_cleaning(rows, missing)
    for line in report:
        logger.warning("%s", line)
    columns = columns or [f"column {c}" for c in range(np.shape(rows)[1])]
    if labels is not None:
        labels = _numbers(labels, len(rows), len(classes))[cleaning.complete(np.asarray(rows, np.float64))]
        classes = classes or [str(c) for c in range(int(labels.max()) + 1)]
    x_0 = cleaning.apply(rows)
    spec = table_spec(cleaning, columns, "" if labels is None else label, () if labels is None else classes)
    source = Source(len(x_0), spec, lambda indices: Batch(x_0[indices]), known=content(x_0))
    return labeled(source, labels, len(classes))


def _numbers(labels: np.ndarray, n: int, classes: int) -> np.ndarray:
    """Labels as int32, (n,), of so many classes, or, if that is 0, of any."""
    labels = np.asarray(labels)
    whole = labels.shape == (n,) and labels.dtype.kind in "iu"
    if not whole or labels.min() < 0 or labels.max() >= (classes or 2**31):
        most = f" to {classes - 1}" if classes else ""
        raise InputError(f"labels of {labels.dtype} and shape {labels.shape}: must be {n} whole numbers from 0{most}")
    return labels.astype(np.int32)
