"""Measured: how texts are compared with others: by how often each symbol stands in them."""

import numpy as np

from jaxdiff.errors import unknown
from jaxdiff.modalities.text.spec import vocabulary_of
from jaxdiff.modalities.text.vocabulary import counted
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "beside", "rounded", "values"]

FEATURES = ("symbols",)
ROUNDINGS = ("none",)


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


def rounded(spec: Spec, x: np.ndarray, rounding: str) -> np.ndarray:
    """Texts as they are.

    Raises:
      InputError: another rounding than "none" is asked for.
    """
    if rounding not in ROUNDINGS:
        raise unknown("--rounding", rounding, ROUNDINGS)
    return np.asarray(x)


def beside(spec: Spec, x: np.ndarray, real: np.ndarray) -> None:
    """No picture."""
