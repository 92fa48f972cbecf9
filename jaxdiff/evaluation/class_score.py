"""Class score: how sure a classifier is of each sample, and how many classes it finds in all of them.

    score = exp(E_x KL(p(y | x) || p(y))),    1 to the number of classes

With the logits of an Inception network this is the Inception Score (Salimans et al. 2016).
"""

import numpy as np

from jaxdiff.evaluation.kernels import Spread

__all__ = ["class_score", "histogram"]


def class_score(logits: np.ndarray, splits: int = 10) -> Spread:
    """The score of logits (n, classes): its mean and standard deviation over splits, n // splits in a row each.

    Samples that do not come in a random order have to be shuffled before.
    """
    logits = np.asarray(logits, np.float64)
    edges = [(i * len(logits) // splits, (i + 1) * len(logits) // splits) for i in range(splits)]
    scores = [_score(_log_softmax(logits[low:high])) for low, high in edges if high > low]
    return Spread(float(np.mean(scores)), float(np.std(scores)))


def histogram(logits: np.ndarray) -> np.ndarray:
    """The share of samples that the classifier finds in each class, (classes,)."""
    return np.bincount(np.argmax(logits, 1), minlength=logits.shape[1]) / len(logits)


def _score(log_p: np.ndarray) -> float:
    p = np.exp(log_p)
    mean = np.log(np.maximum(p.mean(0), np.finfo(np.float64).tiny))
    return float(np.exp((p * (log_p - mean)).sum(1).mean()))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
