"""Measured: how videos are compared with others: by their pixels, rounded as a file keeps them."""

import numpy as np

from jaxdiff.data.source import to_unit_range
from jaxdiff.modalities.figures import to_uint8
from jaxdiff.modalities.video.show import strips
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "beside", "values"]

FEATURES = ("pixels",)
ROUNDINGS = {
    "nearest": lambda x: to_unit_range(to_uint8(x)),
    "none": lambda x: np.asarray(x, np.float32),
}
"""Videos as 8 bits keep them, in [-1, 1] again, or as they are."""


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """The pixels of all frames, (n, pixels)."""
    return np.asarray(x, np.float32).reshape(len(x), -1)


def beside(spec: Spec, x: np.ndarray, real: np.ndarray) -> np.ndarray:
    """A picture, uint8: the film strip of each of n videos above those of k real ones, (n, k, ...)."""
    rows = np.concatenate([np.asarray(x)[:, None], real], 1)
    return strips(rows.reshape(-1, *x.shape[1:]))
