"""Measured: molecules by the sorted distances of their atoms."""

import numpy as np

from jaxdiff.errors import unknown
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "beside", "rounded", "values"]

FEATURES = ("distances",)
ROUNDINGS = ("none",)


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """The sorted distances."""
    x = np.asarray(x)
    d = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)
    return np.sort(d.reshape(len(x), -1), axis=1).astype(np.float32)


def rounded(spec: Spec, x: np.ndarray, rounding: str) -> np.ndarray:
    """As they are."""
    if rounding not in ROUNDINGS:
        raise unknown("--rounding", rounding, ROUNDINGS)
    return np.asarray(x)


def beside(spec: Spec, x: np.ndarray, real: np.ndarray) -> None:
    """None."""
