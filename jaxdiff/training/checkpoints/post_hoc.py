"""Post-hoc averages: any width of averaging, made after training from the averages that a run kept.

The run needs power-function averages (`ema.sigma_rel`, two do well) in several checkpoints (`train.keep_every`).
The mathematics is in `jaxdiff.training.ema`.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.training.checkpoints.seal import HISTORY
from jaxdiff.training.checkpoints.stored import history_of, restore_weights, steps, wrong_with
from jaxdiff.training.ema import SIGMA_REL, recipe

__all__ = ["FARTHEST", "reconstruct"]

FARTHEST = 0.2
"""A profile that misses the wanted one by more than this share of its norm is refused."""


def reconstruct(folder: Path, std: float, names: list[str], like: Any) -> tuple[str, Any]:
    """`(description, weights)`: the average of relative standard deviation `std` over all training so far.

    Args:
      folder: of the checkpoints; damaged ones among them do not count.
      names: the run's averages.
      like: a tree of arrays, or of shapes with shardings.

    Raises:
      InputError: the run has no power-function averages, or kept too few for this one; or `std` is out of its range.
    """
    powers = {name: float(name.removeprefix(SIGMA_REL)) for name in names if name.startswith(SIGMA_REL)}
    if not powers:
        raise InputError(f"weights {std:g}: this run has no power-function averages, which ema.sigma_rel asks for")
    updates = _updates(folder)
    stored = [(name, step) for step in updates for name in powers if not wrong_with(folder / str(step), f"{name}/")]
    if not stored:
        raise InputError(f"weights {std:g}: no intact checkpoint of trained weights in {str(folder)!r}")
    end = stored[-1][1]
    shares, distance = recipe(std, [(powers[name], updates[step]) for name, step in stored], updates[end])
    if distance > FARTHEST:
        raise InputError(
            f"weights {std:g}: the {len(stored)} averages that this run kept come no nearer to it than {distance:.0%}: "
            f"choose one between {min(powers.values()):g} and {max(powers.values()):g}, or train with a smaller "
            "train.keep_every"
        )
    total = jax.tree.map(lambda x: np.zeros(x.shape), like)
    for share, (name, step) in zip(shares, stored, strict=True):
        _, part = restore_weights(folder, name, like, up_to=step)
        total = jax.tree.map(lambda sum_, x, share=share: sum_ + share * np.asarray(x, np.float64), total, part)
    weights = jax.tree.map(lambda x, sum_: jax.device_put(jnp.asarray(sum_, x.dtype), x.sharding), like, total)
    return f"{SIGMA_REL}{std:g}, made of {len(stored)} averages, {distance:.1%} off, of step {end:,}", weights


def _updates(folder: Path) -> dict[int, int]:
    """The number of updates that the averages of each checkpoint have seen, by its step, rising.

    Left out are those that the newest did not come by way of, since the run had returned to an earlier one; those of as
    many updates as a later one, which hold the same; and those of none.
    """
    known = {step: history_of(folder / str(step)) for step in steps(folder) if _intact(folder / str(step))}
    newest = list(known.values())[-1:]
    by_updates = {past.updates: step for step, past in known.items() if all(last.has(step) for last in newest)}
    return {step: updates for updates, step in by_updates.items() if updates}


def _intact(path: Path) -> bool:
    """Tell whether a checkpoint's history is as it was written; older ones have none."""
    return not (path / HISTORY).exists() or not wrong_with(path, HISTORY)
