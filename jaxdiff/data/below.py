"""Below: the files of a folder and of its sub-folders, whose names are their classes."""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from jaxdiff.errors import InputError

__all__ = ["by_number", "class_names", "files_below", "is_hidden"]

logger = logging.getLogger(__name__)


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is one that systems keep for themselves, such as .cache and __MACOSX."""
    return name.startswith((".", "__"))


def by_number(name: str) -> list[tuple[str, int, str]]:
    """The key by which names are sorted with the numbers in them as numbers: 2.png before 10.png."""
    parts = re.split("([0-9]+)", name)
    return [(text, int(digits or -1), digits) for text, digits in zip(parts[::2], [*parts[1::2], ""], strict=True)]


def files_below(path: str, suffixes: Sequence[str]) -> tuple[Path, list[Path]]:
    """The folder at a path, and the files with one of these suffixes below it, sorted, without hidden ones.

    Raises:
      InputError: no such folder, or no such file in it.
    """
    root = Path(path).expanduser()
    if not os.path.isdir(root):
        raise InputError(f"{path!r} is not a folder")
    below = [file for file in sorted(root.rglob("*")) if not any(map(is_hidden, file.relative_to(root).parts))]
    files = [file for file in below if file.suffix.lower() in suffixes and file.is_file()]
    if not files:
        raise InputError(f"nothing to read below {path!r}: looked for {', '.join(suffixes)}")
    return root, files


def class_names(files: Sequence[Path], path: str, what: str) -> list[str]:
    """The names of the classes of files (relative to the folder at `path`), in their order; none if they are of one.

    Args:
      what: the files are, in words, such as "pictures".
    """
    inside = {file.parts[0] for file in files if len(file.parts) > 1}
    beside = [file for file in files if len(file.parts) == 1]
    if beside and len(inside) > 1:
        logger.warning(
            "%r: %d %s lie beside the folders of classes, %s the first, so that there are no classes: move them "
            "into folders",
            path,
            len(beside),
            what,
            beside[0],
        )
    if beside or len(inside) < 2:
        return []
    numbered = all(name.isdecimal() for name in inside)
    return sorted(inside, key=lambda name: (int(name) if numbered else 0, name))
