"""Hands: lead structures to the hand that their stereocenters have, whatever the network makes of it.

With n the unit normal of the plane of three neighbors a, b, c of a center o, `n ~ (b - a) x (c - a)`, the center lies
`h = (a - o) · n` below it, and the signed volume of the four is positive where h is. In x̂_0 the center is moved along
-n, and its neighbors along n, half each of what h lacks of a least height; so the four corners of a center with four
neighbors turn it inside out. A structure whose centers are as they should be stays as it is.
"""

import jax.numpy as jnp

from jaxdiff.gaussian.process import Process
from jaxdiff.types import Array, Denoiser

__all__ = ["handed"]


def handed(process: Process, denoiser: Denoiser, centers: Array, least: float | Array = 0.3) -> Denoiser:
    """The denoiser whose x̂_0, points (batch, points, 3), has centers of positive volume.

    Args:
      centers: (batch, corners, 4), the numbers of o, a, b and c; where o and a are the same there is none. A center
        with four neighbors has four corners.
      least: height, in the units of x; of a carbon with single bonds it is 0.5 Å.
    """

    def denoise(x_t, t):
        x_0 = denoiser(x_t, t)
        o, a, b, c = (jnp.take_along_axis(x_0, centers[..., i, None], axis=1) for i in range(4))
        normal = jnp.cross(b - a, c - a)
        normal = normal / jnp.maximum(jnp.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
        height = ((a - o) * normal).sum(-1, keepdims=True)
        missing = jnp.where((centers[..., 0] != centers[..., 1])[..., None], jnp.maximum(least - height, 0), 0)
        rows = jnp.arange(x_0.shape[0])[:, None]
        for i, side in enumerate((-0.5, 0.5, 0.5, 0.5)):
            x_0 = x_0.at[rows, centers[..., i]].add(side * missing * normal)
        return process.space.project(x_0)

    return denoise
