"""Guard: a step whose loss or gradient is not finite, or far out of the ordinary, changes only the step's number.

So one bad batch, or an overflow in half precision, costs one step. How long it has been going on is part of the state;
the training program goes back to a checkpoint when it does not stop. Where it comes and goes, and costs more than 1 %
of the steps, the program says so.
"""

import logging
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.types import Array

__all__ = ["MEMORY", "Health", "Tally", "assess", "choose", "healthy", "log"]

MEMORY = 100
"""Steps over which the usual norm of the gradient is taken, and before which nothing counts as a spike."""


BEARABLE, ENOUGH = 0.01, 100
"""The share of skipped steps above which the program complains, and the steps after which it begins to."""

log = logging.getLogger(__name__)


class Health(NamedTuple):
    """The guard's memory: counts of sound and of skipped steps, and the usual norm of the gradient."""

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


class Tally:
    """A count of the skipped steps of one process. It warns once, after 100 steps or at the end, above 1 %.

    Args:
      step, skipped: of the state that it began with.
      spike: as in `assess`.
    """

    def __init__(self, step: int, skipped: int, spike: float = 0.0):
        self._start, self._before, self._spike = step, skipped, spike
        self._warned = False

    def count(self, step: int, skipped: int, end: bool = False) -> str:
        """Return the complaint about so many skipped steps up to this one; "" if there is none."""
        steps, lost = step - self._start, skipped - self._before
        if lost <= BEARABLE * steps or (steps < ENOUGH and not end):
            return ""
        spikes = f", or above {self._spike:g} times the usual (train.guard.spike)" if self._spike else ""
        complaint = (
            f"{lost:,} of {steps:,} steps were skipped, {lost / steps:.1%}: their loss or gradient was not finite"
            f"{spikes}. Likely a learning rate too high, a warm-up too short, bfloat16, or a loss weight or "
            "parameterization that is infinite at some of the times drawn; --config.debug.nans=True names the first "
            "bad operation"
        )
        if not self._warned:
            log.warning("%s", complaint)
            self._warned = True
        return complaint
