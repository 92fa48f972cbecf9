"""Seal: how a checkpoint is known to be what was written.

The SHA-256 of each file lies beside the files, so a byte that changes later is found. Whether the files hold what the
devices held is another question; `fingerprint` answers it, as a few numbers that are computed where the arrays are.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import Array

CHECKSUMS = "checksums.json"


def seal(path: Path) -> None:
    """Write down the SHA-256 of each file of a checkpoint, and have the disk confirm all of them."""
    files = sorted(f for f in path.rglob("*") if f.is_file())
    record = path / CHECKSUMS
    sums = {str(f.relative_to(path)): _sha256(f) for f in files if f != record}
    record.write_text(json.dumps(sums, indent=1) + "\n")
    for place in [*files, record, path]:
        _flush(place)


def damage(path: Path, part: str = "") -> list[str]:
    """Describe the damage of a checkpoint, or of its files whose names begin with `part`; empty if it is intact."""
    try:
        sums = json.loads((path / CHECKSUMS).read_text())
        names = [name for name, _ in sums.items() if name.startswith(part)]
    except FileNotFoundError:
        return [f"{CHECKSUMS} is missing"]
    except (OSError, ValueError, AttributeError, RecursionError):
        return [f"{CHECKSUMS} cannot be read"]
    wrong = [] if names else [f"{CHECKSUMS} names no files"]
    for name in names:
        try:
            if not (path / name).is_file():  # nor a device, which may have no end
                wrong.append(f"{name} is missing")
            elif _sha256(path / name) != sums[name]:
                wrong.append(f"{name} has changed")
        except FileNotFoundError:
            wrong.append(f"{name} is missing")
        except OSError as error:
            wrong.append(f"{name} cannot be read: {error.strerror}")
    return wrong


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


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
