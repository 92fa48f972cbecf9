"""Sliced Wasserstein distance: the mean over directions of the distance in one dimension (Bonneel et al. 2015).

    SW_p^p = E_θ ∫_0^1 |F_θ^-1(u) - G_θ^-1(u)|^p du,    θ uniform on the sphere

In one dimension the best plan joins equal quantiles, so that sorting gives it exactly.
"""

import numpy as np

__all__ = ["sliced_wasserstein", "wasserstein"]

AT_ONCE = 64
"""Directions that are projected on together."""


def wasserstein(a: np.ndarray, b: np.ndarray, power: float = 2) -> np.ndarray:
    """W_p^p of the columns of a (n, columns) and b (m, columns), (columns,)."""
    n, m = len(a), len(b)
    a, b = np.sort(a, 0), np.sort(b, 0)
    if n == m:
        return (np.abs(a - b) ** power).mean(0)
    edges = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # of the steps of both quantile functions, nm
    weights = np.diff(edges, prepend=0) / (n * m)
    return (weights[:, None] * np.abs(a[(edges - 1) // m] - b[(edges - 1) // n]) ** power).sum(0)


def sliced_wasserstein(
    a: np.ndarray, b: np.ndarray, rng: np.random.Generator, directions: int = 256, power: float = 2
) -> float:
    """SW_p of features (n, features) and (m, features) over random directions."""
    theta = rng.normal(size=(a.shape[1], directions))
    theta /= np.linalg.norm(theta, axis=0)
    parts = [theta[:, i : i + AT_ONCE] for i in range(0, directions, AT_ONCE)]
    each = [wasserstein(_projected(a, part), _projected(b, part), power) for part in parts]
    return float(np.concatenate(each).mean() ** (1 / power))


def _projected(features: np.ndarray, theta: np.ndarray) -> np.ndarray:
    parts = (np.asarray(features[i : i + 4096], np.float64) for i in range(0, len(features), 4096))
    return np.concatenate([part @ theta for part in parts])
