"""Condition dropout, for classifier-free guidance (Ho and Salimans 2022, algorithm 1, p_uncond)."""

import jax
import jax.numpy as jnp

from jaxdiff.losses.diffusion import of_changed
from jaxdiff.types import LossFn, StatefulLoss, expand


def drop_condition(loss_fn: LossFn | StatefulLoss, rate: float) -> LossFn | StatefulLoss:
    """The loss, with each example's condition left out at this rate, so that guidance has an unconditional model.

    All parts of a condition go together (Ho and Salimans 2022, algorithm 1, p_uncond); see `jaxdiff.types.Condition`.
    What is known of every example and never missing, such as how it was augmented, is to be told by the loss within.
    """
    if not rate:
        return loss_fn

    def dropped(key, batch):
        if batch.condition is None:
            return batch
        kept = jax.random.uniform(key, (batch.x_0.shape[0],)) >= rate
        missing = jax.tree.map(jnp.zeros_like, batch.condition)
        if missing.label is not None:
            missing = missing._replace(label=jnp.full_like(missing.label, -1))
        choose = lambda value, none: jnp.where(expand(kept, value), value, none)  # noqa: E731
        return batch._replace(condition=jax.tree.map(choose, batch.condition, missing))

    return of_changed(loss_fn, dropped)
