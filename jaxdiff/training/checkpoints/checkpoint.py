"""Checkpoints: the whole training state, written by Orbax while training goes on.

A checkpoint is a folder named by its step. It is written under another name; then the SHA-256 of each file is put
beside them, all is flushed to the disk, and the folder is renamed. So one that is there is complete, and a byte that
changes later is found: what is restored is the newest checkpoint that is intact. The weights and each average of them
are items of their own, so that sampling reads, and checks, one alone.
"""

import errno
import json
import logging
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from jaxdiff.errors import InputError
from jaxdiff.training import hosts
from jaxdiff.training.checkpoints import leaks
from jaxdiff.training.checkpoints.seal import damage, fingerprint, seal
from jaxdiff.training.step import TrainState

METRICS, HISTORY = "metrics.json", "history.json"
WRITING, DELETING, DAMAGED = "writing-", "deleting-", "damaged-"
"""Before the step, in the names of folders that are not checkpoints."""

log = logging.getLogger(__name__)


class History(NamedTuple):
    """The history of a state: the updates of its weights, and `(after, before)`, steps that a rollback has undone."""

    updates: int
    undone: tuple[tuple[int, int], ...] = ()

    def has(self, step: int) -> bool:
        """Tell whether the state came by way of that of an earlier step."""
        return not any(after < step < before for after, before in self.undone)


class Checkpoints:
    """The checkpoints of a run, to write and to restore; use it in a `with`, whose end waits for the last write.

    Args:
      folder: of the checkpoints; what a killed process left half done in it is removed.
      keep: how many of the newest stay.
      keep_every: besides, those of the multiples of this step stay; 0 for none.
      keep_best: besides, the one with the smallest value of this metric stays; "" for none.
      verify: read each back after it was written, and compare with what the devices held.

    Raises:
      InputError: `keep` is below 1, or `keep_every` below 0.
    """

    def __init__(self, folder: Path, keep: int = 2, keep_every: int = 0, keep_best: str = "", verify: bool = False):
        if keep < 1 or keep_every < 0:
            raise InputError(f"train.keep={keep} must be at least 1, train.keep_every={keep_every} at least 0 (none)")
        self.folder, self._keep, self._keep_every = folder.absolute(), keep, keep_every
        self._keep_best, self._verify = keep_best, verify
        leaks.plug()
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._undone: tuple[tuple[int, int], ...] = ()
        if hosts.is_writer():
            for left in [*self.folder.glob(WRITING + "*"), *self.folder.glob(DELETING + "*")]:
                shutil.rmtree(left)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        try:
            self.wait()
        except InputError as error:
            if kind is None:
                raise
            log.warning("%s", error)
        finally:
            self._thread.shutdown()

    def save(self, state: TrainState, metrics: Mapping[str, float] | None = None) -> None:
        """Save the state under its step, unless it is there; waits for the save before, and not for this one.

        Args:
          metrics: what is known of this state, to be kept with it.

        A save that fails is reported, and training goes on: the next one tries again.
        """
        try:
            self.wait()
        except InputError as error:
            log.warning("%s; training goes on, and the next checkpoint tries again", error)
        step = int(state.step)
        if step not in steps(self.folder):
            known = jax.device_get(fingerprint(_items(state))) if self._verify else None
            abstract = jax.tree.map(lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), _items(state))
            written = self._begin(step, state)
            notes = {METRICS: dict(metrics or {}), HISTORY: History(int(state.health.sound), self._undone)._asdict()}
            self._writing = self._thread.submit(self._finish, step, written, notes, known, abstract)

    def wait(self) -> None:
        """Until nothing is being written.

        Raises:
          InputError: the last save failed: no room, no folder, no permission.
        """
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def restore(self, like: TrainState, up_to: int | None = None) -> TrainState:
        """The newest intact state, placed on devices as `like` is; `like` itself if nothing was saved yet.

        With `up_to`, the newest of that step or before: what came between it and the step of `like` is then undone in
        the history of what follows. Damaged ones among these are named and set aside, to be written again.

        Raises:
          InputError: none is intact, or they are of another network.
        """
        step = hosts.of_writer(newest_intact(self.folder, up_to=up_to) if hosts.is_writer() else None)
        if step is None:
            return like
        loaded = _load(self.folder / str(step), _abstract(_items(like)))
        if hosts.is_writer():
            for newer in [n for n in steps(self.folder, up_to) if n > step]:
                aside = self.folder / f"{DAMAGED}{newer}"
                shutil.rmtree(aside, ignore_errors=True)
                (self.folder / str(newer)).rename(aside)
        undone = [] if up_to is None else [(step, int(like.step))]
        self._undone = (*history_of(self.folder / str(step)).undone, *undone)
        rest, params = loaded.pop("rest"), loaded.pop("params")
        return like._replace(params=params, ema=loaded, **rest)

    def _begin(self, step: int, state: TrainState):
        """Hand the state to Orbax, which copies it and returns; or the reason why there is no use in trying."""
        reason = self._obstacle(sum(leaf.nbytes for leaf in jax.tree.leaves(state))) if hosts.is_writer() else None
        if hosts.of_any(int(reason is not None)):  # all processes save, or none
            return reason or OSError("see the first process")
        try:
            return ocp.save_checkpointables_async(str(self.folder / f"{WRITING}{step}"), _items(state), overwrite=True)
        except (OSError, ValueError) as error:
            return error

    def _obstacle(self, needed: int) -> OSError | None:
        """The reason why a save would fail from the start: Orbax has threads that then wait for minutes."""
        if not self.folder.parent.is_dir():
            return FileNotFoundError(errno.ENOENT, "the run's folder is gone")
        probe = self.folder / f"{WRITING}probe"
        try:
            probe.mkdir(parents=True, exist_ok=True)
            probe.rmdir()
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            return error
        if free < needed:
            return OSError(errno.ENOSPC, f"no space left on device: {free / 1e6:.1f} MB of {needed / 1e6:.1f} MB")
        return None

    def _finish(self, step: int, written: Any, notes: dict[str, Any], known: Any, like: Any) -> None:
        part = self.folder / f"{WRITING}{step}"
        try:
            if isinstance(written, Exception):
                raise written
            written.result()
            if known is not None and not _reads_back(part, like, known):
                raise OSError(errno.EIO, "what is read back is not what was written")
            if hosts.is_writer():
                for file, content in notes.items():
                    (part / file).write_text(json.dumps(content) + "\n")
                seal(part)
                part.rename(self.folder / str(step))
                self._prune()
            leaks.trim()
        except (OSError, ValueError) as error:  # Orbax reports a full disk as a ValueError
            for left in self.folder.glob(part.name + "*"):
                shutil.rmtree(left, ignore_errors=True)
            raise InputError(f"the checkpoint of step {step} could not be written: {_reason(error)}") from error

    def _prune(self) -> None:
        spared = best(self.folder, self._keep_best)
        for step in steps(self.folder)[: -self._keep]:
            if step == spared:
                continue
            if not self._keep_every or step % self._keep_every:
                gone = self.folder / f"{DELETING}{step}"
                (self.folder / str(step)).rename(gone)
                shutil.rmtree(gone)


