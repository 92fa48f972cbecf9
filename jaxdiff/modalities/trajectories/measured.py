"""Measured: how trajectories are compared with others: by their states, and predictions with what came."""

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.trajectories.spec import make_codec
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "best_of", "energy_score", "values"]

FEATURES = ("states",)
ROUNDINGS = {"none": np.asarray}


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """The scaled states of all steps in a row, (n, steps * channels), with zeros where there is none."""
    return np.asarray(make_codec(spec).encode(np.asarray(x)), np.float32).reshape(len(x), -1)


def best_of(drawn: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """ADE and FDE of the best of several predictions: means over n of the least mean and the least last distance.

    Args:
      drawn: (n, several, steps, channels); truth: (n, steps, channels).
    """
    distance = np.linalg.norm(drawn - truth[:, None], axis=-1)
    return float(distance.mean(-1).min(1).mean()), float(distance[..., -1].min(1).mean())


def energy_score(drawn: np.ndarray, truth: np.ndarray) -> float:
    """E|X - y| - E|X - X'| / 2 of whole trajectories as vectors, the mean over n: proper, and less is better.

    The second term is over pairs of different draws (Gneiting and Raftery 2007), so that it is unbiased.

    Args:
      drawn: (n, several, steps, channels); truth: (n, steps, channels).

    Raises:
      InputError: `several` is below 2, of which there are no pairs.
    """
    n, several = drawn.shape[:2]
    if several < 2:
        raise InputError(f"drawn of shape {drawn.shape}: an energy score needs two draws at least for each truth")
    flat, y = drawn.reshape(n, several, -1), truth.reshape(n, 1, -1)
    pairs = np.linalg.norm(flat[:, :, None] - flat[:, None], axis=-1).sum((1, 2)) / (several * (several - 1))
    return float((np.linalg.norm(flat - y, axis=-1).mean(1) - pairs / 2).mean())
