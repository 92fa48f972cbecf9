"""Log: scalars and pictures of a run, as `metrics.jsonl` and for TensorBoard.

A log that cannot be written, on a full disk for instance, does not end the training: it says so, keeps the numbers, and
writes them once that is possible. (tensorboardX's own writer would wait for ever, hence its parts.)
"""

import errno
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2

logger = logging.getLogger(__name__)
proto: Any = event_pb2  # its classes are made when it is imported


@contextmanager
def surviving(what: str) -> Iterator[None]:
    """Report that a file could not be written, and go on."""
    try:
        yield
    except OSError as error:
        logger.warning("%s could not be written: %s; training goes on", what, error.strerror or error)


class Log:
    """Opens a run's log at a step: what was written for later steps, by a process that then died, is dropped."""

    def __init__(self, folder: Path, step: int):
        self._file, self._board = folder / "metrics.jsonl", folder / "tensorboard"
        self._lines: list[str] = []
        self._events: list[Any] = [
            proto.Event(step=step + 1, session_log=proto.SessionLog(status=proto.SessionLog.START))
        ]
        self._writer: EventsWriter | None = None
        kept = [row for row in read(folder) if row["step"] <= step]
        with surviving(self._file.name):
            part = self._file.with_suffix(".part")
            part.write_text("".join(json.dumps(row) + "\n" for row in kept))
            part.replace(self._file)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write numbers; what is not finite is null in the file, and missing in TensorBoard."""
        plain = {name: value if np.isfinite(value) else None for name, value in values.items()}
        self._lines.append(json.dumps({"step": step, **plain}) + "\n")
        with surviving(self._file.name):
            self._append()
        self._show(step, *(summary.scalar(k, v) for k, v in values.items() if np.isfinite(v)))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Show a uint8 image (height, width, channels) in TensorBoard."""
        self._show(step, summary.image(name, image, dataformats="HWC"))

    def close(self) -> None:
        """Write what could not be written before, if that is possible now."""
        with surviving(self._file.name):
            self._append()
        self._show(0)
        if self._writer:
            with surviving("tensorboard"):
                self._writer.close()

    def _append(self) -> None:
        lines = "".join(self._lines).encode()
        with self._file.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                if file.write(lines) < len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(end)  # so that no row begins in the middle of another
                raise
        self._lines.clear()

    def _show(self, step: int, *summaries: Any) -> None:
        """Hand TensorBoard new events; after a failure all that wait go to a file of their own."""
        self._events += [proto.Event(step=step, wall_time=time.time(), summary=s) for s in summaries]
        try:
            if self._writer is None:
                self._board.mkdir(parents=True, exist_ok=True)
                self._writer = EventsWriter(str(self._board / "events"), f".{time.time_ns()}")
            for event in self._events:
                self._writer.write_event(event)
            self._writer.flush()
            self._events.clear()
        except OSError as error:
            self._writer = None
            logger.warning("tensorboard could not be written: %s; training goes on", error.strerror or error)


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
    """The rows of `metrics.jsonl`, less one that was cut short by a kill."""
    file = folder / "metrics.jsonl"
    rows = []
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows
