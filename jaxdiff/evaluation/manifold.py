"""Manifold: precision, recall, density and coverage, by balls around examples that reach to their k-th neighbor.

    precision   share of samples within the ball of some real example          (Kynkäänniemi et al. 2019)
    recall      share of real examples within the ball of some sample
    density     mean number of real balls around a sample, over k              (Naeem et al. 2020)
    coverage    share of real examples in whose ball a sample lies

Two sets of one distribution have a coverage of `expected_coverage`, less than 1. Equal n is needed to compare figures.
"""

from typing import NamedTuple

import numpy as np

from jaxdiff.evaluation.neighbors import blocks, kth_distance, squared_distances

__all__ = ["Manifold", "expected_coverage", "manifold"]


class Manifold(NamedTuple):
    """The four figures; density may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(samples: np.ndarray, real: np.ndarray, k: int = 5) -> Manifold:
    """The four figures of samples (n, features) and real examples (m, features), of more than k rows each.

    Args:
      k: the neighbor that a ball reaches to, the example itself not counted. Kynkäänniemi et al. take 3 for the first
        two figures, Naeem et al. 5 for all.
    """
    around_real, around_samples = kth_distance(real, k), kth_distance(samples, k)
    balls, real = np.empty(len(samples), int), np.asarray(real, np.float64)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in blocks(len(samples), len(real)):
        squared = squared_distances(samples[rows], real)
        inside = squared < around_real
        balls[rows] = inside.sum(1)
        covered |= inside.any(0)
        recalled |= (squared < around_samples[rows, None]).any(0)
    return Manifold(float((balls > 0).mean()), float(recalled.mean()), float(balls.mean() / k), float(covered.mean()))


def expected_coverage(samples: int, real: int, k: int = 5) -> float:
    """The coverage of two sets of one continuous distribution (Naeem et al. 2020, Lemma 2).

    1 - (m-1) ... (m-k) / ((n+m-1) ... (n+m-k)),    n samples, m real examples
    """
    i = np.arange(1, k + 1)
    return float(1 - np.prod((real - i) / (samples + real - i)))
