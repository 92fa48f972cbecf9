"""Simplex noise: smooth noise of several scales, for anomalies larger than a pixel (Wyatt et al. 2022, AnoDDPM).

One octave is Perlin's simplex noise in two dimensions (2001): the plane is cut into triangles, each corner has a random
direction, and a point is the sum over its three corners of `(1/2 - d²)^4 (direction · offset)` where d² < 1/2, d the
distance. Octave i has frequency `2^i` times the first and amplitude `persistence^i`.

With corners as dense as sqrt(3) in a plane of random shift, the variance of an octave is the same at every point,

    sqrt(3) / 2 ∫ (1/2 - r²)^8 r² 2 pi r dr = sqrt(3) pi / 2 (1/2)^10 / 90

and the sum of octaves is divided by its standard deviation. So over many draws each pixel has mean 0 and variance 1, as
normal noise has, and the brightness of a plane is as uncertain as that of its pixels: x_1 says nothing of the data's.
"""

import math

import jax
import jax.numpy as jnp

from jaxdiff.types import Array, Key, Noise

__all__ = ["VARIANCE", "octave", "simplex"]

SKEW, UNSKEW = (3**0.5 - 1) / 2, (3 - 3**0.5) / 6
VARIANCE = 3**0.5 * math.pi / 2 / 2**10 / 90
"""Of one octave at any point."""


def simplex(octaves: int = 6, frequency: float = 2**-6, persistence: float = 0.8) -> Noise:
    """`(key, x) -> eps` for images (batch, height, width, channels); the defaults are the paper's.

    Args:
      frequency: of the first octave, in cells a pixel.
    """

    def noise(key: Key, x: Array) -> Array:
        n, height, width, channels = x.shape
        keys = jax.random.split(key, (n, channels, octaves))
        places = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), -1).astype(jnp.float32)

        def plane(keys):
            scales = frequency * 2.0 ** jnp.arange(octaves)
            waves = jax.vmap(lambda k, s: octave(k, places * s))(keys, scales)
            amplitudes = persistence ** jnp.arange(octaves)
            return jnp.tensordot(amplitudes, waves, 1) / jnp.sqrt(VARIANCE * (amplitudes**2).sum())

        return jnp.moveaxis(jax.vmap(jax.vmap(plane))(keys), 1, -1).astype(x.dtype)

    return noise


def octave(key: Key, places: Array) -> Array:
    """Simplex noise at places (..., 2), in cells, of a field that is drawn by the key."""
    key_shift, key_turn = jax.random.split(key)
    places = places + jax.random.uniform(key_shift, (2,), maxval=256.0)
    cell = jnp.floor(places + SKEW * places.sum(-1, keepdims=True))
    inside = places - (cell - UNSKEW * cell.sum(-1, keepdims=True))
    lower = inside[..., :1] > inside[..., 1:]
    middle = jnp.where(lower, jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))
    total = jnp.zeros(places.shape[:-1], places.dtype)
    for corner in (jnp.zeros(2), middle, jnp.ones(2)):
        offset = inside - (corner - UNSKEW * corner.sum(-1, keepdims=True))
        direction = _direction(key_turn, (cell + corner).astype(jnp.int32))
        near = jnp.maximum(0.5 - (offset**2).sum(-1), 0.0)
        total = total + near**4 * (direction * offset).sum(-1)
    return total


def _direction(key: Key, corner: Array) -> Array:
    """A unit vector of its own for each corner, (..., 2) whole numbers."""
    own = jax.vmap(lambda c: jax.random.fold_in(jax.random.fold_in(key, c[0]), c[1]))(corner.reshape(-1, 2))
    turns = jax.vmap(lambda k: jax.random.uniform(k, maxval=2 * jnp.pi))(own).reshape(corner.shape[:-1])
    return jnp.stack([jnp.cos(turns), jnp.sin(turns)], -1)
