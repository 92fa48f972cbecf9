"""Stored: what is on the disk of a run's checkpoints, found, judged by its content, and read.

A checkpoint is a folder named by its step, with the step inside too, under the seal: one that was renamed or copied is
not believed. Whoever wrote it, it is read only as far as it fits what is asked for.
"""

import hashlib
import json
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tensorstore
from orbax.checkpoint import v1 as ocp

from jaxdiff.errors import InputError
from jaxdiff.training.checkpoints.seal import HISTORY, damage
from jaxdiff.training.files import read_json

__all__ = [
    "METRICS",
    "History",
    "abstract",
    "best",
    "check_depth",
    "check_readable",
    "count_of",
    "for_orbax",
    "history_of",
    "load",
    "log",
    "metrics_of",
    "named",
    "newest_intact",
    "reason",
    "restore_weights",
    "step_of",
    "steps",
    "wrong_with",
]

METRICS = "metrics.json"
log = logging.getLogger(__name__)


class History(NamedTuple):
    """The history of a state: the updates of its weights, and `(after, before)`, steps that a rollback has undone."""

    updates: int
    undone: tuple[tuple[int, int], ...] = ()

    def has(self, step: int) -> bool:
        """Tell whether the state came by way of that of an earlier step."""
        return not any(after < step < before for after, before in self.undone)


def named(folder: Path) -> Iterator[int]:
    """The numbers that are names of something in a folder."""
    names = os.listdir(folder) if folder.is_dir() else []
    return (int(name) for name in names if re.fullmatch("0|[1-9][0-9]{0,17}", name))


def steps(folder: Path, up_to: int | None = None) -> list[int]:
    """The steps of which there are checkpoints, rising; with `up_to`, none beyond it."""
    return sorted(n for n in named(folder) if (folder / str(n)).is_dir() and (up_to is None or n <= up_to))


