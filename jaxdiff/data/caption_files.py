"""Captions of a folder's pictures or clips, in the layouts that are in use.

    NAME.txt beside NAME.png                  the whole file is the caption; of a clip that is a folder, beside it
    metadata.jsonl                            a line a picture: {"file_name": "a.png", "text": "a cat"}
    captions.json, any other .json            {"a.png": "a cat", ...}, or a list of such objects
    captions.csv, metadata.csv, any .csv      columns file_name and text

The names of files are relative to the folder of the list. Where a list has both columns under other names, such as
"image" and "caption", these are taken, too.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxdiff.errors import InputError

__all__ = ["FILES", "find_list", "read_captions"]

FILES = ("metadata.jsonl", "captions.json", "captions.csv", "metadata.csv")
"""Lists that are looked for, in this order."""
NAMES, TEXTS = ("file_name", "filename", "file", "image"), ("text", "caption")
SHOWN = 3


def find_list(root: Path, captions: str) -> Path | None:
    """The list of captions that is meant; None for texts beside the pictures.

    Args:
      captions: "auto", or the name of a list in the folder, or its path.

    Raises:
      InputError: there is no such file.
    """
    if captions == "auto":
        return next((root / name for name in FILES if (root / name).is_file()), None)
    for place in (root / captions, Path(captions)):
        if place.is_file():
            return place
    raise InputError(f"data.captions={captions!r}: no such file in {str(root)!r}: name one, or 'auto'")


def read_captions(root: Path, files: Sequence[Path], captions: str = "auto", what: str = "picture") -> list[str]:
    """The caption of each of these pictures, in their order.

    Args:
      root: the folder.
      files: pictures in it, or clips, which may be folders.
      captions: as for `find_list`.
      what: each of them is, in words.

    Raises:
      InputError: pictures without a caption, captions without a picture, several of one, an empty file, or
        one that cannot be read.
    """
    file = find_list(root, captions)
    if file is None:
        texts = [Path(f"{one}.txt") if one.is_dir() else one.with_suffix(".txt") for one in files]
        _refuse_missing([p for p, t in zip(files, texts, strict=True) if not t.is_file()], what, "a .txt beside it")
        return [_text(text).strip() for text in texts]
    known: dict[Path, str] = {}
    for name, text in _listed(file):
        place = (file.parent / name).resolve()
        if known.setdefault(place, text) != text:
            raise InputError(f"{str(file)!r} has several captions of {name!r}: leave one of them")
    if not known:
        raise InputError(f"{str(file)!r} holds no captions: write one for each {what}")
    pictures = {picture.resolve(): picture for picture in files}
    _refuse_missing([pictures[p] for p in pictures if p not in known], what, f"a caption in {str(file)!r}")
    if unknown := [str(path) for path in known if path not in pictures]:
        raise InputError(f"{str(file)!r} has captions of {len(unknown)} {what}(s) that are not there: {_some(unknown)}")
    return [known[picture].strip() for picture in pictures]


def _refuse_missing(files: Sequence[Path], what: str, lacking: str) -> None:
    if files:
        raise InputError(f"{len(files)} {what}(s) lack {lacking}: {_some(map(str, files))}")


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{str(file)!r} cannot be read as text in UTF-8: {error}") from error


def _listed(file: Path) -> list[tuple[str, str]]:
    """The names and captions of a list."""
    text = _text(file)
    try:
        if file.suffix == ".csv":
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
            if long := [i for i, row in enumerate(rows, 1) if None in row]:
                raise ValueError(f"row {long[0]} has more cells than the header: put texts with commas in quotes")
        elif file.suffix == ".jsonl":
            rows = [json.loads(line, object_pairs_hook=_once) for line in text.splitlines() if line.strip()]
        else:
            content = json.loads(text, object_pairs_hook=_once) if text.strip() else []
            if isinstance(content, dict):
                content = [{NAMES[0]: name, TEXTS[0]: caption} for name, caption in content.items()]
            rows = content
        return [(_field(row, NAMES), _field(row, TEXTS)) for row in rows]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        form = f"a .csv or .jsonl with {NAMES[0]} and {TEXTS[0]}, or a .json of texts by file"
        raise InputError(f"{str(file)!r} cannot be read as captions: {error}; give {form}") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON, none of whose names stands twice, of which `dict` would keep the last."""
    found, names = dict(pairs), [name for name, _ in pairs]
    if len(found) < len(names):
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return found


def _field(row: dict, names: Sequence[str]) -> str:
    name = next((name for name in names if name in row), None)
    if name is None:
        raise KeyError(f"no {names[0]!r} among {sorted(map(str, row))}")
    if not isinstance(row[name], str):
        raise TypeError(f"{name!r} of {row} is no text")
    return row[name]
