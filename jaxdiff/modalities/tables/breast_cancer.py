"""The embedded table: 30 measures of the nuclei of 569 tumors, which come with scikit-learn."""

from typing import Any

import numpy as np

from jaxdiff.data.source import Source
from jaxdiff.errors import unknown
from jaxdiff.modalities.tables.rows import rows_source

__all__ = ["breast_cancer"]


def breast_cancer(split: str = "all") -> Source:
    """scikit-learn's breast cancer table (Wolberg, Mangasarian and Street 1995), with its two classes.

    Args:
      split: "all"; "test", every fifth row (114); or "train", the others (455).
    """
    from sklearn.datasets import load_breast_cancer  # most of a second

    data: Any = load_breast_cancer()
    fifth = np.arange(len(data.data)) % 5 == 0
    splits = {"all": fifth | True, "test": fifth, "train": ~fifth}
    if split not in splits:
        raise unknown("split of the breast cancer table", split, splits)
    rows, labels = data.data[splits[split]], data.target[splits[split]]
    return rows_source(rows, list(map(str, data.feature_names)), labels, "diagnosis", list(map(str, data.target_names)))