def steps(folder: Path, up_to: int | None = None) -> list[int]:
    """The steps of which there are checkpoints, rising; with `up_to`, none beyond it."""
    found = sorted(int(f.name) for f in folder.glob("[0-9]*") if f.name.isdecimal() and f.name == str(int(f.name)))
    return found if up_to is None else [step for step in found if step <= up_to]


def metrics_of(path: Path) -> dict[str, float]:
    """The metrics that were saved with a state."""
    try:
        return json.loads((path / METRICS).read_text())
    except (OSError, ValueError):
        return {}


def history_of(path: Path) -> History:
    """The history of a checkpoint's state; in runs that did not write it down, each step was an update."""
    try:
        content = json.loads((path / HISTORY).read_text())
        return History(int(content["updates"]), tuple((int(after), int(before)) for after, before in content["undone"]))
    except (OSError, ValueError, KeyError, TypeError):
        return History(int(path.name))


def best(folder: Path, metric: str) -> int | None:
    """The step of the checkpoint with the smallest value of a metric; None if none knows it."""
    known = {step: metrics_of(folder / str(step)).get(metric, np.nan) for step in steps(folder)}
    return min((step for step in known if np.isfinite(known[step])), key=lambda step: known[step], default=None)


def newest_intact(folder: Path, part: str = "", up_to: int | None = None) -> int | None:
    """The step of the newest checkpoint (up to a step) that is intact, or of which a part is; None if there are none.

    Raises:
      InputError: there are some, and all are damaged.
    """
    skipped = []
    for step in reversed(steps(folder, up_to)):
        wrong = damage(folder / str(step), part)
        if not wrong:
            for line in skipped:
                log.warning("%s; going back to step %d", line, step)
            return step
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        skipped.append(f"checkpoint {str(folder / str(step))!r} is damaged: {wrong[0]}{more}")
    if skipped:
        raise InputError(
            f"{'; '.join(skipped)}: no intact one is left; nothing was changed. Choose another --workdir to start again"
        )
    return None


def restore_weights(folder: Path, name: str, like: Any, up_to: int | None = None) -> tuple[int, Any]:
    """`(step, weights)` of the newest intact checkpoint, up to a step.

    Args:
      name: "params", the weights themselves, or that of an average.
      like: a tree of arrays, or of shapes with shardings.

    Raises:
      InputError: there is no checkpoint, none is intact, or it is of another network.
    """
    step = newest_intact(folder, f"{name}/", up_to)
    if step is None:
        raise InputError(
            f"no checkpoint in {str(folder)!r} yet: train first, with train.py and --workdir={folder.parent}"
        )
    return step, _load(folder / str(step), {name: _abstract(like)})[name]


def _items(state: TrainState) -> dict[str, Any]:
    """The items to store, each in a folder of its own; a memory only where there is one."""
    rest = state._asdict()
    params, ema = rest.pop("params"), rest.pop("ema")
    if not jax.tree.leaves(state.memory):
        del rest["memory"]
    return {"rest": rest, "params": params, **ema}


def _load(path: Path, abstract: dict[str, Any]) -> dict[str, Any]:
    try:
        return ocp.load_checkpointables(str(path.absolute()), abstract)
    except Exception as error:  # Orbax reports every mismatch as a missing handler; the reason is in the cause.
        raise InputError(f"checkpoint {str(path)!r} is of another network: {_reason(error)}") from error


def _reads_back(path: Path, like: dict[str, Any], known: list[np.ndarray]) -> bool:
    """Tell whether the files hold arrays of these fingerprints; they are read into the host's memory."""
    try:
        return jax.device_get(fingerprint(_load(path, like))) == known
    except InputError:
        return False


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error.__cause__ or error)
    return "no space left on device" if "No space left" in text else text.splitlines()[0]


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)
