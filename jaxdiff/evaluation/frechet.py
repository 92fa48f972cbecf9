"""Fréchet distance: between the Gaussians that have the means and covariances of two sets of features.

    d² = |m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^(1/2))

With the pooled features of an Inception network this is FID (Heusel et al. 2017); here the features are the caller's.
"""

import chex
import numpy as np

__all__ = ["frechet_distance"]


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The squared distance between two sets of features, (n, features) and (m, features), computed in float64.

    The trace of the root is the sum of the singular values of `A^T B`, for any factors `C_a = A A^T`, `C_b = B B^T`.
    """
    chex.assert_rank([a, b], 2)
    chex.assert_equal_shape_suffix([a, b], 1)
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    mean_a, mean_b = a.mean(0), b.mean(0)
    factor_a, factor_b = (a - mean_a) / np.sqrt(len(a) - 1), (b - mean_b) / np.sqrt(len(b) - 1)
    root = np.linalg.svd(_triangle(factor_a) @ _triangle(factor_b).T, compute_uv=False).sum()
    return float(((mean_a - mean_b) ** 2).sum() + (factor_a**2).sum() + (factor_b**2).sum() - 2 * root)


def _triangle(factor: np.ndarray) -> np.ndarray:
    """R of factor = Q R, so that R^T R is the covariance: (features, features) whatever the number of samples."""
    return np.asarray(np.linalg.qr(factor, mode="r"))
