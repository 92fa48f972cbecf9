"""Maximum mean discrepancy (Gretton et al. 2012), and KID, that of Inception features (Bińkowski et al. 2018).

    MMD² = Σ_{i≠j} k(x_i, x_j) / (n (n-1)) + Σ_{i≠j} k(y_i, y_j) / (m (m-1)) - 2 Σ_{i,j} k(x_i, y_j) / (n m)

This estimate is unbiased, and so below 0 at times. KID takes k(x, y) = (x·y / features + 1)³.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxdiff.evaluation.neighbors import blocks, squared_distances

__all__ = ["Kernel", "Spread", "cubic", "gaussian", "kid", "median_distance", "mmd"]

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`(a, b) -> (n, m)`, the kernel between rows (n, features) and (m, features)."""


class Spread(NamedTuple):
    """The mean of an estimate over subsets, and its standard deviation from one to another."""

    mean: float
    spread: float


def cubic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """KID's kernel."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def gaussian(width: float) -> Kernel:
    """exp(-|a - b|² / (2 width²))."""
    return lambda a, b: np.exp(-squared_distances(a, b) / (2 * width**2))


def median_distance(features: np.ndarray, most: int = 1000) -> float:
    """The median distance between different rows, of `most` drawn by lot: a usual width of a Gaussian kernel."""
    chosen = np.random.default_rng(0).choice(len(features), min(most, len(features)), replace=False)
    some = np.asarray(features[np.sort(chosen)], np.float64)
    return float(np.sqrt(np.median(squared_distances(some, some)[np.triu_indices(len(some), 1)])))


def mmd(a: np.ndarray, b: np.ndarray, kernel: Kernel) -> float:
    """The unbiased squared discrepancy between features (n, features) and (m, features), in float64."""
    n, m = len(a), len(b)
    within = lambda x: _total(kernel, x, x) - _diagonal(kernel, x)
    return float(within(a) / (n * (n - 1)) + within(b) / (m * (m - 1)) - 2 * _total(kernel, a, b) / (n * m))


def kid(a: np.ndarray, b: np.ndarray, rng: np.random.Generator, subsets: int = 100, size: int = 1000) -> Spread:
    """The kernel distance of features (n, features) and (m, features): its mean over random subsets.

    Args:
      subsets: so many pairs of them, each drawn without replacement.
      size: of each; of all there are, if these are fewer.
    """
    size = min(size, len(a), len(b))
    some = lambda x: np.asarray(x[np.sort(rng.choice(len(x), size, replace=False))], np.float64)
    each = [mmd(some(a), some(b), cubic) for _ in range(subsets)]
    return Spread(float(np.mean(each)), float(np.std(each)))


def _total(kernel: Kernel, a: np.ndarray, b: np.ndarray) -> float:
    """The sum of the kernel over all pairs."""
    b = np.asarray(b, np.float64)
    return sum(float(kernel(np.asarray(a[rows], np.float64), b).sum()) for rows in blocks(len(a), len(b)))


def _diagonal(kernel: Kernel, x: np.ndarray) -> float:
    """The sum of the kernel of each row with itself."""
    return sum(float(np.trace(kernel(part, part))) for part in _few(x))


def _few(x: np.ndarray):
    return (np.asarray(x[i : i + 256], np.float64) for i in range(0, len(x), 256))
