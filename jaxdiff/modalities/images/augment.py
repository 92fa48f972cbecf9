"""Augmentation that does not leak (Karras et al. 2022, appendix F.2, and Karras et al. 2020).

Each training image is mirrored, scaled, turned, stretched and shifted at random, and the network is told how, in nine
numbers that are all zero for an image as it is. Told zeros, or nothing, it draws images as they are.

    number    0           1           2           3, 4               5, 6                        7, 8
    what      mirrored    flipped     2^0.2a      turned by b:       stretched by 2^0.2c         shifted by d/8, e/8
                          upside      times as    cos b - 1, sin b   along angle f:              of its size
                          down        large: a                       c cos f, c sin f            d, e

with a, c, d and e normal, b uniform, and f uniform in half of the images that are stretched and 0 in the others. The
mirroring happens to half of the images, each of the others at `rate`.
"""

import jax
import jax.numpy as jnp

from jaxdiff.data.source import pixelwise
from jaxdiff.types import Array, ConditionSpec, Key, Transform, expand

__all__ = ["FINER", "SPEC", "augment", "augmented", "transform"]

SPEC = ConditionSpec((9,))
"""Of the condition "augment": the numbers that say what was done."""
FINER = 2
"""Images are enlarged so many times before they are resampled, linearly."""


def augment(key: Key, x: Array, rate: float = 0.12) -> tuple[Array, Array]:
    """`(images, (batch, 9))`: images (batch, height, width, channels), and what was done to them.

    What lies beyond the border is the mirror of what is inside. Images that are only mirrored are so exactly.
    """
    n = x.shape[0]
    keys = iter(jax.random.split(key, 16))
    seldom = lambda: jax.random.uniform(next(keys), (n,)) < rate
    normal = lambda: jnp.where(seldom(), jax.random.normal(next(keys), (n,)), 0.0)
    angle = lambda: jax.random.uniform(next(keys), (n,), minval=-jnp.pi, maxval=jnp.pi)

    mirrored = jax.random.bernoulli(next(keys), 0.5, (n,))
    upside_down = seldom() & jax.random.bernoulli(next(keys), 0.5, (n,))
    size, stretch, along = normal(), normal(), angle()
    turn = jnp.where(seldom(), angle(), 0.0)
    shift = jnp.where(seldom(), jax.random.normal(next(keys), (2, n)), 0.0)
    along = jnp.where(jax.random.bernoulli(next(keys), 0.5, (n,)), along, 0.0)

    x = jnp.where(expand(mirrored, x), x[:, :, ::-1], x)
    x = jnp.where(expand(upside_down, x), x[:, ::-1], x)
    longer = _rotation(along) @ _diagonal(2 ** (0.2 * stretch), 2 ** (-0.2 * stretch)) @ _rotation(-along)
    matrix = _rotation(turn) @ longer * 2 ** (0.2 * size)[:, None, None]
    moved = transform(x, matrix, shift.T / 8)
    said = [1.0 * mirrored, 1.0 * upside_down, size, jnp.cos(turn) - 1, jnp.sin(turn)]
    said += [stretch * jnp.cos(along), stretch * jnp.sin(along), *shift]
    labels = jnp.stack(said, axis=1)
    return jnp.where(expand(jnp.any(labels[:, 2:] != 0, axis=1), x), moved, x), labels


def transform(x: Array, matrix: Array, shift: Array) -> Array:
    """Images whose content is moved by an affine map about their center.

    Args:
      matrix: (batch, 2, 2), of (down, right).
      shift: (batch, 2), down and right, as shares of the height and the width.
    """
    _, height, width, channels = x.shape
    fine = jax.image.resize(x, (x.shape[0], FINER * height, FINER * width, channels), "lanczos3")
    sides = jnp.array([height, width], x.dtype)
    places = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), -1) + 0.5 - sides / 2

    def one(image, matrix, shift):
        source = jnp.einsum("ij,hwj->hwi", jnp.linalg.inv(matrix), places - shift * sides) + sides / 2
        coordinates = [FINER * source[..., axis] - 0.5 for axis in (0, 1)]
        plane = lambda p: jax.scipy.ndimage.map_coordinates(p, coordinates, order=1, mode="reflect")
        return jax.vmap(plane, in_axes=-1, out_axes=-1)(image)

    return jax.vmap(one)(fine, matrix, shift)


def augmented(rate: float) -> Transform:
    """Augment images, and what is known pixel by pixel, with what was done to them as the condition "augment"."""

    def change(key, batch):
        known, names = dict(batch.condition or {}), pixelwise(batch)
        planes = [batch.x_0, *(known[name] for name in names)]
        moved, known["augment"] = augment(key, jnp.concatenate(planes, axis=-1), rate)
        ends = [sum(plane.shape[-1] for plane in planes[:i]) for i in range(1, len(planes))]
        x_0, *beside = jnp.split(moved, ends, axis=-1)
        return batch._replace(x_0=x_0, condition=known | dict(zip(names, beside, strict=True)))

    return change


def _rotation(angle: Array) -> Array:
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], -2)


def _diagonal(first: Array, second: Array) -> Array:
    zero = jnp.zeros_like(first)
    return jnp.stack([jnp.stack([first, zero], -1), jnp.stack([zero, second], -1)], -2)
