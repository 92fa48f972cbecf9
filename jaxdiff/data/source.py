"""Source: examples that can be taken by number, as batches of NumPy arrays.

What a run trains on at a step is a pure function of (seed, step): epoch e visits all examples once, in an order drawn
from (seed, e), and a step takes the next `batch_size` of them. So a run that starts again goes on where it was.
"""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import NamedTuple

import numpy as np

from jaxdiff.types import Batch


class Source(NamedTuple):
    """A set of images.

    Attributes:
      size: how many there are.
      shape: of one: (height, width, channels).
      num_classes: of its labels; 0 if it has none.
      take: `(indices) -> Batch`: x_0 float32 (n, height, width, channels) in [-1, 1], condition int32 (n,) or None.
      levels: how many values a pixel may have, evenly from -1 to 1; None if any, as after a change of size.
      flip: whether a mirrored image is as good as the image, so that training may flip.
    """

    size: int
    shape: tuple[int, int, int]
    num_classes: int
    take: Callable[[np.ndarray], Batch]
    flip: bool = False
    levels: int | None = None


def to_unit_range(pixels: np.ndarray, low: float = 0, high: float = 255) -> np.ndarray:
    """[low, high] to [-1, 1], float32."""
    return ((pixels.astype(np.float32) - low) * (2 / (high - low)) - 1).astype(np.float32)


def indices(size: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """The numbers of the examples that `step` takes."""
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    epoch, place = np.divmod(position, size)
    return np.concatenate([_order(size, seed, int(e))[place[epoch == e]] for e in np.unique(epoch)])


def batches(source: Source, batch_size: int, seed: int, start: int = 0) -> Iterator[Batch]:
    """The batches of steps `start`, `start + 1`, ... without end; one is read ahead in a thread."""

    def load(step):
        batch = source.take(indices(source.size, batch_size, seed, step))
        if not source.flip:
            return batch
        mirrored = np.random.default_rng([seed, 1, step]).random(batch_size) < 0.5
        return batch._replace(x_0=np.where(mirrored[:, None, None, None], batch.x_0[:, :, ::-1], batch.x_0))

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(load, start)
        for step in count(start + 1):
            batch = ahead.result()
            ahead = pool.submit(load, step)
            yield batch


@functools.lru_cache(maxsize=2)
def _order(size: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, 0, epoch]).permutation(size)
