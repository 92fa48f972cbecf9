"""Condition dropout, for classifier-free guidance (Ho and Salimans 2022, algorithm 1, p_uncond)."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxdiff.types import ConditionSpec, Transform, expand, missing

__all__ = ["condition_dropout"]


def condition_dropout(rate: float, specs: Mapping[str, ConditionSpec]) -> Transform:
    """Replace the whole condition of an example by its missing values, at this rate.

    All conditions go together.

    Args:
      specs: of the conditions that go; what is told of every example, such as how it was augmented, stays.
    """

    def drop(key, batch):
        if not batch.condition:
            return batch
        n = batch.x_0.shape[0]
        kept = jax.random.uniform(key, (n,)) >= rate
        none = missing(specs, n)
        choose = lambda name, value: jnp.where(expand(kept, value), value, none[name]) if name in none else value
        return batch._replace(condition={name: choose(name, value) for name, value in batch.condition.items()})

    return drop
