"""Measured: how texts are compared with others: by how often each symbol stands in them."""

import numpy as np

from jaxdiff.modalities.text.spec import vocabulary_of
from jaxdiff.modalities.text.vocabulary import counted
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "values"]

FEATURES = ("symbols",)
ROUNDINGS = {"none": np.asarray}


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """The share of each symbol of the vocabulary in each text, (n, symbols); without one, the numbers themselves.

    A text has the pairs that it is read as, whatever it was drawn as, and its end as often as it is filled up with it.
    """
    if not spec.details:
        return np.asarray(x, np.float32)
    vocabulary = vocabulary_of(spec)
    counts = np.stack([counted(vocabulary, str(text)) for text in x])
    if vocabulary.end >= 0:
        counts[:, vocabulary.end] = np.maximum(spec.shape[0] - counts.sum(1), 0)
    return (counts / np.maximum(counts.sum(1, keepdims=True), 1)).astype(np.float32)
