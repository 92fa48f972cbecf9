"""Checkpoints: the whole training state, written by Orbax while training goes on.

A checkpoint is a folder named by its step. It is written under another name; then the SHA-256 of each file is put
beside them, all is flushed to the disk, and the folder is renamed. So one that is there is complete, and a byte that
changes later is found: what is restored is the newest checkpoint that is intact. The average is an item of its own, so
that sampling reads, and checks, it alone.

    python -m jaxdiff.training.checkpoint list RUN      the checkpoints of a run
    python -m jaxdiff.training.checkpoint verify RUN    whether they are intact; exit code 1 if one is not
"""

import argparse
import errno
import hashlib
import json
import logging
import os
import shutil
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from jaxdiff.errors import InputError
from jaxdiff.training import hosts
from jaxdiff.training.step import TrainState

CHECKSUMS = "checksums.json"
WRITING, DELETING, DAMAGED = "writing-", "deleting-", "damaged-"
"""Before the step, in the names of folders that are not checkpoints."""

log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of a run, to write and to restore; use it in a `with`, whose end waits for the last write.

    Args:
      folder: of the checkpoints; what a killed process left half done in it is removed.
      keep: how many of the newest stay.
      keep_every: besides, those of the multiples of this step stay; 0 for none.

    Raises:
      InputError: `keep` is below 1, or `keep_every` below 0.
    """

    def __init__(self, folder: Path, keep: int = 2, keep_every: int = 0):
        if keep < 1 or keep_every < 0:
            raise InputError(f"train.keep={keep} must be at least 1, train.keep_every={keep_every} at least 0 (none)")
        self.folder, self._keep, self._keep_every = folder.absolute(), keep, keep_every
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
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

    def save(self, state: TrainState) -> None:
        """Save the state under its step, unless it is there; waits for the save before, and not for this one.

        A save that fails is reported, and training goes on: the next one tries again.
        """
        try:
            self.wait()
        except InputError as error:
            log.warning("%s; training goes on, and the next checkpoint tries again", error)
        step = int(state.step)
        if step not in steps(self.folder):
            self._writing = self._thread.submit(self._finish, step, self._begin(step, state))

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

        With `up_to`, the newest of that step or before. Damaged ones among these are named and set aside, to be written
        again.

        Raises:
          InputError: none is intact, or they are of another network.
        """
        step = hosts.of_writer(newest_intact(self.folder, up_to=up_to) if hosts.is_writer() else None)
        if step is None:
            return like
        loaded = _load(self.folder / str(step), {"rest": _abstract(_rest(like)), "ema": _abstract(like.ema)})
        if hosts.is_writer():
            for newer in [n for n in steps(self.folder, up_to) if n > step]:
                aside = self.folder / f"{DAMAGED}{newer}"
                shutil.rmtree(aside, ignore_errors=True)
                (self.folder / str(newer)).rename(aside)
        return like._replace(ema=loaded["ema"], **loaded["rest"])

    def _begin(self, step: int, state: TrainState):
        """Hand the state to Orbax, which copies it and returns; or the reason why there is no use in trying."""
        reason = self._obstacle(sum(leaf.nbytes for leaf in jax.tree.leaves(state))) if hosts.is_writer() else None
        if hosts.of_any(int(reason is not None)):  # all processes save, or none
            return reason or OSError("see the first process")
        try:
            return ocp.save_checkpointables_async(
                str(self.folder / f"{WRITING}{step}"), {"rest": _rest(state), "ema": state.ema}, overwrite=True
            )
        except (OSError, ValueError) as error:
            return error

    def _obstacle(self, needed: int) -> OSError | None:
        """What would make a save fail from the start: Orbax has threads that then wait for minutes."""
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

    def _finish(self, step: int, written: Any) -> None:
        part = self.folder / f"{WRITING}{step}"
        try:
            if isinstance(written, Exception):
                raise written
            written.result()
            if hosts.is_writer():
                seal(part)
                part.rename(self.folder / str(step))
                self._prune()
        except (OSError, ValueError) as error:  # Orbax reports a full disk as a ValueError
            for left in self.folder.glob(part.name + "*"):
                shutil.rmtree(left, ignore_errors=True)
            raise InputError(f"the checkpoint of step {step} could not be written: {_reason(error)}") from error

    def _prune(self) -> None:
        for step in steps(self.folder)[: -self._keep]:
            if not self._keep_every or step % self._keep_every:
                gone = self.folder / f"{DELETING}{step}"
                (self.folder / str(step)).rename(gone)
                shutil.rmtree(gone)


