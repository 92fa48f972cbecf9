"""Fréchet distance: between the Gaussians that have the means and covariances of two sets of features.

    d² = |m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^(1/2))

With the pooled features of an Inception network this is FID (Heusel et al. 2017); here the features are the caller's.
The trace of the root is the sum of the singular values of `A^T B` for any factors `C_a = A A^T`, `C_b = B B^T`, so that
no root of a product is taken, and singular covariances do no harm.

From n samples the distance is too large by about c / n (Chong and Forsyth 2020). What is left at 1 / n = 0 of a line
through the distances of parts of the samples is the distance of infinitely many.
"""

from typing import NamedTuple

import chex
import numpy as np

from jaxdiff.evaluation.moments import Moments, covariance, gathered, root

__all__ = ["Extrapolation", "distance", "extrapolated", "frechet_distance"]

BLOCK = 4096


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The squared distance between two sets of features, (n, features) and (m, features), computed in float64."""
    chex.assert_rank([a, b], 2)
    chex.assert_equal_shape_suffix([a, b], 1)
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    mean_a, mean_b = a.mean(0), b.mean(0)
    factor_a, factor_b = (a - mean_a) / np.sqrt(len(a) - 1), (b - mean_b) / np.sqrt(len(b) - 1)
    trace = np.linalg.svd(_triangle(factor_a) @ _triangle(factor_b).T, compute_uv=False).sum()
    return float(((mean_a - mean_b) ** 2).sum() + (factor_a**2).sum() + (factor_b**2).sum() - 2 * trace)


def distance(a: Moments, b: Moments, root_b: np.ndarray | None = None) -> float:
    """The squared distance between two sets of which the moments are known.

    Args:
      root_b: `moments.root(b)`, where it is needed often.
    """
    root_b = root(b) if root_b is None else root_b
    trace = np.linalg.svd(root(a).T @ root_b, compute_uv=False).sum()
    means = ((a.mean - b.mean) ** 2).sum()
    return float(means + np.trace(covariance(a)) + np.trace(covariance(b)) - 2 * trace)


class Extrapolation(NamedTuple):
    """A distance of infinitely many samples, and the line that leads to it.

    Attributes:
      value: the distance at 1 / n = 0.
      sizes: of the parts, each a whole number of samples.
      distances: mean squared distance of the parts of each size.
    """

    value: float
    sizes: np.ndarray
    distances: np.ndarray


def extrapolated(features: np.ndarray, reference: Moments, rng: np.random.Generator, most: int = 5) -> Extrapolation:
    """The squared distance of infinitely many samples to a reference, whose own bias stays.

    The samples, in a random order, are cut into 1, 2 ... `most` parts; a line in 1 / n is fitted to the mean distance
    of the parts of each size.

    Args:
      features: (n, features), an array or a map of a file, with n of at least `most` times the features.
    """
    order, root_b = rng.permutation(len(features)), root(reference)
    sizes, distances = [], []
    for parts in range(1, most + 1):
        size = len(features) // parts
        each = [_streamed(features, order[i * size : (i + 1) * size]) for i in range(parts)]
        sizes.append(size)
        distances.append(np.mean([distance(part, reference, root_b) for part in each]))
    _, value = np.polyfit(1 / np.array(sizes), distances, 1)
    return Extrapolation(float(value), np.array(sizes), np.array(distances))


def _streamed(features: np.ndarray, indices: np.ndarray) -> Moments:
    """The moments of some rows, read in the order of the file, a block at a time."""
    rows = np.sort(indices)
    return gathered(features[rows[i : i + BLOCK]] for i in range(0, len(rows), BLOCK))


def _triangle(factor: np.ndarray) -> np.ndarray:
    """R of factor = Q R, so that R^T R is the covariance: (features, features) whatever the number of samples."""
    return np.asarray(np.linalg.qr(factor, mode="r"))
