"""Measured: how texts are compared with others: by how often each symbol stands in them."""

import numpy as np

from jaxdiff.errors import unknown
from jaxdiff.modalities.text.spec import make_codec, vocabulary_of
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "beside", "rounded", "values"]

FEATURES = ("symbols",)
ROUNDINGS = ("none",)


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """The share of each symbol of the vocabulary in each text, (n, symbols); without one, the numbers themselves."""
    if not spec.details:
        return np.asarray(x, np.float32)
    rows, symbols = make_codec(spec).encode(x), len(vocabulary_of(spec).symbols)
    return np.stack([np.bincount(row, minlength=symbols) for row in rows]).astype(np.float32) / rows.shape[1]


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
