"""Output: what a program prints is for people, and that nobody can read it ends no work."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

__all__ = ["Heedless", "be_quiet", "is_quiet", "never_fail", "quietly", "say"]

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


class Heedless(io.FileIO):
    """A descriptor that takes what is written to it, whether there is a reader, room, a terminal, or not."""

    def write(self, content) -> int:
        with suppress(OSError):
            return super().write(content) or len(content)
        return len(content)


def never_fail() -> None:
    """Print from now on what can be printed: characters that the terminal lacks as escapes, and nothing into the void.

    Call it once, at the start of a program. Descriptors that are closed lead to nowhere, so that no file of the run is
    opened in their place.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, number in (("stdout", 1), ("stderr", 2)):
        before = getattr(sys, name)
        with suppress(OSError, ValueError, AttributeError):
            before.flush()
        stream = io.TextIOWrapper(
            io.BufferedWriter(Heedless(number, "w", closefd=False)),
            encoding=getattr(before, "encoding", None) or "utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )
        setattr(sys, name, stream)


def be_quiet() -> None:
    """Print from now on errors alone."""
    os.environ["TQDM_DISABLE"] = "1"
    os.dup2(nowhere := os.open(os.devnull, os.O_WRONLY), 1)
    os.close(nowhere)


def is_quiet() -> bool:
    """Tell whether errors alone are to be printed."""
    return "TQDM_DISABLE" in os.environ or _QUIET.get()


@contextmanager
def quietly(quiet: bool = True) -> Iterator[None]:
    """Leave out what `say` says and all bars, in this thread."""
    before = _QUIET.set(quiet)
    try:
        yield
    finally:
        _QUIET.reset(before)


def say(*lines: Any) -> None:
    """Print lines at once, unless errors alone are to be printed."""
    if lines and not _QUIET.get():
        print(*lines, sep="\n", flush=True)
