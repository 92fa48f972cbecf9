"""Measured: how texts are compared with others: by how often each symbol stands in them."""

import numpy as np

from jaxdiff.modalities.text.spec import make_codec, vocabulary_of
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "values"]

FEATURES = ("symbols",)
ROUNDINGS = {"none": np.asarray}


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """The share of each symbol of the vocabulary in each text, (n, symbols); without one, the numbers themselves."""
    if not spec.details:
        return np.asarray(x, np.float32)
    rows, symbols = make_codec(spec).encode(x), len(vocabulary_of(spec).symbols)
    return np.stack([np.bincount(row, minlength=symbols) for row in rows]).astype(np.float32) / rows.shape[1]
