"""Measured: how images are compared with others: their features, and how their values are rounded before."""

import numpy as np

from jaxdiff.errors import unknown
from jaxdiff.modalities.images import pictures
from jaxdiff.modalities.images.resize import quantized
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "beside", "rounded", "values"]

FEATURES = ("pixels", "digits", "mnist", "fashion_mnist", "cifar10", "inception", "inception_spatial")
ROUNDINGS = ("nearest", "floor", "none")


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """The pixels, (n, pixels)."""
    return np.asarray(x, np.float32).reshape(len(x), -1)


def rounded(spec: Spec, x: np.ndarray, rounding: str) -> np.ndarray:
    """Images as a file of 8 bits keeps them, in [-1, 1] again; as they are with "none".

    Raises:
      InputError: there is no such rounding.
    """
    if rounding not in ROUNDINGS:
        raise unknown("--rounding", rounding, ROUNDINGS)
    x = np.asarray(x, np.float32)
    return x if rounding == "none" else quantized(x, rounding).astype(np.float32) / np.float32(127.5) - 1


def beside(spec: Spec, x: np.ndarray, real: np.ndarray) -> np.ndarray:
    """A picture, uint8: each of n images in a row before k real ones, (n, k, ...)."""
    rows = np.concatenate([np.asarray(x)[:, None], real], 1)
    return pictures.grid(rows.reshape(-1, *x.shape[1:]), rows.shape[1])
