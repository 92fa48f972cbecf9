"""Stop: the reasons to end a training before its last step: a signal of the system or the user, or the time allotted.

The loop asks between two calls of the step, saves, and leaves; so nothing of what was computed is lost.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jaxdiff.errors import InputError

SIGNALS = (signal.SIGTERM, signal.SIGINT)
TIME = -1


@contextmanager
def stopping(max_hours: float = 0) -> Iterator[Callable[[], int]]:
    """In the body, `asked()` is the signal that came, -1 once `max_hours` are over (0: never), or else 0.

    A second signal acts as if this were not there, so that two Ctrl-C end a program that does not ask.

    Raises:
      InputError: `max_hours` is negative.
    """
    if max_hours < 0:
        raise InputError(f"train.max_hours={max_hours}: must be a number of hours, or 0 for no limit")
    end = time.monotonic() + 3600 * max_hours if max_hours else float("inf")
    came = 0

    def note(number, frame):
        nonlocal came
        came = number
        restore()

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {}
    if threading.current_thread() is threading.main_thread():  # Python lets no other thread handle signals
        before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: came or (TIME if time.monotonic() >= end else 0)
    finally:
        restore()


def named(reason: int) -> str:
    """The reason in words."""
    return "train.max_hours" if reason == TIME else signal.Signals(reason).name


def exit_code(reason: int) -> int:
    """The exit code of a program that ends for a signal, as a shell reports it; else 0."""
    return 128 + reason if reason > 0 else 0
