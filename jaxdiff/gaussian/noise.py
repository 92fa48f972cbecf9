"""Noise: the standard noise `(key, x) -> eps` of a process, normal by default, drawn for a batch or by example."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from jaxdiff.types import Array, Key, Noise

__all__ = ["ByExample", "Projected", "by_example", "kind", "normal"]


def normal(key: Key, x: Array) -> Array:
    """Standard normal noise, shaped and typed like x."""
    return jax.random.normal(key, x.shape, x.dtype)


class ByExample(NamedTuple):
    """Noise of which that of example i is drawn from `fold_in(key, index[i])`, whatever else the batch holds.

    Attributes:
      noise: as it is drawn for a batch.
      index: (batch,), whole numbers.
      scale: a factor on it, 1 for the noise itself.
    """

    noise: Noise
    index: Array
    scale: float | Array = 1.0

    def __call__(self, key: Key, x: Array) -> Array:
        def one(i, x):
            return self.scale * self.noise(jax.random.fold_in(key, i), x[None])[0]

        return jax.vmap(one)(self.index, x)


class Projected(NamedTuple):
    """Noise in a subspace: another noise, projected onto it (`jaxdiff.gaussian.space`)."""

    noise: Noise
    project: Callable[[Array], Array]

    def __call__(self, key: Key, x: Array) -> Array:
        return self.project(self.noise(key, x))


def by_example(noise: Noise, index: Array, scale: float | Array = 1.0) -> Noise:
    """The noise drawn by example, see `ByExample`; the projection, which knows the whole batch, stays outside."""
    if isinstance(noise, Projected):
        return noise._replace(noise=ByExample(noise.noise, index, scale))
    return ByExample(noise, index, scale)


def kind(noise: Noise) -> Noise:
    """The function that draws noise, without what draws it by example or projects it."""
    return kind(noise.noise) if isinstance(noise, ByExample | Projected) else noise
