"""Held-out likelihood of symbols, in bits a symbol: the bound by the number of masks, or by time."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.data.source import Source
from jaxdiff.discrete.likelihood import by_count, by_time
from jaxdiff.errors import InputError
from jaxdiff.pipelines.model import Model
from jaxdiff.types import Batch, Key, Params

__all__ = ["Figure", "make_monitor", "measure"]

AT_ONCE = 64


class Figure(NamedTuple):
    """A mean and its standard error, in bits per dimension, of a component or a symbol, or in the unit that is told."""

    mean: float
    error: float


def measure(model: Model, source: Source, key: Key, n: int, draws: int = 16) -> dict[str, Figure]:
    """The bound of n examples, evenly spread, by name.

    Args:
      draws: numbers of masks for each example, or times.

    Raises:
      InputError: there are not as many examples, or the source lacks a condition that the model was never without.
    """
    if not 2 <= n <= source.size:
        raise InputError(f"n={n}: there are {source.size} held-out examples, and 2 are needed")

    @jax.jit
    def nats(params, key, x_0, condition):
        process, denoiser, *_ = model.bind(params, condition)
        estimate = by_count if process.masks else by_time
        return estimate(process, denoiser, key, x_0, draws)

    values, spread = [], np.linspace(0, source.size - 1, n).astype(int)
    for first in range(0, n, AT_ONCE):
        batch = source.take(spread[np.arange(first, first + AT_ONCE) % n])
        told = model.check_condition(model.own(batch.condition) or {}, AT_ONCE)
        each = nats(model.params, jax.random.fold_in(key, first), jnp.asarray(batch.x_0), told)
        values.append(np.asarray(each)[: n - first])
    bits = np.concatenate(values) / np.log(2) / model.shape[0]
    return {"bound": Figure(float(bits.mean()), float(bits.std(ddof=1) / np.sqrt(n)))}


def make_monitor(model: Model, batch: Batch) -> Callable[[Params], dict[str, float]]:
    """`params -> {"held_out_bits"}`: the bound of a batch in bits a symbol, by the same draws at every call."""

    @jax.jit
    def bits(params):
        process, denoiser, *_ = model.bind(params, batch.condition)
        estimate = by_count if process.masks else by_time
        return estimate(process, denoiser, jax.random.key(0), jnp.asarray(batch.x_0), 4).mean()

    return lambda params: {"held_out_bits": float(bits(params)) / np.log(2) / model.shape[0]}
