"""Measured: how images are compared with others: their features, and how their values are rounded before."""

import numpy as np

from jaxdiff.data.source import to_unit_range
from jaxdiff.modalities.images import pictures
from jaxdiff.modalities.images.resize import quantized
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "beside", "values"]

FEATURES = ("pixels", "digits", "mnist", "fashion_mnist", "cifar10", "inception", "inception_spatial")
ROUNDINGS = {
    "nearest": lambda x: to_unit_range(quantized(np.asarray(x, np.float32), "nearest")),
    "floor": lambda x: to_unit_range(quantized(np.asarray(x, np.float32), "floor")),
    "none": lambda x: np.asarray(x, np.float32),
}
"""Images as a file of 8 bits keeps them, in [-1, 1] again, or as they are."""


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """The pixels, (n, pixels)."""
    return np.asarray(x, np.float32).reshape(len(x), -1)


def beside(spec: Spec, x: np.ndarray, real: np.ndarray) -> np.ndarray:
    """A picture, uint8: each of n images in a row before k real ones, (n, k, ...)."""
    rows = np.concatenate([np.asarray(x)[:, None], real], 1)
    return pictures.grid(rows.reshape(-1, *x.shape[1:]), rows.shape[1])
