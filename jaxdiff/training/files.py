"""Files of a run: where it lies, how one is written: whole or not at all, never through a link; and how one is read."""

import json
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jaxdiff.errors import InputError

__all__ = ["free_name", "log", "place", "read_json", "replacing", "set_aside"]

LARGEST = 2**26
"""Of a file of JSON, in bytes."""
log = logging.getLogger(__name__)


def place(path: str | Path) -> Path:
    """A run's folder as the user named it, with `~` expanded.

    Raises:
      InputError: it is not on a disk of this machine.
    """
    if scheme := re.match(r"[A-Za-z][\w+.-]*:/", os.fspath(path)):
        raise InputError(
            f"{os.fspath(path)!r}: {scheme[0]} is no disk of this machine: name a folder, and copy the run there, or "
            "mount the bucket (gcsfuse, s3fs)"
        )
    with suppress(RuntimeError):  # no such user: then it is a folder of that name
        return Path(path).expanduser()
    return Path(path)


def read_json(file: Path) -> Any:
    """What a file of JSON holds: a pipe or a device in its place is not waited for, and an endless one not read.

    Raises:
      OSError, ValueError: it cannot be read, or is no such file.
    """
    with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as content:
        status = os.fstat(content.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            raise ValueError("no file, or one of more than 64 MB")
        text = content.read(LARGEST)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("brackets in too many brackets") from error


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A new file beside `file`, which takes its place once the body has written it, whatever lay there before."""
    descriptor, name = tempfile.mkstemp(suffix=file.suffix, prefix=f".{file.stem}-", dir=file.parent)
    os.close(descriptor)
    part = Path(name)
    try:
        yield part
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)
        set_aside(file)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def set_aside(path: Path, folder: bool = False) -> None:
    """Move what is where a file belongs, or a folder, and is none, to a name of its own, and say so.

    A link in place of a file is none; one to a folder may stand in its place.
    """
    if not os.path.lexists(path):
        return
    if not (path.is_dir() if folder else stat.S_ISREG(path.lstat().st_mode)):
        aside = free_name(path.with_name(f"{path.name}.aside"))
        path.rename(aside)
        log.warning("%s is nothing of this run: it is now %s", path, aside.name)


def free_name(path: Path) -> Path:
    """This path, or the first of PATH-2, PATH-3 ... at which nothing lies."""
    count, name = 1, path
    while os.path.lexists(name):
        count += 1
        name = path.with_name(f"{path.name}-{count}")
    return name