def steps(folder: Path, up_to: int | None = None) -> list[int]:
    """The steps of which there are checkpoints, rising; with `up_to`, none beyond it."""
    found = sorted(int(f.name) for f in folder.glob("[0-9]*") if f.name.isdecimal() and f.name == str(int(f.name)))
    return found if up_to is None else [step for step in found if step <= up_to]


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


def restore_ema(folder: Path, like: Any) -> tuple[int, Any]:
    """`(step, average)` of the newest intact checkpoint; `like` is a tree of arrays, or of shapes with shardings.

    Raises:
      InputError: there is no checkpoint, none is intact, or it is of another network.
    """
    step = newest_intact(folder, part="ema/")
    if step is None:
        raise InputError(
            f"no checkpoint in {str(folder)!r} yet: train first, with train.py and --workdir={folder.parent}"
        )
    return step, _load(folder / str(step), {"ema": _abstract(like)})["ema"]


def seal(path: Path) -> None:
    """Write down the SHA-256 of each file of a checkpoint, and have the disk confirm all of them."""
    files = sorted(f for f in path.rglob("*") if f.is_file())
    record = path / CHECKSUMS
    sums = {str(f.relative_to(path)): _sha256(f) for f in files if f != record}
    record.write_text(json.dumps(sums, indent=1) + "\n")
    for place in [*files, record, path]:
        _flush(place)


def damage(path: Path, part: str = "") -> list[str]:
    """What is wrong with a checkpoint, or with the files of it whose names begin with `part`; empty if it is intact."""
    try:
        sums = json.loads((path / CHECKSUMS).read_text())
        names = [name for name, _ in sums.items() if name.startswith(part)]
    except FileNotFoundError:
        return [f"{CHECKSUMS} is missing"]
    except (OSError, ValueError, AttributeError, RecursionError):
        return [f"{CHECKSUMS} cannot be read"]
    wrong = [] if names else [f"{CHECKSUMS} names no files"]
    for name in names:
        try:
            if not (path / name).is_file():  # nor a device, which may have no end
                wrong.append(f"{name} is missing")
            elif _sha256(path / name) != sums[name]:
                wrong.append(f"{name} has changed")
        except FileNotFoundError:
            wrong.append(f"{name} is missing")
        except OSError as error:
            wrong.append(f"{name} cannot be read: {error.strerror}")
    return wrong


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rest(state: TrainState) -> dict[str, Any]:
    """All but the average; a memory only where there is one."""
    rest = state._asdict()
    del rest["ema"]
    return rest if jax.tree.leaves(state.memory) else {k: v for k, v in rest.items() if k != "memory"}


def _load(path: Path, abstract: dict[str, Any]) -> dict[str, Any]:
    try:
        return ocp.load_checkpointables(str(path.absolute()), abstract)
    except Exception as error:  # Orbax reports every mismatch as a missing handler; the reason is in the cause.
        raise InputError(f"checkpoint {str(path)!r} is of another network: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error.__cause__ or error)
    return "no space left on device" if "No space left" in text else text.splitlines()[0]


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


def main(arguments: list[str] | None = None) -> int:
    """The command line at the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m jaxdiff.training.checkpoint", description="Look at checkpoints.")
    parser.add_argument("action", choices=["list", "verify"])
    parser.add_argument("run", type=Path, help="the run's folder")
    asked = parser.parse_args(arguments)
    folder = asked.run / "checkpoints"
    if not folder.is_dir():
        print(f"error: {str(asked.run)!r} is not a run: it has no folder checkpoints", file=sys.stderr)
        return 2
    bad = False
    for step in steps(folder):
        files = [f.stat() for f in (folder / str(step)).rglob("*") if f.is_file()]
        size = sum(f.st_size for f in files) / 1e6
        saved = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime((folder / str(step)).stat().st_mtime))
        wrong = damage(folder / str(step)) if asked.action == "verify" else []
        bad |= bool(wrong)
        verdict = "" if asked.action == "list" else "  intact" if not wrong else f"  damaged: {'; '.join(wrong)}"
        print(f"step {step:>9,}  {saved}  {size:10.1f} MB{verdict}")
    if not steps(folder):
        print("no checkpoint yet")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
