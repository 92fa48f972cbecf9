"""Checkpoints: the whole training state, written by Orbax while training goes on.

A checkpoint is a folder named by its step. It is written under another name; then the SHA-256 of each file is put
beside them, all is flushed to the disk, and the folder is renamed. So one that is there is complete, and a byte that
changes later is found: what is restored is the newest checkpoint that is intact. The weights and each average of them
are items of their own, so that sampling reads, and checks, one alone.

Nothing that goes wrong while saving ends the training: it is said, and the next save tries again.
"""

import errno
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from jaxdiff.errors import InputError
from jaxdiff.training import hosts
from jaxdiff.training.checkpoints import leaks, stored
from jaxdiff.training.checkpoints.seal import HISTORY, amend, fingerprint, seal
from jaxdiff.training.checkpoints.stored import METRICS, History, best, history_of, newest_intact, steps
from jaxdiff.training.files import free_name
from jaxdiff.training.step import TrainState

__all__ = ["Checkpoints", "log"]

WRITING, DELETING, DAMAGED = "writing-", "deleting-", "damaged-"
"""Before the step, in the names of folders that are not checkpoints."""

AGAIN_S = 5
"""Between two tries of a save that has to succeed."""
log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of a run, to write and to restore; use it in a `with`, whose end waits for the last write.

    The first one that it writes, and those that stay by `keep_every` and `keep_best`, are read back and compared with
    what the devices held; so is one during whose writing a library warned of anything.

    Args:
      folder: of the checkpoints; what a killed process left half done in it is removed.
      keep: how many of the newest stay.
      keep_every: besides, those of the multiples of this step stay; 0 for none.
      keep_best: besides, the one with the smallest value of this metric stays; "" for none.
      verify: read each back.

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
        self._at: int | None = None  # the step of which this process knows that the folder holds it
        self._sure = False  # whether one that this process wrote was read back
        self._heard = _Ear(logging.WARNING)
        logging.getLogger("absl").addHandler(self._heard)  # Orbax's
        if hosts.is_writer():
            for left in [*self.folder.glob(WRITING + "*"), *self.folder.glob(DELETING + "*")]:
                _remove(left)

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
            logging.getLogger("absl").removeHandler(self._heard)

    def save(self, state: TrainState, metrics: Mapping[str, float] | None = None) -> None:
        """Save the state under its step, unless it was; waits for the save before, and not for this one.

        Args:
          metrics: what is known of this state, to be kept with it.

        A save that fails is reported, and training goes on: the next one tries again.
        """
        try:
            self.wait()
        except InputError as error:
            log.warning("%s; training goes on, and the next checkpoint tries again", error)
        step, known = int(state.step), dict(metrics or {})
        if step == self._at:
            return
        items = _items(state)
        held = jax.device_get(fingerprint(items))
        abstract = jax.tree.map(lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), items)
        history = {"step": step, **History(int(state.health.sound), self._undone)._asdict()}
        read = self._verify or not self._sure or self._stays(step, known)
        self._sure |= jax.process_count() > 1  # where all have to come to the same answer
        written = self._begin(step, items)
        notes = {METRICS: known, HISTORY: history}
        self._writing = self._thread.submit(self._finish, step, written, notes, held, abstract, read)

    def note(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add what was measured later to the checkpoint of a step; what cannot be written is a warning."""
        path = self.folder / str(step)
        try:
            if metrics and hosts.is_writer():
                amend(path, METRICS, json.dumps({**stored.metrics_of(path), **metrics}) + "\n")
        except (OSError, ValueError) as error:
            log.warning("%s: what was measured could not be added: %s", path, stored.reason(error))

    def insist(self, state: TrainState, metrics: Mapping[str, float], seconds: float) -> None:
        """Save a state that no later save will make up for: until it is written, or so many seconds are over."""
        end = time.monotonic() + seconds
        self.save(state, metrics)
        while time.monotonic() < end and jax.process_count() == 1 and self._writing and self._writing.exception():
            time.sleep(AGAIN_S)
            self.save(state, metrics)

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
        loaded = stored.load(self.folder / str(step), stored.abstract(_items(like)))
        rest, params = loaded.pop("rest"), loaded.pop("params")
        if int(rest["step"]) != step:
            raise InputError(f"checkpoint {str(self.folder / str(step))!r} holds step {rest['step']}: rename it back")
        if hosts.is_writer():
            for newer in [n for n in steps(self.folder, up_to) if n > step]:
                self._set_aside(newer)
        undone = [] if up_to is None else [(step, int(like.step))]
        self._undone = (*history_of(self.folder / str(step)).undone, *undone)
        self._at = step
        return like._replace(params=params, ema=loaded, **rest)

    def _stays(self, step: int, known: Mapping[str, float]) -> bool:
        """Whether the checkpoint of a step is kept when it is no longer among the newest."""
        if self._keep_every and step % self._keep_every == 0:
            return True
        if not self._keep_best or jax.process_count() > 1:
            return False
        value, least = known.get(self._keep_best, np.nan), best(self.folder, self._keep_best)
        before = np.inf if least is None else stored.metrics_of(self.folder / str(least)).get(self._keep_best, np.inf)
        return bool(value < before)

    def _begin(self, step: int, items: dict[str, Any]):
        """Hand the state to Orbax, which copies it and returns; or the reason why there is no use in trying."""
        reason = self._obstacle(sum(leaf.nbytes for leaf in jax.tree.leaves(items))) if hosts.is_writer() else None
        if hosts.of_any(int(reason is not None)):  # all processes save, or none
            return reason or OSError("see the first process")
        self._heard.said.clear()
        try:
            path = stored.for_orbax(self.folder / f"{WRITING}{step}")
            return ocp.save_checkpointables_async(path, items, overwrite=True)
        except Exception as error:
            return error

    def _obstacle(self, needed: int) -> Exception | None:
        """The reason why a save would fail from the start: Orbax has threads that then wait for minutes."""
        if not self.folder.parent.is_dir():
            return FileNotFoundError(errno.ENOENT, "the run's folder is gone")
        try:
            self.folder.mkdir(exist_ok=True)
            os.rmdir(tempfile.mkdtemp(prefix=WRITING, dir=self.folder))
            free = shutil.disk_usage(self.folder).free
        except Exception as error:
            return error
        if free < needed:
            return OSError(errno.ENOSPC, f"no space left on device: {free / 1e6:.1f} MB of {needed / 1e6:.1f} MB")
        return None

    def _finish(self, step: int, written: Any, notes: dict[str, Any], held: Any, like: Any, read: bool) -> None:
        part = self.folder / f"{WRITING}{step}"
        try:
            if isinstance(written, Exception):
                raise written
            written.result()
            if self._heard.said and jax.process_count() > 1:  # all of them would have to read it
                raise OSError(errno.EIO, self._heard.said[0])
            if read or self._heard.said:
                _check_reads_back(part, like, held, self._heard.said)
            if hosts.is_writer():
                for file, content in notes.items():
                    (part / file).write_text(json.dumps(content) + "\n")
                seal(part)
                self._set_aside(step)
                part.rename(self.folder / str(step))
            self._at, self._sure = step, self._sure or read
        except Exception as error:  # whatever a library or a disk may come up with
            for left in self.folder.glob(part.name + "*"):
                shutil.rmtree(left, ignore_errors=True)
            raise InputError(f"the checkpoint of step {step} could not be written: {stored.reason(error)}") from error
        try:
            if hosts.is_writer():
                self._prune(step)
            leaks.trim()
        except Exception as error:
            log.warning("older checkpoints could not be removed: %s; training goes on", stored.reason(error))

    def _prune(self, newest: int) -> None:
        """Remove what need not stay, of what this step's checkpoint came after, and is what its name says."""
        older = [n for n in steps(self.folder, newest) if stored.step_of(self.folder / str(n)) == n]
        spared = best(self.folder, self._keep_best)
        for step in older[: -self._keep]:
            path = self.folder / str(step)
            if step != spared and not (self._keep_every and step % self._keep_every == 0) and not path.is_symlink():
                gone = free_name(self.folder / f"{DELETING}{step}")
                path.rename(gone)
                _remove(gone)

    def _set_aside(self, step: int) -> None:
        """Give what lies under the name of a step another one, where there is something."""
        path, aside = self.folder / str(step), free_name(self.folder / f"{DAMAGED}{step}")
        if path.exists() or path.is_symlink():
            path.rename(aside)
            log.warning("%s is not the checkpoint of this run's step %d: it is now %s", path, step, aside.name)


def _items(state: TrainState) -> dict[str, Any]:
    """The items to store, each in a folder of its own; a memory only where there is one."""
    rest = state._asdict()
    params, ema = rest.pop("params"), rest.pop("ema")
    if not jax.tree.leaves(state.memory):
        del rest["memory"]
    return {"rest": rest, "params": params, **ema}


def _check_reads_back(path: Path, like: dict[str, Any], held: list[np.ndarray], warnings: list[str]) -> None:
    """Refuse files that do not hold arrays of these fingerprints; they are read into the host's memory."""
    said = f" ({warnings[0]})" if warnings else ""
    try:
        same = jax.device_get(fingerprint(stored.load(path, like))) == held
    except InputError as error:
        raise OSError(errno.EIO, f"it cannot be read back{said}: {error.__cause__ and stored.reason(error)}") from error
    if not same:
        raise OSError(errno.EIO, f"what is read back is not what was written{said}")


def _remove(left: Path) -> None:
    """Remove a folder that a process of ours left; what is none, or is another user's, stays."""
    if left.is_symlink() or not left.is_dir():
        return
    try:
        shutil.rmtree(left)
    except OSError as error:
        log.warning("%s could not be removed: %s; it is left alone", left, error.strerror or error)


class _Ear(logging.Handler):
    """What a library warns of."""

    def __init__(self, level: int):
        super().__init__(level)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage().splitlines()[0])
