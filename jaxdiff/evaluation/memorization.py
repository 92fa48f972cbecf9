"""Memorization: are samples nearer to the training data than to held-out data of the same distribution?

Of each sample the nearest real example is found, in training and held-out data together. Where the model has learned
the distribution and not the examples, training and held-out data are exchangeable: which of the real examples are
called "training" is as if drawn by lot, and a permutation of that label gives the exact law of any count of the form

    T = Σ_i w_i [the nearest of sample i is a training example] / Σ_i w_i

A weight may depend on distances, but not on the label. Here it is `w = 1 - d_1 / d_2`, of the nearest and the second
nearest: near 1 for a copy, near 0 where no example stands out. The label goes by examples and not by samples, so that
an example which is the nearest of many samples counts as one draw.
"""

from typing import NamedTuple

import numpy as np

from jaxdiff.evaluation.neighbors import nearest

__all__ = ["CLOSE", "Memorization", "memorization"]

CLOSE = 1 / 3
"""A sample is a near copy if its nearest example is at less than this part of the other set's (Yoon et al. 2023)."""


class Memorization(NamedTuple):
    """What the neighbors of samples say.

    Attributes:
      ratio: the median of d_training / d_held_out; 1 for sets of one size and no memory.
      share, expected: of samples nearer to training data, and what it would be by lot.
      copies: share of samples that are near copies of training examples.
      copies_held_out: the same of held-out examples: what chance does.
      statistic: T.
      p_value: the probability of T or more without memory.
    """

    ratio: float
    share: float
    expected: float
    copies: float
    copies_held_out: float
    statistic: float
    p_value: float


def memorization(
    samples: np.ndarray, training: np.ndarray, held_out: np.ndarray, rng: np.random.Generator, draws: int = 9999
) -> Memorization:
    """Compare samples with training and held-out features, (n, features) each.

    Args:
      draws: permutations of the label; the least p-value is 1 / (draws + 1).
    """
    near, number = nearest(samples, training, min(2, len(training)))
    far, other = nearest(samples, held_out, min(2, len(held_out)))
    both = np.sort(np.concatenate([near, far], 1), 1)
    ours, its = near[:, 0], far[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(both[:, 1] > 0, 1 - both[:, 0] / both[:, 1], 0.0)
        ratio = np.where(its > 0, ours / its, np.where(ours > 0, np.inf, 1.0))
    first = np.where(ours <= its, number[:, 0], len(training) + other[:, 0])
    total = len(training) + len(held_out)
    score = np.bincount(first, weight, total)
    statistic = score[: len(training)].sum()
    at_chance = np.array([rng.permutation(score)[: len(training)].sum() for _ in range(draws)])
    reached = (at_chance >= statistic * (1 - 1e-12)).sum()
    return Memorization(
        ratio=float(np.median(ratio)),
        share=float(((ours < its) + 0.5 * (ours == its)).mean()),
        expected=len(training) / total,
        copies=float((ours < CLOSE * its).mean()),
        copies_held_out=float((its < CLOSE * ours).mean()),
        statistic=float(statistic / max(score.sum(), np.finfo(float).tiny)),
        p_value=float((1 + reached) / (1 + draws)),
    )
