"""Source: examples that can be taken by number, as batches of NumPy arrays.

What a run trains on at a step is a pure function of (seed, step): epoch e visits all examples once, in an order drawn
from (seed, e), and a step takes the next `batch_size` of them. So a run that starts again goes on where it was.
Balanced, it visits the classes once and again, each time in an order of its own, and takes the next example of each, in
such epochs of the class.
"""

import functools
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.types import Batch, ConditionSpec, Spec, class_label

__all__ = [
    "Item",
    "Result",
    "Selection",
    "Source",
    "balanced",
    "batches",
    "content",
    "fingerprint",
    "indices",
    "labeled",
    "pixelwise",
    "read",
    "read_ahead",
    "say_gaps",
    "select",
    "to_unit_range",
    "turned",
]

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")
FINGERPRINT = 64
"""So many examples are read for it."""


class Source(NamedTuple):
    """A set of examples.

    Attributes:
      size: how many there are.
      spec: what one is.
      take: `(indices) -> Batch`: x_0 float32 (n, *spec.shape), and their condition, or None.
      conditions: what is known of each example, by name.
      flip: whether an example mirrored along its second axis is as good, so that training may mirror it, and
        what is known of it pixel by pixel: of images.
      labels: `() -> (size,)`, int32: of all examples, without reading the examples where that is possible.
      classes: the numbers of the examples of each class, if training visits the classes equally often.
      known: what tells these examples from others without reading them, such as the names and sizes of their files.
      captions: a text for each example, where there are some; a condition once they are ids (`jaxdiff.data.captions`).
    """

    size: int
    spec: Spec
    take: Callable[[np.ndarray], Batch]
    conditions: Mapping[str, ConditionSpec] = {}
    flip: bool = False
    labels: Callable[[], np.ndarray] | None = None
    classes: tuple[np.ndarray, ...] = ()
    known: bytes = b""
    captions: Sequence[str] = ()


def to_unit_range(pixels: np.ndarray, low: float = 0, high: float = 255) -> np.ndarray:
    """[low, high] to [-1, 1], float32."""
    return ((pixels.astype(np.float32) - low) * (2 / (high - low)) - 1).astype(np.float32)


def labeled(source: Source, labels: np.ndarray | None, classes: int = 0) -> Source:
    """A source with these labels, (size,) int32, of so many classes, as a condition; with none, the source itself."""
    if labels is None:
        return source

    def take(indices):
        batch = source.take(indices)
        return batch._replace(condition={**(batch.condition or {}), "label": labels[indices]})

    known, conditions = source.known + labels.tobytes(), {**source.conditions, "label": class_label(classes)}
    return source._replace(take=take, conditions=conditions, labels=lambda: labels, known=known)


