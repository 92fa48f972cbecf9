"""Rotation: examples turned at random, for a network of points that knows no symmetry (Abramson et al. 2024)."""

import jax.numpy as jnp

from jaxdiff.geometry.rigid import rotations
from jaxdiff.types import Transform

__all__ = ["rotated"]


def rotated() -> Transform:
    """Turn the first three channels of each example (batch, points, channels) by a rotation of its own.

    A shift would change nothing: what lives in a space of zero center has none (`jaxdiff.gaussian.space.centered`).
    """

    def rotate(key, batch):
        turns = rotations(key, batch.x_0.shape[0]).astype(batch.x_0.dtype)
        return batch._replace(x_0=jnp.concatenate([batch.x_0[..., :3] @ turns.mT, batch.x_0[..., 3:]], axis=-1))

    return rotate