def metrics_of(path: Path) -> dict[str, float]:
    """The metrics that were saved with a state."""
    content = _notes(path / METRICS)
    return {k: float(v) for k, v in content.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def history_of(path: Path) -> History:
    """The history of a checkpoint's state; in runs that did not write it down, each step was an update."""
    try:
        content = _notes(path / HISTORY)
        return History(int(content["updates"]), tuple((int(after), int(before)) for after, before in content["undone"]))
    except (ValueError, KeyError, TypeError):
        return History(int(path.name))


def wrong_with(path: Path, part: str = "") -> list[str]:
    """As `jaxdiff.training.checkpoints.seal.damage`, and whether the checkpoint is of the step that is its name."""
    step = step_of(path)
    return damage(path, part) or ([] if str(step) == path.name else [f"it is of step {step}, whatever its name"])


def step_of(path: Path) -> Any:
    """The step that a checkpoint is of, by its history; in runs that did not write it down, its name."""
    return _notes(path / HISTORY).get("step", int(path.name))


def best(folder: Path, metric: str) -> int | None:
    """The step of the checkpoint with the smallest value of a metric; None if none knows it."""
    mine = [step for step in steps(folder) if metric and step_of(folder / str(step)) == step]
    known = {step: metrics_of(folder / str(step)).get(metric, np.nan) for step in mine}
    return min((step for step in known if np.isfinite(known[step])), key=lambda step: known[step], default=None)


def newest_intact(folder: Path, part: str = "", up_to: int | None = None) -> int | None:
    """The step of the newest checkpoint (up to a step) that is intact, or of which a part is; None if there are none.

    Raises:
      InputError: there are some, and all are damaged.
    """
    skipped = []
    for step in reversed(steps(folder, up_to)):
        wrong = wrong_with(folder / str(step), part)
        if not wrong:
            for line in skipped:
                log.warning("%s; going back to step %d", line, step)
            return step
        if (folder / str(step)).exists():  # and was not removed meanwhile, by the run that made newer ones
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            skipped.append(f"checkpoint {str(folder / str(step))!r} is damaged: {wrong[0]}{more}")
    if skipped:
        raise InputError(
            f"{'; '.join(skipped)}: no intact one is left; nothing was changed. Choose another --workdir to start again"
        )
    return None


def restore_weights(folder: Path, name: str, like: Any, up_to: int | None = None) -> tuple[int, Any]:
    """`(step, weights)` of the newest intact checkpoint, up to a step.

    Args:
      name: "params", the weights themselves, or that of an average.
      like: a tree of arrays, or of shapes with shardings.

    Raises:
      InputError: there is no checkpoint, none is intact, or it is of another network.
    """
    for attempt in range(10):  # a run that trains meanwhile removes the older ones
        step = newest_intact(folder, f"{name}/", up_to)
        if step is None and not (attempt < 9 and steps(folder, up_to)):
            break
        try:
            if step is not None:
                return step, load(folder / str(step), {name: abstract(like)})[name]
        except InputError:
            if (folder / str(step)).exists():
                raise
    raise InputError(f"no checkpoint in {str(folder)!r} yet: train first, with train.py and --workdir={folder.parent}")


def load(path: Path, like: dict[str, Any]) -> dict[str, Any]:
    """The items of a checkpoint that are asked for, with arrays placed as those of `like`.

    Raises:
      InputError: they are of another network, or cannot be read.
    """
    try:
        stored = _stored(path, *like)
        for name, tree in like.items():
            wanted, found = _shapes(tree), _shapes(stored[name])
            if wanted != found:
                differ = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
                here, there = (shapes.get(differ[0], "none") for shapes in (wanted, found))
                raise InputError(f"{name}/{differ[0]} has the shape {there} there, and {here} here")
        return ocp.load_checkpointables(for_orbax(path), like)
    except InputError as error:
        raise InputError(f"checkpoint {str(path)!r} is of another network: {error}") from error
    except Exception as error:  # Orbax reports most as a missing handler; the reason is in the cause.
        raise InputError(f"checkpoint {str(path)!r} cannot be read: {reason(error)}") from error


def check_readable(path: Path) -> list[str]:
    """What keeps the arrays of a checkpoint from being read, whatever its checksums say; they are read into memory."""
    try:
        items = [item.name for item in path.iterdir() if item.is_dir()]
        shapes = {item: jax.tree.map(_empty, tree) for item, tree in _stored(path, *items).items()}
        ocp.load_checkpointables(for_orbax(path), shapes)
    except Exception as error:
        return [f"it cannot be read: {reason(error)}"]
    return []


def count_of(folder: Path) -> int | None:
    """How many arrays the parameters of the newest intact checkpoint are; None if there is none that can be read."""
    step = newest_intact(folder, "params/")
    try:
        return None if step is None else len(jax.tree.leaves(_stored(folder / str(step), "params")["params"]))
    except Exception:  # whoever reads it will say what is wrong with it
        return None


def check_depth(what: str, count: int | None, net: Any) -> None:
    """Refuse a network of more layers than arrays are stored, before it is traced, which takes a while for each.

    Args:
      what: holds so many arrays, in words.
      net: the configuration's, of which `blocks` are those of each of its `multipliers` or `widths`.
    """
    if count is None or not isinstance(net, Mapping):
        return
    blocks, sides = net.get("blocks", 1), net.get("multipliers", net.get("widths", ()))
    if isinstance(blocks, int) and isinstance(sides, Sequence) and blocks * max(len(sides) - 1, 1) > count:
        raise InputError(
            f"{what} is of another network: net.blocks={blocks} for each of {len(sides)} sides in its config.json, and "
            f"{count} arrays in it"
        )


def abstract(tree: Any) -> Any:
    """Shapes, types and placement of the arrays of a tree."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


def reason(error: BaseException) -> str:
    """The first line of why something failed, without a library's wrapping."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error.__cause__ or error) or type(error).__name__
    return "no space left on device" if "No space left" in text else text.splitlines()[0][:300]


def for_orbax(path: Path) -> str:
    """This path as Orbax can take it, which reads `[x]`, `**` and backslashes as patterns and drives: by way of a link.

    The link is the user's alone, and has the same name on all hosts.
    """
    parent, text = path.absolute().parent, str(path.absolute())
    if re.fullmatch(r"[\w/.,:;=+@%~# -]*", text, re.ASCII):
        return text
    temporary = tempfile.gettempdir() if re.fullmatch(r"[\w/.+-]*", tempfile.gettempdir(), re.ASCII) else "/tmp"
    links = Path(temporary) / f"jaxdiff-{os.getuid()}"
    links.mkdir(mode=0o700, exist_ok=True)
    found = links.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise InputError(f"{str(links)!r} is not a folder of yours: remove it, or set TMPDIR")
    link = links / hashlib.sha256(os.fsencode(parent)).hexdigest()[:32]
    with suppress(FileExistsError):  # of the run before, or another process of this one
        link.symlink_to(parent)
    return str(link / path.name)


def _notes(file: Path) -> dict[str, Any]:
    """A small file of notes; none if it is damaged."""
    try:
        content = read_json(file)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _stored(path: Path, *items: str) -> dict[str, Any]:
    """The descriptions of the arrays of these items of a checkpoint.

    Raises:
      InputError: one of them is stored in pieces that are larger than itself, which are read whole.
    """
    for item in items:
        base = {"driver": "file", "path": f"{for_orbax(path)}/{item}/"}
        merged = (path / item / "manifest.ocdbt").exists()
        store = tensorstore.KvStore.open({"driver": "ocdbt", "base": base} if merged else base).result()
        for key in store.list().result():
            if key.endswith((b"zarr.json", b".zarray")):
                found = json.loads(store.read(key).result().value)
                pieces = found["chunks"] if "chunks" in found else found["chunk_grid"]["configuration"]["chunk_shape"]
                if any(piece > max(side, 1) for piece, side in zip(pieces, found["shape"], strict=True)):
                    raise InputError(f"an array of the shape {found['shape']} is stored in pieces of {pieces}")
    return {item: ocp.metadata(for_orbax(path), checkpointable_name=item).metadata for item in items}


def _empty(leaf: Any) -> np.ndarray:
    return np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """The shape of each array by its place in a tree, of which some are kept as their words."""
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(_name(part) for part in path): _words(leaf) for path, leaf in flat}


def _words(leaf: Any) -> tuple[int, ...]:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.eval_shape(jax.random.key_data, leaf).shape
    return tuple(leaf.shape)


def _name(part: Any) -> str:
    return str(next((getattr(part, kind) for kind in ("key", "name", "idx") if hasattr(part, kind)), part))
