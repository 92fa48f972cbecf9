"""Guard: a step whose loss or gradient is not finite, or far out of the ordinary, changes only the step's number.

So one bad batch, or an overflow in half precision, costs one step. How long it has been going on is part of the state;
the training program goes back to a checkpoint when it does not stop.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.types import Array

MEMORY = 100
"""Steps over which the usual norm of the gradient is taken, and before which nothing counts as a spike."""


class Health(NamedTuple):
    """What the guard remembers: counts of sound and of skipped steps, and the usual norm of the gradient."""

    sound: Array
    skipped: Array
    skipped_in_row: Array
    rollbacks: Array
    usual_norm: Array


def healthy() -> Health:
    """Before the first step."""
    sound, skipped, skipped_in_row, rollbacks = (jnp.zeros((), jnp.int32) for _ in range(4))  # each donated once
    return Health(sound, skipped, skipped_in_row, rollbacks, jnp.zeros(()))


def assess(health: Health, loss: Array, grad_norm: Array, spike: float = 0.0) -> tuple[Array, Health]:
    """`(sound, health)`: whether a step may count, and what is remembered after it.

    Args:
      loss, grad_norm: of the step, scalars.
      spike: skip a step whose gradient is more than this many times the usual norm, too; 0 for none.
    """
    sound = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    if spike:
        sound &= (health.sound < MEMORY) | (grad_norm <= spike * health.usual_norm)
    weight = 1 / jnp.minimum(health.sound + 1, MEMORY)
    usual = health.usual_norm + weight * (grad_norm - health.usual_norm)
    skipped = 1 - sound.astype(jnp.int32)
    return sound, Health(
        health.sound + 1 - skipped,
        health.skipped + skipped,
        (health.skipped_in_row + 1) * skipped,
        health.rollbacks,
        jnp.where(sound, usual, health.usual_norm),
    )


def choose(sound: Array, new, old):
    """The tree `new` if the step was sound, else `old`."""
    return jax.tree.map(lambda n, o: jnp.where(sound, n, o), new, old)
