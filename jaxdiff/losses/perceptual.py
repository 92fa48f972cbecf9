"""Perceptual distance: of images, by what a network that learned to tell images apart makes of them.

With f_l the features of layer l, a vector at each place p, each divided by its length,

    d(x, y) = Σ_l 1/P_l Σ_p |f_l(x)_p - f_l(y)_p|²

from 0 on, and at most 4 a layer. The form is that of Zhang et al. 2018, without the weights of its channels, which are
learned from people's answers. Their network and weights come with no package, so this is not their measure and does not
have its name: the features are those of a network of our own (`jaxdiff data features`), or of any function.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxdiff.types import Array

__all__ = ["Features", "perceptual_distance"]

Features = Callable[[Array], Array | Sequence[Array]]
"""`images (n, ...) -> features`, an array (n, ..., channels) or one for each layer; of JAX, as it is differentiated."""
LEAST = 1e-10
"""Squared length that is added to that of each vector."""


def perceptual_distance(features: Features, x: Array, y: Array) -> Array:
    """The distance of each image of x to that of y: (n,)."""
    each = [_layers(features(images)) for images in (x, y)]
    parts = [jnp.sum((_unit(a) - _unit(b)) ** 2, axis=-1) for a, b in zip(*each, strict=True)]
    return sum((part.reshape(len(part), -1).mean(1) for part in parts), jnp.zeros(len(x)))


def _layers(found: Array | Sequence[Array]) -> Sequence[Array]:
    return found if isinstance(found, (tuple, list)) else [jnp.asarray(found)]


def _unit(f: Array) -> Array:
    return f * jax.lax.rsqrt(jnp.sum(f**2, axis=-1, keepdims=True) + LEAST)
