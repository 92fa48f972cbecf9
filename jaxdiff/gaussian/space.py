"""Space: the part of R^n that data live in, with the orthogonal projection onto it and its dimension.

    everywhere    all of R^n
    masked        nodes (atoms, tokens) that are there; the rows of padding are 0
    centered      besides, the mean of the coordinates over the nodes is 0: N nodes have (N - 1) * 3 dimensions of them

Noise is drawn in the space and a denoiser leads into it, so that no sampler leaves it; densities, KL divergences and
mean errors count its dimension d, not the n of the array: 0.5 log(2 pi e) nats too many, for each that is not there.
A process takes its space from the condition, such as the mask of a batch, once: `jaxdiff.gaussian.process.on`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.types import Array

__all__ = ["Space", "centered", "everywhere", "masked", "unknown_space"]


class Space(NamedTuple):
    """A linear subspace of the arrays (batch, ...), one for each example."""

    project: Callable[[Array], Array]
    """The nearest point of the space: x -> x."""
    dimension: Callable[[Array], Array]
    """Of each example of an x: (batch,), in the type of x."""


everywhere = Space(lambda x: x, lambda x: jnp.full(x.shape[:1], math.prod(x.shape[1:]), x.dtype))
"""All of R^n."""


def masked(mask: Array) -> Space:
    """The arrays (batch, nodes, ...) that are 0 where the mask is.

    Args:
      mask: (batch, nodes), 1 where there is a node and 0 where there is padding.
    """
    return Space(
        lambda x: x * _rows(mask, x),
        lambda x: (jnp.sum(mask, 1) * math.prod(x.shape[2:])).astype(x.dtype),
    )


def centered(mask: Array, coordinates: int = 3) -> Space:
    """Those of `masked` whose first channels are coordinates with a mean of 0 over the nodes.

    Args:
      mask: (batch, nodes), as for `masked`, with a node or more in each example.
      coordinates: how many of the channels, the last axis.
    """
    whole = masked(mask)

    def project(x):
        position, rest = jnp.split(whole.project(x), [coordinates], axis=-1)
        mean = position.sum(1, keepdims=True) / jnp.maximum(_rows(mask, x).sum(1, keepdims=True), 1)
        return whole.project(jnp.concatenate([position - mean, rest], axis=-1))

    return Space(project, lambda x: whole.dimension(x) - coordinates)


def _rows(mask: Array, x: Array) -> Array:
    return mask.reshape(*mask.shape, *[1] * (x.ndim - 2)).astype(x.dtype)


def _refuse(x: Array) -> NoReturn:
    raise InputError(
        "this process has data in a part of R^n that the condition of a batch names (mask), and what uses it does not "
        "say on which: take a loss or a measure for sets, such as diffusion"
    )


unknown_space = Space(_refuse, _refuse)
"""Of a process that was not told a condition yet."""
