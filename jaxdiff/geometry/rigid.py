"""Rigid motions of points of space: random turns, and what lays points onto others (Kabsch 1976).

The rotation R and the shift that bring x nearest to y, `sum_i w_i |R (x_i - mean x) + mean y - y_i|²` the least, follow
from the singular values of `H = sum_i w_i (y_i - mean y) (x_i - mean x)ᵀ = U S Vᵀ`:

    R = U diag(1, 1, det(U V)) Vᵀ

which is proper: it never mirrors, so the two hands of a molecule stay two. Of points on a line R is one of many.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array, Key

__all__ = ["Points", "align", "mean_point", "rmsd", "rotation_onto", "rotations", "turns"]

Points = Array | np.ndarray
"""Points of space (..., points, 3), or what counts them."""


def rotations(key: Key, n: int) -> Array:
    """Draw n rotations, (n, 3, 3), uniform over all proper ones: of normal quaternions (Shoemake 1992).

    >>> r = rotations(jax.random.key(0), 2)
    >>> bool(jnp.allclose(r @ r.mT, jnp.eye(3), atol=1e-6)), jnp.linalg.det(r).round(5).tolist()
    (True, [1.0, 1.0])
    """
    return turns(jax.random.normal(key, (n, 4)))


def turns(quaternions: Array) -> Array:
    """The rotations of quaternions (..., 4) of any length, (..., 3, 3); of zero none."""
    still = ~jnp.any(quaternions, axis=-1, keepdims=True)
    q = jnp.where(still, jnp.array([1.0, 0, 0, 0], quaternions.dtype), quaternions)
    a, b, c, d = jnp.moveaxis(q / jnp.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a - b * b + c * c - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a - b * b - c * c + d * d],
    ]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def mean_point(x: Points, weights: Points | None = None) -> Array:
    """The weighted mean of points x (..., points, 3): (..., 1, 3).

    Args:
      weights: (..., points), not negative, of which some are positive; 0 of padding. All 1 by default.
    """
    x = jnp.asarray(x)
    if weights is None:
        return x.mean(-2, keepdims=True)
    w = jnp.asarray(weights, x.dtype)[..., None]
    return (w * x).sum(-2, keepdims=True) / w.sum(-2, keepdims=True)


def rotation_onto(x: Points, y: Points, weights: Points | None = None) -> Array:
    """The proper rotation R (..., 3, 3) by which `x @ R.T` lies nearest to y, both less their weighted means.

    Args:
      x, y: (..., points, 3).
      weights: as of `mean_point`.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    w = jnp.ones(x.shape[:-1], x.dtype) if weights is None else jnp.asarray(weights, x.dtype)
    h = jnp.einsum("...p,...pi,...pj->...ij", w, y - mean_point(y, weights), x - mean_point(x, weights))
    u, _, vt = jnp.linalg.svd(h)
    hand = jnp.sign(jnp.linalg.det(u) * jnp.linalg.det(vt))
    signs = jnp.stack([jnp.ones_like(hand), jnp.ones_like(hand), hand], -1)
    return (u * signs[..., None, :]) @ vt


def align(x: Points, y: Points, weights: Points | None = None) -> Array:
    """x moved as a rigid body to lie nearest to y, (..., points, 3).

    No gradient passes through the motion: that of the distance to y is exact all the same, as the motion is the best.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    turn = jax.lax.stop_gradient(rotation_onto(x, y, weights))
    return (x - mean_point(x, weights)) @ turn.mT + mean_point(y, weights)


def rmsd(x: Points, y: Points, weights: Points | None = None) -> Array:
    """The root mean square distance of the points of x to those of y, once laid onto them: (...).

    Args:
      weights: as of `mean_point`.
    """
    squares = jnp.square(align(x, y, weights) - y)
    return jnp.sqrt(3 * mean_point(squares, weights).mean((-1, -2)))