def content(array: np.ndarray) -> bytes:
    """The SHA-256 of an array that a source holds in memory, for `Source.known`."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).digest()


def say_gaps(labels: np.ndarray, where: str) -> None:
    """Warn of classes that no example is of: a model draws them in turn with the others, and never learns them.

    Args:
      labels: of all examples, whole numbers from 0.
      where: they are from, for the message.
    """
    there = np.unique(labels)
    if lost := int(there[-1]) + 1 - len(there):
        first = int(np.argmax(np.append(there, -1) != np.arange(len(there) + 1)))
        logger.warning(
            "%s: %d of %d classes have no example, %d the first, and are never learned: number those there are from 0",
            where,
            lost,
            there[-1] + 1,
            first,
        )


def fingerprint(source: Source) -> str:
    """The SHA-256, in hex, of 64 examples evenly spread, their number, shape and conditions, and `Source.known`.

    It is that of the same data at any path, and is another where examples are added, taken out, moved or all
    changed. A change in a few of many is seen in tables, texts, arrays in memory and labels; of files of pictures only
    by their sizes.
    """
    batch = source.take(np.linspace(0, source.size - 1, FINGERPRINT).astype(int))
    what = [source.size, source.spec.shape, sorted((k, str(v)) for k, v in source.conditions.items())]
    digest = hashlib.sha256(repr(what).encode() + source.known)
    for array in (batch.x_0, *((batch.condition or {})[name] for name in sorted(batch.condition or {}))):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def balanced(source: Source) -> Source:
    """The same examples, but in training each class is drawn as often as any other, and a class's examples alike.

    Raises:
      InputError: there are no labels.
    """
    if source.labels is None:
        raise InputError("train.balanced=True: this data set has no labels to balance by")
    labels = source.labels()
    return source._replace(classes=tuple(np.flatnonzero(labels == c) for c in np.unique(labels)))


def indices(source: Source, batch_size: int, seed: int, step: int) -> np.ndarray:
    """The numbers of the examples that `step` takes."""
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    if not source.classes:
        return _visit(source.size, position, seed, 0, _order)
    drawn = np.empty_like(position)
    label = _visit(len(source.classes), position, seed, 2, _class_order)
    turn = position // len(source.classes)
    for c in np.unique(label):
        members = source.classes[c]
        drawn[label == c] = members[_visit(len(members), turn[label == c], seed, 3 + int(c), _class_order)]
    return drawn


def _visit(size: int, position: np.ndarray, seed: int, stream: int, order: Callable[..., np.ndarray]) -> np.ndarray:
    """The indices, among `size`, at these positions of a series of epochs, each with an order of its own."""
    epoch, place = np.divmod(position, size)
    found = np.empty_like(position)
    for e in np.unique(epoch):
        found[epoch == e] = order(size, seed, stream, int(e))[place[epoch == e]]
    return found


class Selection(NamedTuple):
    """What a step takes from a source.

    Attributes:
      index: the numbers of the examples, (batch,).
      mirrored: which of them are mirrored; None where the source does not flip.
    """

    index: np.ndarray
    mirrored: np.ndarray | None


def select(source: Source, batch_size: int, seed: int, step: int) -> Selection:
    """The selection of a step."""
    mirrored = np.random.default_rng([seed, 1, step]).random(batch_size) < 0.5 if source.flip else None
    return Selection(indices(source, batch_size, seed, step).astype(np.int32), mirrored)


def read(source: Source, selection: Selection) -> Batch:
    """The examples of a selection, or of some of its rows."""
    batch = source.take(selection.index)
    if selection.mirrored is None:
        return batch
    return turned(batch, selection.mirrored, np.where)


def turned(batch: Batch, mirrored: Any, where: Callable[..., Any]) -> Batch:
    """The batch, some images of it mirrored, and with them what is known pixel by pixel; `where` of NumPy or JAX."""
    rows = mirrored[:, None, None, None]
    mirror = lambda x: where(rows, x[:, :, ::-1], x)
    known: Any = batch.condition
    beside = {name: mirror(known[name]) for name in pixelwise(batch)}
    return batch._replace(x_0=mirror(batch.x_0), condition={**known, **beside} if beside else known)


def pixelwise(batch: Batch) -> list[str]:
    """The names of what is known of images (batch, height, width, channels) pixel by pixel, and moves with them."""
    fits = lambda value: np.ndim(value) == 4 and np.shape(value)[:3] == np.shape(batch.x_0)[:3]
    known = batch.condition if isinstance(batch.condition, Mapping) else {}
    return sorted(name for name, value in known.items() if fits(value))


def batches(source: Source, batch_size: int, seed: int, start: int = 0) -> Iterator[Batch]:
    """The batches of steps `start`, `start + 1`, ... without end; one is read ahead in a thread."""
    return read_ahead(lambda step: read(source, select(source, batch_size, seed, step)), count(start))


def read_ahead(load: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map(load, items)`, the next result being loaded in a thread while this one is used."""
    with ThreadPoolExecutor(1) as pool:
        ahead = None
        for item in items:
            ahead, ready = pool.submit(load, item), ahead
            if ready:
                yield ready.result()
        if ahead:
            yield ahead.result()


def _permutation(size: int, seed: int, stream: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, stream, epoch]).permutation(size)


_order = functools.lru_cache(maxsize=2)(_permutation)
_class_order = functools.lru_cache(maxsize=4096)(_permutation)
"""Of these there are many, and small."""
