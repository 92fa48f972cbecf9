"""Feed: examples on their way from a source to the devices.

A call of the training step receives either the batches of its steps, read on the host ahead of time, or, where the
whole set lies on the devices, only the numbers of the examples: gathering and mirroring then happen inside the compiled
step. Either way a step sees the same examples (`jaxdiff.data.source.select`), and each host reads its own part alone.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxdiff.data.source import Source, read, select, turned
from jaxdiff.errors import InputError, unknown
from jaxdiff.training.sharding import replicated, split
from jaxdiff.types import Batch

__all__ = ["WHERE", "Calls", "Feed", "ahead", "examples", "make_feed", "steps_per_call"]

WHERE = ("auto", "always", "never")
CALL_STEPS, CALL_BYTES = 50, 2**28
"""Of one call on an accelerator, at most, unless told otherwise."""


class Feed(NamedTuple):
    """The examples that the steps of a run are fed.

    Attributes:
      resident: the whole set on every device, or None.
      read: `(first, n) -> along`, for steps first ... first + n - 1, each array (n, batch, ...) on the devices.
    """

    resident: Batch | None
    read: Callable[[int, int], Any]


def make_feed(source: Source, mesh: Mesh, batch_size: int, seed: int, device_data: str) -> Feed:
    """Examples for steps of `batch_size`, cut over the mesh.

    Args:
      device_data: whether the whole set, as float32, lies on every device: "always", "never", or "auto", if it takes no
        more than an eighth of an accelerator's memory and one host runs alone.

    Raises:
      InputError: another `device_data`; or the source cannot be read.
    """
    if device_data not in WHERE:
        raise unknown("train.device_data", device_data, WHERE)
    resident = None
    if device_data == "always" or (device_data == "auto" and _fits(source)):
        everything = source.take(np.arange(source.size))
        resident = jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(replicated(mesh), x, x.shape), everything
        )
    mine = _rows(mesh, batch_size)

    def along(first, n):
        chosen = [select(source, batch_size, seed, step) for step in range(first, first + n)]
        parts = [jax.tree.map(lambda rows: rows[mine], selection) for selection in chosen]
        if resident is None:
            parts = [read(source, part) for part in parts]
        stacked = jax.tree.map(lambda *x: np.stack(x), *parts)
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(split(mesh, 1), x, (n, batch_size, *x.shape[2:])), stacked
        )

    return Feed(resident, along)


def examples(resident: Batch | None, part: Any) -> Batch:
    """Inside the compiled step: the batch that one step's part of `Feed.read` stands for."""
    if resident is None:
        return part
    batch = jax.tree.map(lambda x: x[part.index], resident)
    if part.mirrored is None:
        return batch
    return turned(batch, part.mirrored, jnp.where)


class Calls(Sequence[tuple[int, int]]):
    """Steps start ... end - 1 as `(first, n)`, cut at the multiples of `length`; like a range, it takes no room."""

    def __init__(self, start: int, end: int, length: int):
        self._start, self._end = start, end
        self._cuts = range(start - start % length, end if start < end else start - start % length, length)

    def __len__(self) -> int:
        return len(self._cuts)

    def __getitem__(self, i: Any) -> Any:
        first, last = max(self._cuts[i], self._start), min(self._cuts[i] + self._cuts.step, self._end)
        return first, last - first


def ahead(load: Callable[[int, int], Any], plan: Sequence[tuple[int, int]], readers: int) -> Iterator[Any]:
    """`load(*call)` for the calls of a plan, in its order, by so many threads of Grain, each one call ahead of use.

    What Grain is given are the numbers of steps, so it has no position of its own to be saved. An error of `load` is
    raised where its result would have come.

    Raises:
      InputError: no reader.
    """
    if readers < 1:
        raise InputError(f"train.readers={readers}: at least one thread has to read")
    calls = grain.MapDataset.source(plan).map(lambda call: load(*call))
    return iter(calls.to_iter_dataset(grain.ReadOptions(num_threads=readers, prefetch_buffer_size=readers)))


def steps_per_call(asked: int, every: dict[str, int], batch_bytes: int) -> int:
    """The number of steps in one compiled call: as configured, or chosen here (0).

    By itself that is one on CPU, where XLA runs the gradients of convolutions slowly inside a loop; on an accelerator
    the most, up to 50 and to 256 MB of `batch_bytes` each, that all the intervals in `every` are multiples of.

    Raises:
      InputError: one of the intervals is not a multiple of the number asked for.
    """
    if asked < 0 or (bad := [f"{k}={v}" for k, v in every.items() if asked and v % asked]):
        bad = "it is negative" if asked < 0 else f"{', '.join(bad)} is not a multiple of it"
        raise InputError(f"train.steps_per_call={asked}: {bad}: choose 0 for a fitting one")
    if asked or jax.default_backend() == "cpu":
        return asked or 1
    most = min(CALL_STEPS, max(1, CALL_BYTES // max(batch_bytes, 1)))
    return max(n for n in range(1, most + 1) if math.gcd(*every.values()) % n == 0)


def _fits(source: Source) -> bool:
    if jax.default_backend() == "cpu" or jax.process_count() > 1:
        return False
    memory = jax.local_devices()[0].memory_stats()
    return memory is not None and 4 * source.size * math.prod(source.spec.shape) <= memory["bytes_limit"] / 8


def _rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """The rows of a batch that the devices of this host hold."""
    pieces = split(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[piece] for piece in pieces]))
