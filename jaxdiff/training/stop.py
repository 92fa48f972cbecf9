"""Stop: the reasons to end a training before its last step: a signal of the system or the user, the time allotted, or
no better figures.

The loop asks between two calls of the step, saves, and leaves; so nothing of what was computed is lost. What it does
besides, for people to see, runs in a thread that it need not wait for.
"""

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from jaxdiff.errors import InputError

__all__ = ["SIGNALS", "TIME", "T", "abandoned", "aside", "exit_code", "log", "named", "stalled", "stopping"]

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)
"""All that systems, schedulers and people end a program with, and that it can heed."""

TIME = -1
T = TypeVar("T")
log = logging.getLogger(__name__)
_left: list[threading.Thread] = []


@contextmanager
def stopping(max_hours: float = 0) -> Iterator[Callable[[], int]]:
    """In the body, `asked()` is the first signal that came, -1 once `max_hours` are over (0: never), or else 0.

    Further signals change nothing, so that none costs what the first one made the program save. A signal that the
    parent had ignored, as `nohup` does, stays ignored.

    Raises:
      InputError: `max_hours` is negative.
    """
    if max_hours < 0:
        raise InputError(f"train.max_hours={max_hours}: must be a number of hours, or 0 for no limit")
    end = time.monotonic() + 3600 * max_hours if max_hours else float("inf")
    came = 0

    def note(number, frame):
        nonlocal came
        came = came or number
        with suppress(OSError):  # print is not for handlers
            os.write(2, f"\n{named(number)}: saving, then ending (Ctrl-\\ ends at once)\n".encode())

    before = {}
    if threading.current_thread() is threading.main_thread():  # Python lets no other thread handle signals
        heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield lambda: came or (TIME if time.monotonic() >= end else 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def aside(what: str, work: Callable[[], T], asked: Callable[[], int]) -> T | None:
    """What `work` returns; None if it fails, which is a warning, or as soon as there is a reason to stop.

    It then goes on in its thread, which JAX gives no way to end: a program must not wait for it (`abandoned`).
    """
    if asked():
        return None
    done: list[T] = []

    def run():
        try:
            done.append(work())
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            log.warning("%s failed: %s: %s; training goes on", what, type(error).__name__, text)

    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    while thread.is_alive() and not asked():
        thread.join(0.1)
    if thread.is_alive():
        _left.append(thread)
    return done[0] if done else None


def abandoned() -> bool:
    """Whether something that `aside` gave up waiting for still runs."""
    return any(thread.is_alive() for thread in _left)


def stalled(name: str, figures: Iterable[float | None], patience: int) -> str:
    """The reason to stop, once the least of the figures of all checkpoints lies `patience` of them back; "" to go on.

    Args:
      name: of the figure.
      figures: in their order; what is None or not finite is no better than any.
      patience: 0 to go on for ever.
    """
    known = [value if value is not None and math.isfinite(value) else math.inf for value in figures]
    waits = patience and known and len(known) - 1 - known.index(min(known)) >= patience
    return f"training ended: no better {name} in {patience} checkpoints" if waits else ""


def named(reason: int) -> str:
    """The reason in words."""
    return "train.max_hours" if reason == TIME else signal.Signals(reason).name


def exit_code(reason: int) -> int:
    """The exit code of a program that ends for a signal, as a shell reports it; else 0."""
    return 128 + reason if reason > 0 else 0
