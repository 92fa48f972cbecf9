"""Run: a folder that holds all that training left, and what it takes to go on or to sample.

config.json      the whole configuration, what the data are, the number of this format, and the SHA-256 of these
checkpoints/     the newest states, one folder a step
lock             held by the process that trains here, with the folder itself, so that removing the file frees nothing
metrics.jsonl    loss, examples/s ... ; tensorboard/ the same, and the pictures
samples.png, loss.png

A run of another format is refused.
"""

import contextlib
import difflib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from jaxdiff.config.names import Given, in_words
from jaxdiff.config.schema import check_value, may_change
from jaxdiff.errors import InputError
from jaxdiff.modalities import check
from jaxdiff.training.files import place, read_json, replacing
from jaxdiff.types import Spec

__all__ = [
    "LARGEST",
    "NO_LOCKS",
    "RELEASED",
    "Record",
    "find",
    "flat",
    "locked",
    "read_record",
    "with_tuples",
    "write_record",
]

FORMAT, SEAL = 1, "sha256"
BEST = "config.train.keep_best"
LARGEST = 2**16
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system without locks answers."""
RELEASED = Path(__file__).parents[1] / "released"
"""The models that come with the library, a folder each."""


class Record(NamedTuple):
    """The content of `config.json`."""

    config: dict[str, Any]
    spec: Spec
    data: Mapping[str, Any] = {}
    """How many examples there are, and their fingerprint (`jaxdiff.data.source.fingerprint`), wherever they lie."""


def find(path: str | Path) -> Path:
    """The run at this path, or the one below it that was worked on last.

    Raises:
      InputError: there is no run with a checkpoint.
    """
    root = place(path)
    if os.path.isfile(root / "config.json"):
        return root
    below = root.glob("*/config.json") if os.path.isdir(root) else ()
    runs = [f.parent for f in below if any((f.parent / "checkpoints").glob("[0-9]*"))]
    if not runs:
        names = sorted(file.parent.name for file in RELEASED.glob("*/config.json"))
        near = difflib.get_close_matches(str(path), [name for name in names if name != str(path)], 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(
            f"no run with a checkpoint at {str(path)!r}{meant}: train one with `jaxdiff train --config ddpm`, "
            f"or name another folder, or a model that comes with the library: {', '.join(names)}"
        )
    return max(runs, key=_worked_on)


def _worked_on(run: Path) -> float:
    """When the newest checkpoint of a run was written; they come and go while it trains."""
    times = [0.0]
    for checkpoint in (run / "checkpoints").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError):
            times.append(checkpoint.stat().st_mtime)
    return max(times)


def read_record(folder: Path) -> Record:
    """Read the record of a run from its `config.json`."""
    try:
        content = read_json(folder / "config.json")
        form, record = content["format"], Record(content["config"], Spec(**content["spec"]), content.get("data", {}))
        sealed = content.pop(SEAL, "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(folder / 'config.json')!r} is not the record of a run: {error}") from error
    if form != FORMAT or type(form) is not int:
        raise InputError(
            f"{str(folder)!r} is a run of format {form!r}; this version of jaxdiff reads {FORMAT}: update it"
        )
    where = f"{str(folder / 'config.json')!r}: "
    if (sealed and sealed != _seal(content)) or content.keys() - {"format", *Record._fields}:
        raise InputError(f"{where}changed since it was written: restore it or, if you meant to, remove its {SEAL!r}")
    check_value(f"{where}config", record.config, Mapping)
    check_value(f"{where}data", record.data, Mapping)
    return record._replace(spec=_checked(where, record.spec))


def _checked(where: str, spec: Spec) -> Spec:
    """What one example is, with its values refused where they do not fit."""
    check_value(f"{where}spec.shape", spec.shape, Sequence[int], 1, LARGEST)
    check_value(f"{where}spec.modality", spec.modality, str)
    check_value(f"{where}spec.details", spec.details, Mapping)
    for name, kind, least in (("low", float, -LARGEST), ("high", float, -LARGEST), ("levels", int, 2)):
        if (value := getattr(spec, name)) is not None:
            check_value(f"{where}spec.{name}", value, kind, least, LARGEST)
    spec = spec._replace(shape=tuple(spec.shape))
    try:
        check(spec)
    except InputError as error:
        raise InputError(f"{where}spec: {error}") from error
    return spec


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other processes from training in it; the lock ends with this process, however it ends.

    Raises:
      InputError: another process holds the lock, or the folder cannot be written.
    """
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.callback(os.close, itself := os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
            try:
                fcntl.flock(itself, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Timeout(str(folder)) from error
            except OSError:  # some file systems lock no folders, and some nothing
                pass
            lock = _file_lock(folder)
            held.callback(_release, lock)
        except Timeout as error:
            raise InputError(
                f"another process is training in {str(folder)!r}: wait for its end, or choose another --workdir"
                f"{_holder(folder)}"
            ) from error
        except OSError as error:
            raise InputError(f"cannot write the run's folder {str(folder)!r}: {error.strerror or error}") from error
        yield


def _file_lock(folder: Path) -> BaseFileLock:
    """The lock of a file; where the file system has none, a file that names its holder."""
    try:
        lock = FileLock(folder / "lock", blocking=False)
        lock.acquire()
    except OSError as error:
        if isinstance(error, Timeout) or error.errno not in NO_LOCKS:
            raise
        lock = SoftFileLock(folder / "lock.held", blocking=False)
        lock.acquire()
    return lock


def _holder(folder: Path) -> str:
    """Who holds a lock that is a file with a name in it, which outlives its holder."""
    for name in ("lock.held", "lock"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if holder := " of ".join((folder / name).read_text()[:200].split()[:2]):
                return f"; if process {holder} is gone, remove {str(folder / name)!r}"
    return ""


def _release(lock: BaseFileLock) -> None:
    with contextlib.suppress(OSError):  # the folder was moved meanwhile
        lock.release()


def write_record(folder: Path, record: Record, write: bool = True) -> None:
    """Make `folder` a run of this configuration, or go on with it there.

    Args:
      write: False to check only, in all but one of several processes.

    Raises:
      InputError: the folder holds a run of another configuration, or cannot be written.
    """
    content, old = {"format": FORMAT, **_plain(record)}, None
    if (folder / "config.json").exists():
        _check_same(folder, old := read_record(folder), record)
    if not write or (old and _seal(content) == _seal({"format": FORMAT, **_plain(old)})):  # the disk may be full
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "config.json") as part:
            part.write_text(json.dumps({**content, SEAL: _seal(content)}, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"cannot write the run's folder {str(folder)!r}: {error.strerror or error}") from error


def _check_same(folder: Path, old: Record, new: Record) -> None:
    before, after = (flat(json.loads(json.dumps(_plain(record._replace(data={}))))) for record in (old, new))
    best = before.get(BEST)
    fixed = _measures(best) if best and best == after.get(BEST) else ()
    moves = lambda name: may_change(name.replace("config.held_out.", "data."))  # where the same data lies
    differ = [
        f"{name.removeprefix('config.')} ({_short(before.get(name))} there, {_short(after.get(name))} now)"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
        and (not may_change(name.removeprefix("config.")) or (name.startswith(fixed) and not moves(name)))
    ]
    if differ:
        raise InputError(
            f"{str(folder)!r} holds a run of another configuration, {'; '.join(differ)}: choose another --workdir"
        )
    if old.data and old.data != new.data:
        there, now = (_short(record.data.get("examples")) for record in (old, new))
        what = f"{there} examples there, {now} now" if there != now else f"{now} examples, as many, but others"
        raise InputError(
            f"{str(folder)!r} was trained on other data ({what}): name those, wherever they lie, or choose another "
            f"--workdir; to go on with these all the same, take 'data' and {SEAL!r} out of its config.json"
        )


def _measures(best: str) -> tuple[str, ...]:
    """The fields that the figure by which checkpoints are kept depends on; of other ones, it cannot be compared."""
    if best.startswith("held_out_"):
        return ("config.train.held_out_examples", "config.held_out.")
    return ("config.train.samples", "config.train.features", "config.sample.")


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _plain(record: Record) -> dict[str, Any]:
    return {"config": _in_words(record.config), "spec": record.spec._asdict(), "data": dict(record.data)}


def _in_words(tree: Any) -> Any:
    """The same with functions and what was made in Python by their names."""
    if isinstance(tree, Mapping):
        made = tree["name"].made if isinstance(tree.get("name"), Given) else None
        classes = getattr(made, "num_classes", 0)
        told = {"num_classes": classes} if classes else {}
        return told | {name: _in_words(value) for name, value in tree.items()}
    return in_words(tree) if callable(tree) else tree


def with_tuples(tree: Any) -> Any:
    """A configuration as it was before it was written as JSON."""
    if isinstance(tree, Mapping):
        return {name: with_tuples(value) for name, value in tree.items()}
    return tuple(map(with_tuples, tree)) if isinstance(tree, list) else tree


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 80 else f"{text[:76]} ..."


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree by their dotted names."""
    leaves = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return leaves
