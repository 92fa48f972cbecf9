"""Chains of transforms `(key, batch) -> batch`, applied once in the training step."""

from collections.abc import Sequence

import jax

from jaxdiff.types import Batch, Key, Transform

__all__ = ["chain", "transformed"]


def transformed(transforms: Sequence[Transform], key: Key, batch: Batch) -> tuple[Key, Batch]:
    """Apply the transforms in turn, each with a key of its own; returns the key that is left, and the batch."""
    for transform in transforms:
        key_transform, key = jax.random.split(key)
        batch = transform(key_transform, batch)
    return key, batch


def chain(*transforms: Transform) -> Transform:
    """One transform of several, the first one first."""
    return lambda key, batch: transformed(transforms, key, batch)[1]
