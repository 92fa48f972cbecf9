"""Files of a run: where it lies, and how one is written: whole or not at all, and never through a link."""

import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxdiff.errors import InputError

__all__ = ["free_name", "log", "place", "replacing", "set_aside"]

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
