"""Intervals of a figure by resampling the samples it was computed of.

    bootstrap     n samples drawn again with replacement (Efron 1979), the interval reflected at the estimate
    jackknife     one group of the samples left out at a time (Quenouille 1949, Tukey 1958)

Copies among resampled samples make Fréchet distances larger and fill balls around neighbors, so that for these the
jackknife, which repeats none, is the one to take.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

__all__ = ["Interval", "bootstrap", "jackknife", "of_groups"]


class Interval(NamedTuple):
    """An estimate, and bounds that hold its expectation at the level asked for.

    Attributes:
      value: of all samples.
      low, high: bounds.
      error: standard error.
    """

    value: float
    low: float
    high: float
    error: float


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    n: int,
    rng: np.random.Generator,
    repeats: int = 1000,
    level: float = 0.95,
) -> Interval:
    """The basic bootstrap interval: `2 value - quantile` of the resampled values.

    Args:
      statistic: `(indices) -> value`, of some of n samples.
    """
    value = statistic(np.arange(n))
    again = np.array([statistic(rng.integers(0, n, n)) for _ in range(repeats)])
    low, high = np.quantile(again, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(2 * value - high), float(2 * value - low), float(again.std(ddof=1)))


def jackknife(
    statistic: Callable[[np.ndarray], float], n: int, rng: np.random.Generator, groups: int = 10, level: float = 0.95
) -> Interval:
    """The interval of the delete-a-group jackknife.

    Args:
      statistic: `(indices) -> value`, of some of n samples.
      groups: of equal size, drawn by lot.
    """
    value, parts = statistic(np.arange(n)), np.array_split(rng.permutation(n), groups)
    without = lambda i: np.sort(np.concatenate([part for j, part in enumerate(parts) if j != i]))
    return of_groups(value, [statistic(without(i)) for i in range(groups)], level)


def of_groups(value: float, without: Sequence[float], level: float = 0.95) -> Interval:
    """The jackknife's interval, with Student's t of `groups - 1` degrees of freedom.

        error² = (g - 1) / g Σ_i (θ_(i) - mean θ)²

    Args:
      value: of all samples.
      without: θ_(i), of all samples but those of group i.
    """
    each, groups = np.asarray(without), len(without)
    error = float(np.sqrt((groups - 1) / groups * ((each - each.mean()) ** 2).sum()))
    reach = float(stdtrit(groups - 1, (1 + level) / 2)) * error
    return Interval(value, value - reach, value + reach, error)
