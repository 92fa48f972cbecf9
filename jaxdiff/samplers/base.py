"""Sampler: `(init, step)`, a pair of pure functions; a step goes from time t to time s < t.

`sample` is the library's only sampling loop: one `lax.scan` over the grid, so the whole chain is one compiled call and
nothing passes between the device and the host inside it. Step i draws its noise from `fold_in(key, i)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.types import Array, Key


class State(NamedTuple):
    """The state of a sampler that remembers nothing but where it is. Others carry more, and an `x` like this one."""

    x: Array


class Sampler(NamedTuple):
    """How to begin at x_1, `init(x_1) -> state`, and go on, `step(key, state, t, s) -> state`, with t and s scalars."""

    init: Callable[[Array], Any]
    step: Callable[[Key, Any, Array, Array], Any]


def sample(sampler: Sampler, key: Key, x_1: Array, times: Array) -> Array:
    """Run the sampler from x_1 at `times[0]` down to `times[-1]`; returns the last x, shaped like x_1.

    Args:
      x_1: (batch, ...), noise at `times[0]`.
      times: (steps + 1,), falling; see `jaxdiff.grids`.
    """
    return trajectory(sampler, key, x_1, times, jnp.zeros(0, jnp.int32))[0]


def trajectory(sampler: Sampler, key: Key, x_1: Array, times: Array, keep: Array) -> tuple[Array, Array]:
    """As `sample`, and also x at the grid points named by `keep`: `(x_0, (len(keep), batch, ...))`.

    Args:
      keep: (n,) distinct indices into `times`, 0 being x_1 itself. Only these n states are ever held in memory.
    """
    times, keep = jnp.asarray(times, x_1.dtype), jnp.asarray(keep, jnp.int32)
    count = keep.shape[0]
    # slots[i] is the place in `kept` of grid point i; `count`, which is out of range and so dropped, if it has none.
    slots = jnp.full(times.shape, count).at[keep].set(jnp.arange(count))

    def body(carry, along):
        state, kept = carry
        i, t, s, slot = along
        state = sampler.step(jax.random.fold_in(key, i), state, t, s)
        return (state, kept.at[slot].set(state.x, mode="drop") if count else kept), None

    state = sampler.init(x_1)
    kept = jnp.zeros((count, *x_1.shape), x_1.dtype)
    kept = kept.at[slots[0]].set(x_1, mode="drop") if count else kept
    along = (jnp.arange(len(times) - 1), times[:-1], times[1:], slots[1:])
    (state, kept), _ = jax.lax.scan(body, (state, kept), along)
    return state.x, kept
