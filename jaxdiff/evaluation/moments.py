"""Moments: count, mean and scatter of features, gathered in a stream, in float64.

    mean = Σ x_i / n        scatter = Σ (x_i - mean) (x_i - mean)^T        covariance = scatter / (n - 1)

Two sets merge without a second look at the data (Chan, Golub and LeVeque 1979), with delta = mean_b - mean_a:

    mean = mean_a + delta n_b / n        scatter = scatter_a + scatter_b + delta delta^T n_a n_b / n
"""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

__all__ = ["Moments", "covariance", "gathered", "merge", "moments", "root"]


class Moments(NamedTuple):
    """The first two moments of a set of features.

    Attributes:
      count: of the examples.
      mean: (features,).
      scatter: (features, features), the sum of squares and products about the mean.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray


def moments(features: np.ndarray) -> Moments:
    """The moments of features (n, features)."""
    features = np.asarray(features, np.float64)
    mean = features.mean(0)
    centered = features - mean
    return Moments(len(features), mean, centered.T @ centered)


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both sets together."""
    n, delta = a.count + b.count, b.mean - a.mean
    scatter = a.scatter + b.scatter + np.outer(delta, delta) * (a.count * b.count / n)
    return Moments(n, a.mean + delta * (b.count / n), scatter)


def gathered(batches: Iterable[np.ndarray]) -> Moments:
    """The moments of batches of features, (n_i, features) each, one of which is in memory at a time."""
    return functools.reduce(merge, map(moments, batches))


def covariance(of: Moments) -> np.ndarray:
    """The unbiased covariance, (features, features); of one example it is not defined, and infinite here."""
    return of.scatter / (of.count - 1) if of.count > 1 else np.full_like(of.scatter, np.inf)


def root(of: Moments) -> np.ndarray:
    """A factor A of the covariance, `covariance = A A^T`, also where that is singular.

    Eigenvalues below the rounding of the largest are taken as 0: their roots would be 1e8 times as large as they are.
    """
    values, vectors = np.linalg.eigh(covariance(of))
    least = len(values) * np.finfo(np.float64).eps * values[-1]
    return vectors * np.sqrt(np.where(values > least, values, 0))
