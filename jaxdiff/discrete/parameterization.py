"""Parameterization: what the network's logits, (batch, positions, symbols), mean.

    logits      log p = log softmax(out)
    subs        the same where x_t is [MASK]; a symbol that is seen is the data's (Sahoo et al. 2024, section 3.2.3)

[MASK] has no logit, as it is no symbol of the data.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.discrete.process import Replacement
from jaxdiff.types import Array, Condition, Key, Network, Params

__all__ = ["Symbols", "log_probabilities", "logits", "subs"]


class Symbols(NamedTuple):
    """The meaning of logits, and the form in which a network takes t.

    Attributes:
      log_p: `(process, out, x_t) -> log p(x_0 | x_t)`, (batch, positions, symbols).
      knows_masks: whether it is for masked processes alone.
      timed: whether the network is told the time; to tell the posterior of x_0 from masked symbols no time is needed.
    """

    log_p: Callable[[Replacement, Array, Array], Array]
    knows_masks: bool
    timed: bool


def _log_softmax(process: Replacement, out: Array, x_t: Array) -> Array:
    return jax.nn.log_softmax(jnp.where(process.valid, jnp.asarray(out, jnp.float32), -1e30), axis=-1)


def _carried_over(process: Replacement, out: Array, x_t: Array) -> Array:
    seen = jnp.where(jax.nn.one_hot(x_t, process.symbols) > 0, 0.0, -1e30)
    return jnp.where((x_t == process.symbols)[..., None], _log_softmax(process, out, x_t), seen)


def logits(timed: bool = True) -> Symbols:
    """The logits of x_0 at every position."""
    return Symbols(_log_softmax, False, timed)


def subs(timed: bool = False) -> Symbols:
    """The logits of x_0 where x_t is [MASK]; elsewhere x_0 is x_t."""
    return Symbols(_carried_over, True, timed)


def log_probabilities(
    process: Replacement,
    parameterization: Symbols,
    network: Network,
    params: Params,
    x_t: Array,
    t: Array,
    condition: Condition | None = None,
    key: Key | None = None,
) -> Array:
    """log p(x_0 | x_t) by a network, (batch, positions, symbols), float32; t is (batch,).

    The network is given `1000 t - 1`, the step of a chain of 1000, or 0 where it is not told the time.
    """
    time = 1000 * t - 1 if parameterization.timed else jnp.zeros_like(t)
    return parameterization.log_p(process, network(params, x_t, time, condition, key), x_t)
