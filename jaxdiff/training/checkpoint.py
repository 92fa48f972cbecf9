"""Checkpoints: the whole training state, written by Orbax while training goes on.

A checkpoint is a folder named by its step, complete or not there at all: Orbax writes it under another name and renames
it last, and removes what a killed process left. The average is an item of its own, so that sampling reads it alone.
"""

from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from jaxdiff.errors import InputError
from jaxdiff.training.step import TrainState


def open_checkpoints(folder: Path, keep: int = 2) -> ocp.training.Checkpointer:
    """A checkpointer that keeps the newest `keep`; use it in a `with`, which waits for the last write."""
    policy: Any = ocp.training.preservation_policies.LatestN(keep)
    return ocp.training.Checkpointer(
        str(folder.absolute()),
        cleanup_tmp_directories=True,
        preservation_policy=policy,
    )


def save(checkpoints: ocp.training.Checkpointer, state: TrainState) -> None:
    """Save the state under its step, unless it is there; waits for the save before, and not for this one."""
    checkpoints.wait()
    step = int(state.step)
    if checkpoints.latest is None or checkpoints.latest.step != step:
        checkpoints.save_checkpointables_async(step, {"rest": _rest(state), "ema": state.ema}, force=True)


def restore(checkpoints: ocp.training.Checkpointer, like: TrainState) -> TrainState:
    """The newest state, placed on devices as `like` is; `like` itself if nothing was saved yet."""
    if checkpoints.latest is None:
        return like
    loaded = _load(
        checkpoints.latest.step,
        Path(checkpoints.directory),
        {"rest": _abstract(_rest(like)), "ema": _abstract(like.ema)},
    )
    return like._replace(ema=loaded["ema"], **loaded["rest"])


def restore_ema(folder: Path, like: Any) -> tuple[int, Any]:
    """`(step, average)` of the newest checkpoint in a folder; `like` is a tree of arrays or of shapes with shardings.

    Raises:
      InputError: there is no checkpoint, or it is of another network.
    """
    steps = [int(f.name) for f in folder.glob("*") if f.name.isdigit()]
    if not steps:
        raise InputError(
            f"no checkpoint in {str(folder)!r} yet: train first, with train.py and --workdir={folder.parent}"
        )
    return max(steps), _load(max(steps), folder, {"ema": _abstract(like)})["ema"]


def _rest(state: TrainState) -> dict[str, Any]:
    """All but the average; a memory only where there is one."""
    rest = state._asdict()
    del rest["ema"]
    return rest if jax.tree.leaves(state.memory) else {k: v for k, v in rest.items() if k != "memory"}


def _load(step: int, folder: Path, abstract: dict[str, Any]) -> dict[str, Any]:
    path = folder.absolute() / str(step)
    try:
        return ocp.load_checkpointables(str(path), abstract)
    except Exception as error:  # Orbax reports every mismatch as a missing handler; the reason is in the cause.
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputError(f"checkpoint {str(path)!r} is damaged or of another network: {reason}") from error


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)
