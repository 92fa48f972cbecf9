"""Baselines: what a statistician would fit in ten lines, with draws and restorations in closed form, in float64.

    mixture of Gaussians    p(x) = Σ_k w_k N(x; m_k, C_k); one component is a Gaussian
    nearest neighbors       draws are training examples; a restoration is the one that explains the measurement best

Of a measurement y = A x + noise n, n normal, the mixture knows the posterior mean, with S_k = A C_k A^T + noise² I:

    E[x | y] = Σ_k r_k (m_k + C_k A^T S_k^-1 (y - A m_k)),    r_k ∝ w_k N(y; A m_k, S_k)
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from jaxdiff.evaluation.neighbors import nearest

__all__ = ["Mixture", "drawn", "fit", "nearest_restored", "operator_matrix", "restored"]


class Mixture(NamedTuple):
    """A mixture of Gaussians.

    Attributes:
      weights: (components,), that sum to one.
      means: (components, features).
      covariances: (components, features, features).
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


def fit(x: np.ndarray, components: int = 30, iterations: int = 20, least: float = 1e-3, seed: int = 0) -> Mixture:
    """A mixture of full covariances, by k-means and then EM; the moments themselves for one component.

    Args:
      x: (n, features).
      least: what is added to the diagonals, against components of few examples.
    """
    from sklearn.exceptions import ConvergenceWarning  # half a second to import
    from sklearn.mixture import GaussianMixture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few iterations are what is asked for
        model = GaussianMixture(components, reg_covar=least, max_iter=iterations, random_state=seed)
        made = model.fit(np.asarray(x, np.float64))
    return Mixture(*map(np.asarray, (made.weights_, made.means_, made.covariances_)))


def drawn(mixture: Mixture, rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw n examples, (n, features)."""
    counts = rng.multinomial(n, mixture.weights)
    parts = [
        mean + rng.normal(size=(count, len(mean))) @ np.linalg.cholesky(covariance).T
        for count, mean, covariance in zip(counts, mixture.means, mixture.covariances, strict=True)
    ]
    return rng.permutation(np.concatenate(parts))


def restored(mixture: Mixture, operator: np.ndarray, y: np.ndarray, noise: float) -> np.ndarray:
    """The posterior means, (n, features), of measurements (n, measured).

    Args:
      operator: A, (measured, features).
      noise: its standard deviation, above 0.
    """
    log_weights, means = [], []
    for weight, mean, covariance in zip(*mixture, strict=True):
        across = covariance @ operator.T
        root = np.linalg.cholesky(operator @ across + noise**2 * np.eye(len(operator)))
        left = (y - operator @ mean).T
        whitened = solve_triangular(root, left, lower=True)
        log_weights.append(np.log(weight) - 0.5 * (whitened**2).sum(0) - np.log(np.diag(root)).sum())
        means.append(mean + (across @ cho_solve((root, True), left)).T)
    shares = np.exp(np.array(log_weights) - np.max(log_weights, 0))
    return np.einsum("kn,knd->nd", shares / shares.sum(0), np.array(means))


def nearest_restored(training: np.ndarray, operator: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The training examples whose measurements are nearest to those given, (n, features)."""
    return training[nearest(y, training @ operator.T)[1][:, 0]]


def operator_matrix(operator: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The matrix of a linear operator `(n, *shape) -> (n, ...)`, (measured, features)."""
    size = int(np.prod(shape))
    return np.asarray(operator(np.eye(size).reshape(size, *shape)), np.float64).reshape(size, -1).T
