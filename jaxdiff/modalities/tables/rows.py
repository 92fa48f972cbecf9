"""Rows: a table in memory as a source of examples, cleaned."""

import logging
from collections.abc import Sequence

import numpy as np

from jaxdiff.data.source import Source, labeled
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
      labels: (n,), the class of each row, if there are classes.
      label, classes: the names of the class and of its values, by default "label" and their numbers.
      missing: what becomes of missing values: "median", of their column; "drop", their row; "refuse", an error.

    Raises:
      InputError: not a table of numbers, another `missing`, or nothing that varies is left.
    """
    cleaning, report = learn_cleaning(rows, missing)
    for line in report:
        logger.warning("%s", line)
    columns = columns or [f"column {c}" for c in range(np.shape(rows)[1])]
    if labels is not None:
        labels = np.asarray(labels, np.int32)[cleaning.complete(np.asarray(rows, np.float64))]
        classes = classes or [str(c) for c in range(int(labels.max()) + 1)]
    x_0 = cleaning.apply(rows)
    spec = table_spec(cleaning, columns, "" if labels is None else label, () if labels is None else classes)
    return labeled(Source(len(x_0), spec, lambda indices: Batch(x_0[indices])), labels, len(classes))
