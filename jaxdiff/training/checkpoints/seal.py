"""Seal: how a checkpoint is known to be what was written.

The SHA-256 of each file lies beside the files, so a byte that changes later is found. Whether the files hold what the
devices held is another question; `fingerprint` answers it, as a few numbers that are computed where the arrays are.
"""

import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.training.files import read_json
from jaxdiff.types import Array

__all__ = ["LITTER", "amend", "damage", "fingerprint", "seal"]

CHECKSUMS, HISTORY = "checksums.json", "history.json"
LITTER = re.compile(r"\.DS_Store|\.nfs.*|\._.*|Thumbs\.db|desktop\.ini")
"""What systems leave in folders by themselves."""


def seal(path: Path) -> None:
    """Write down the SHA-256 of each file of a checkpoint, and have the disk confirm all of them."""
    record = path / CHECKSUMS
    names = sorted(_files(path))
    record.write_text(_listed({name: _sha256(path / name) for name in names}))
    for place in [*(path / name for name in names), record, path]:
        _flush(place)


def amend(path: Path, name: str, text: str) -> None:
    """Put another text into a file of a sealed checkpoint, which is intact at every moment.

    Each file is replaced whole, and the checksums name both texts while one takes the place of the other.
    """
    sums, new = read_json(path / CHECKSUMS), hashlib.sha256(text.encode()).hexdigest()
    either = sums | {name: [*_totals(sums.get(name, [])), new]}
    for file, content in ((CHECKSUMS, _listed(either)), (name, text), (CHECKSUMS, _listed(sums | {name: new}))):
        part = path / f"._{file}"  # litter, until it takes its place
        part.write_text(content)
        _flush(part)
        part.replace(path / file)
        _flush(path)


def damage(path: Path, part: str = "") -> list[str]:
    """Describe the damage of a checkpoint, or of its files whose names begin with `part`; empty if it is intact.

    Its history counts always, which holds its step. Only files that are there by a walk through the folder are opened.
    """
    mine = lambda name: name.startswith(part) or name == HISTORY
    try:
        sums = {name: total for name, total in read_json(path / CHECKSUMS).items() if mine(name)}
    except FileNotFoundError:
        return [f"{CHECKSUMS} is missing"]
    except (OSError, ValueError, AttributeError):
        return [f"{CHECKSUMS} cannot be read"]
    there = {name: plain for name, plain in _files(path).items() if mine(name)}
    wrong = [] if any(name.startswith(part) for name in sums) else [f"{CHECKSUMS} names no files"]
    for name in sorted(sums.keys() | there.keys()):
        try:
            if name not in there:
                wrong.append(f"{name} is missing")
            elif not there[name]:
                wrong.append(f"{name} is a link or a device")
            elif name not in sums:
                wrong.append(f"{name} is not in {CHECKSUMS}")
            elif _sha256(path / name) not in _totals(sums[name]):
                wrong.append(f"{name} has changed")
        except FileNotFoundError:
            wrong.append(f"{name} is missing")
        except OSError as error:
            wrong.append(f"{name} cannot be read: {error.strerror}")
    return wrong


def _files(path: Path) -> dict[str, bool]:
    """The files below a folder by their names in it, but for their checksums: whether each is a file, and no link."""
    found = {}
    for folder, folders, files in os.walk(path):
        for name in [*files, *(f for f in folders if os.path.islink(os.path.join(folder, f)))]:
            full = os.path.join(folder, name)
            if not LITTER.fullmatch(name):
                found[os.path.relpath(full, path)] = stat.S_ISREG(os.lstat(full).st_mode)
    found.pop(CHECKSUMS, None)
    return found


@jax.jit
def fingerprint(tree: Any) -> list[Array]:
    """One uint32 for each array: its bits, as words, times odd numbers that depend on the place, summed modulo 2^32.

    No single word can change unseen. Arrays that are cut over devices are summed where they are.
    """
    return [_words_sum(leaf) for leaf in jax.tree.leaves(tree)]


def _words_sum(array: Array) -> Array:
    width = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}[array.dtype.itemsize]
    bits = array.astype(jnp.uint8) if array.dtype == bool else jax.lax.bitcast_convert_type(array, width)
    place = jnp.zeros(bits.shape, jnp.uint32)
    for axis in range(bits.ndim):
        place = place * np.uint32(bits.shape[axis]) + jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
    return jnp.sum(bits.astype(jnp.uint32) * (2 * place + 1), dtype=jnp.uint32)


def _listed(sums: dict[str, Any]) -> str:
    return json.dumps(sums, indent=1) + "\n"


def _totals(total: Any) -> list[Any]:
    """The sums that a file may have, of which there are several while it is amended."""
    return total if isinstance(total, list) else [total]


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
