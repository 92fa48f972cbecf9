"""Neighbors: distances between two sets of features, in float64, a block at a time, so that memory has a bound.

|a - b|² = |a|² + |b|² - 2 a·b
"""

from collections.abc import Iterator

import numpy as np

__all__ = ["blocks", "kth_distance", "nearest", "squared_distances"]

AT_ONCE = 2**23
"""Numbers of a block of distances: 64 MB."""


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows of a matrix, none of more than `AT_ONCE` numbers if a row has no more."""
    step = max(1, AT_ONCE // max(columns, 1))
    return (slice(i, min(i + step, rows)) for i in range(0, rows, step))


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """All squared distances, (n, m), of rows (n, features) and (m, features)."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T), 0)


def nearest(a: np.ndarray, b: np.ndarray, k: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Distances and numbers of the k rows of b nearest to each row of a, (n, k) both, the nearest first.

    They are found by the formula above, and then measured by their differences, so that a copy is at distance 0.
    """
    b = np.asarray(b, np.float64)
    found, numbers = np.empty((len(a), k)), np.empty((len(a), k), int)
    for rows in blocks(len(a), max(len(b), k * b.shape[1])):
        part = np.asarray(a[rows], np.float64)
        squared = squared_distances(part, b)
        near = np.argpartition(squared, k - 1, 1)[:, :k] if k < len(b) else np.tile(np.arange(len(b)), (len(part), 1))
        exact = np.sqrt(((part[:, None] - b[near]) ** 2).sum(2))
        order = np.argsort(exact, 1, kind="stable")
        found[rows], numbers[rows] = np.take_along_axis(exact, order, 1), np.take_along_axis(near, order, 1)
    return found, numbers


def kth_distance(features: np.ndarray, k: int) -> np.ndarray:
    """The squared distance of each row to its k-th nearest other row, (n,)."""
    radii = np.empty(len(features))
    for rows in blocks(len(features), len(features)):
        squared = squared_distances(features[rows], features)
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = 0  # itself, without rounding
        radii[rows] = np.partition(squared, k, 1)[:, k]
    return radii
