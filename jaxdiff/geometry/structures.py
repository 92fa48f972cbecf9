"""How structures are compared: by distances, bonds, angles and hands, and sets of them by what they cover.

Structures are points (..., points, 3), in Angstrom where a threshold is in question. With d the distance of a pair of
points, d' what it should be, and the pairs those of `d' < radius`,

    LDDT          mean over the pairs and the thresholds c of 0.5, 1, 2, 4 Å of [|d - d'| < c]     (Mariani et al. 2013)
    smooth LDDT   the same with sigmoid(c - |d - d'|) in place of the step        (Abramson et al. 2024, algorithm 27)

Neither sees a motion or a mirror. Coverage and matching (Xu et al. 2021; Ganea et al. 2021) are of a matrix of RMSDs.
"""

import jax
import jax.numpy as jnp

from jaxdiff.geometry.rigid import Points
from jaxdiff.types import Array

__all__ = ["angles", "coverage", "distances", "lddt", "lengths", "matching", "smooth_lddt", "volumes"]

THRESHOLDS = (0.5, 1.0, 2.0, 4.0)


def distances(x: Points) -> Array:
    """The distances of all pairs of points, (..., points, points); of gradient 0 where two are at one place."""
    return _length(x[..., :, None, :] - x[..., None, :, :])


def _length(v: Points) -> Array:
    squares = jnp.square(jnp.asarray(v)).sum(-1)
    apart = squares > 0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, squares, 1)), 0)


def lddt(x: Points, true: Points, mask: Points | None = None, radius: float = 15.0) -> Array:
    """The local distance difference test, from 0 to 1: (...).

    Args:
      mask: (..., points), which of them there are; all by default.
      radius: of the pairs that count, in Angstrom. Where there are none, the result is 1.

    >>> line = jnp.arange(3.0)[:, None] * jnp.array([1.0, 0.0, 0.0])
    >>> float(lddt(line, line)), float(lddt(1.7 * line, line).round(3))
    (1.0, 0.667)
    """
    return _lddt(x, true, mask, radius, lambda error, c: error < c)


def smooth_lddt(x: Points, true: Points, mask: Points | None = None, radius: float = 15.0) -> Array:
    """The same, differentiable; of exact structures 0.804, and never 1."""
    return _lddt(x, true, mask, radius, lambda error, c: jax.nn.sigmoid(c - error))


def _lddt(x, true, mask, radius, score):
    d, wanted = distances(x), distances(true)
    there = jnp.ones(x.shape[:-1], bool) if mask is None else jnp.asarray(mask) > 0
    count = there[..., :, None] & there[..., None, :] & ~jnp.eye(x.shape[-2], dtype=bool) & (wanted < radius)
    error = jnp.abs(d - wanted)
    each = sum(jnp.asarray(score(error, c), x.dtype) for c in THRESHOLDS) / len(THRESHOLDS)
    pairs = count.sum((-1, -2))
    return jnp.where(pairs > 0, jnp.where(count, each, 0).sum((-1, -2)) / jnp.maximum(pairs, 1), 1)


def lengths(x: Points, bonds: Points) -> Array:
    """The lengths of bonds, (..., bonds).

    Args:
      bonds: (bonds, 2), numbers of points.
    """
    return _length(x[..., bonds[:, 0], :] - x[..., bonds[:, 1], :])


def angles(x: Points, triples: Points) -> Array:
    """The angles at the middle points of triples, in degrees from 0 to 180: (..., triples).

    Args:
      triples: (triples, 3), numbers of points.
    """
    a, middle, b = (x[..., triples[:, i], :] for i in range(3))
    a, b = a - middle, b - middle
    # By both sine and cosine: the arc cosine alone loses half of the digits near 0 and 180.
    return jnp.degrees(jnp.arctan2(_length(jnp.cross(a, b)), (a * b).sum(-1)))


def volumes(x: Points, centers: Points) -> Array:
    """The signed volumes `(a - o) · (b - o) x (c - o)` at centers, (..., centers): a mirror turns their signs.

    Args:
      centers: (centers, 4), the numbers of o, a, b and c.
    """
    o, a, b, c = (x[..., centers[:, i], :] for i in range(4))
    return ((a - o) * jnp.cross(b - o, c - o)).sum(-1)


def coverage(rmsds: Points, threshold: float) -> Array:
    """COV: the share of references that have a drawn structure nearer than a threshold.

    Args:
      rmsds: (references, drawn), in the units of the threshold.
    """
    return jnp.mean(jnp.asarray(rmsds).min(1) < threshold)


def matching(rmsds: Points) -> Array:
    """MAT: the mean, over references, of the RMSD of the nearest drawn structure, (references, drawn) -> ()."""
    return jnp.mean(jnp.asarray(rmsds).min(1))
