"""Log: scalars and pictures of a run, as `metrics.jsonl` and for TensorBoard.

A log that cannot be written, on a full disk for instance, does not end the training: it says so, keeps the numbers, and
writes them once that is possible. (tensorboardX's own writer would wait for ever, hence only its records.) Nor does one
that is damaged: what is no row is dropped, and what is no file set aside.
"""

import errno
import json
import logging
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tensorboardX import summary
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from jaxdiff.training.files import replacing, set_aside

__all__ = ["COUNTS", "Clock", "Log", "Silent", "means", "proto", "read", "surviving"]

logger = logging.getLogger(__name__)
proto: Any = event_pb2  # its classes are made when it is imported


@contextmanager
def surviving(what: str) -> Iterator[None]:
    """Report that something for people could not be made, whatever the reason, and go on."""
    try:
        yield
    except Exception as error:
        reason = isinstance(error, OSError) and error.strerror
        text = reason or f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        logger.warning("%s could not be written: %s; training goes on", what, text)


class Log:
    """Opens a run's log at a step: what was written for later steps, by a process that then died, is dropped."""

    def __init__(self, folder: Path, step: int):
        self._rows = _Tail(folder, "metrics.jsonl")
        self._events = _Tail(folder, f"tensorboard/events.out.tfevents.{time.time_ns() // 10**9}.{time.time_ns()}")
        kept = [row for row in read(folder) if row["step"] <= step]
        with surviving("metrics.jsonl"), replacing(folder / "metrics.jsonl") as part:
            part.write_text("".join(json.dumps(row) + "\n" for row in kept))
        started = proto.SessionLog(status=proto.SessionLog.START)
        self._note(proto.Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._note(proto.Event(step=step + 1, session_log=started))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write numbers; what is not finite is null in the file, and missing in TensorBoard."""
        plain = {name: value if np.isfinite(value) else None for name, value in values.items()}
        self._rows.add((json.dumps({"step": step, **plain}) + "\n").encode())
        self._show(step, *(summary.scalar(k, v) for k, v in values.items() if np.isfinite(v)))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Show a uint8 image (height, width, channels) in TensorBoard."""
        with surviving("tensorboard"):
            self._show(step, summary.image(name, image, dataformats="HWC"))

    def close(self) -> None:
        """Write what could not be written before, if that is possible now."""
        self._rows.add(b"")
        self._events.add(b"")

    def _show(self, step: int, *summaries: Any) -> None:
        for one in summaries:
            self._note(proto.Event(step=step, wall_time=time.time(), summary=one))

    def _note(self, event: Any) -> None:
        content = event.SerializeToString()
        size = struct.pack("<Q", len(content))
        sums = (struct.pack("<I", masked_crc32c(part)) for part in (size, content))
        self._events.add(b"".join((size, next(sums), content, next(sums))))


class _Tail:
    """The end of a file of a run, to which is added all that waits, or nothing."""

    def __init__(self, folder: Path, name: str):
        self._folder, self._file, self._waiting = folder, folder / name, b""

    def add(self, content: bytes) -> None:
        self._waiting += content
        with surviving(str(self._file.relative_to(self._folder).parts[0])):
            self._folder.stat()  # one that is gone is not made again
            set_aside(self._file.parent, folder=True)
            self._file.parent.mkdir(exist_ok=True)
            set_aside(self._file)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
            with open(descriptor, "ab", buffering=0) as file:
                end = file.tell()
                try:
                    if file.write(self._waiting) < len(self._waiting):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                except OSError:
                    file.truncate(end)  # so that no row begins in the middle of another
                    raise
            self._waiting = b""


class Silent:
    """The log of a process that leaves writing to another."""

    def __bool__(self) -> bool:
        return False

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Nothing."""

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


COUNTS = ("skipped", "skipped_in_row")


def means(metrics: list[dict[str, np.ndarray]]) -> dict[str, float]:
    """Over the steps of several calls, each with metrics (n,): of counts the last, of the rest the finite ones."""
    joined = {k: np.concatenate([m[k] for m in metrics]) for k in metrics[0]}
    return {k: float(v[-1] if k in COUNTS else np.mean(v, where=_sound(v))) for k, v in joined.items()}


def _sound(values: np.ndarray) -> np.ndarray:
    finite = np.isfinite(values)
    return finite | ~finite.any()


class Clock:
    """A clock of training speed and of waiting for data."""

    def __init__(self) -> None:
        self._since, self._waited = time.perf_counter(), 0.0

    @contextmanager
    def waiting(self, idle: bool) -> Iterator[None]:
        """Around reading; counts where the devices have meanwhile nothing to do."""
        start = time.perf_counter()
        yield
        self._waited += idle * (time.perf_counter() - start)

    @contextmanager
    def stopped(self, running: Any = None) -> Iterator[None]:
        """Around what is no training, such as drawing pictures: it does not count. What is `running` ends before."""
        jax.block_until_ready(running)
        start = time.perf_counter()
        yield
        self._since += time.perf_counter() - start

    def lap(self, examples: int) -> dict[str, float]:
        """Examples per second, and the share of the time in which the devices waited for data, since the lap before."""
        passed = time.perf_counter() - self._since
        share = self._waited / passed
        if share > 0.5:
            logger.warning(
                "%.0f %% of the time the devices wait for data: raise train.readers, put it on a faster disk, keep it "
                "in memory (data.cache_gb) or on the devices (train.device_data), or make it smaller beforehand",
                100 * share,
            )
        self._since, self._waited = time.perf_counter(), 0.0
        return {"examples_per_s": examples / passed, "waited_for_data": share}


def read(folder: Path) -> list[dict[str, float]]:
    """The rows of `metrics.jsonl`, each a step and numbers; what a kill or a disk made of others is dropped."""
    file = folder / "metrics.jsonl"
    try:
        lines = file.read_bytes().splitlines() if file.is_file() else []
    except OSError:
        return []
    return [row for row in map(_row, lines) if row]


def _row(line: bytes) -> dict[str, float] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    numbers = isinstance(row, dict) and all(v is None or type(v) in (int, float) for v in row.values())
    return row if numbers and type(row.get("step")) is int else None
