"""Rollback: what to do when the guard has skipped many steps in a row.

The weights of the newest checkpoint from before those steps come back (later ones hold the weights of now), with the
count of updates that they have seen and the usual norm of their gradient, but not the step: so other data and other
noise follow than those that led here. When that does not help either, training ends, and leaves the last batch behind.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxdiff.data.source import Source, read, select
from jaxdiff.errors import InputError
from jaxdiff.training import hosts
from jaxdiff.training.checkpoints.checkpoint import Checkpoints
from jaxdiff.training.checkpoints.stored import steps
from jaxdiff.training.files import replacing
from jaxdiff.training.step import TrainState

__all__ = ["check", "log", "roll_back", "save_batch"]

log = logging.getLogger(__name__)


def check(patience: int, rollbacks: int, spike: float) -> None:
    """Refuse numbers that the guard could not mean."""
    if patience < 1 or rollbacks < 0 or (spike and not spike > 1):
        raise InputError(
            f"train.guard patience={patience}, rollbacks={rollbacks}, spike={spike}: patience is at least 1, "
            "rollbacks at least 0, and spike above 1 or 0 (none)"
        )


def roll_back(
    checkpoints: Checkpoints,
    state: TrainState,
    patience: int,
    rollbacks: int,
    spike: float,
    keep_batch: Callable[[int], Path],
) -> TrainState:
    """The weights, average and optimizer of the newest checkpoint before the skipped steps, at the step of `state`.

    Args:
      patience, rollbacks, spike: of `train.guard`: skipped steps in a row, and returns in all, that are borne.
      keep_batch: `(step) -> file`, writes a step's batch.

    Raises:
      InputError: no such checkpoint is left, or there were `rollbacks` returns already.
    """
    done, step = int(state.health.rollbacks), int(state.step)
    before = step - int(state.health.skipped_in_row) - 1
    checkpoints.wait()
    if done >= rollbacks or not steps(checkpoints.folder, before):
        raise InputError(
            f"the loss or its gradient is not finite{f', or above {spike} times the usual,' if spike else ''} at step "
            f"{step - 1:,} and at least {patience - 1} before it, after {done} return(s) to a checkpoint: the batch is "
            f"in {keep_batch(step - 1)}, --config.debug.nans=True names the first bad operation; or lower "
            "optimizer.learning_rate"
        )
    earlier = checkpoints.restore(state, before)
    log.warning("%d or more steps in a row skipped: going on with the weights of step %d", patience, earlier.step)
    now = state.health
    counts = {"skipped": now.skipped, "skipped_in_row": 0 * now.skipped_in_row, "rollbacks": now.rollbacks + 1}
    return earlier._replace(step=state.step, health=earlier.health._replace(**counts))


def save_batch(folder: Path, source: Source, batch_size: int, seed: int, step: int) -> Path:
    """Write the examples of a step as the network saw them: `failed-STEP.npz`, with x_0 and perhaps condition."""
    file = folder / f"failed-{step}.npz"
    if hosts.is_writer():
        batch = read(source, select(source, batch_size, seed, step))
        with replacing(file) as part:
            np.savez(part, **{name: value for name, value in batch._asdict().items() if value is not None})
    return file
