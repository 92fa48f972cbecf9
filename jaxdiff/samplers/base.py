"""Sampler: `(init, step)`, a pair of pure functions; a step goes from time t to time s < t.

`sample` is the library's only sampling loop: one `lax.scan` over the grid, so the whole chain is one compiled call and
nothing passes between the device and the host inside it. Step i draws its noise from `fold_in(key, i)`.

A combinator takes samplers and gives one: `then` follows a predictor by a corrector, `restart` goes back and forth.
Between two steps anything may move x, by `state._replace(x=...)`. So x lies in the state's `x` alone: a state that
holds another takes `state.x` over into it, and a step that needs to know where the one before it ended keeps that too.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdiff.errors import InputError
from jaxdiff.types import Array, Key, as_time

__all__ = [
    "Both",
    "Carry",
    "Sampler",
    "State",
    "begun_again",
    "first",
    "invert",
    "onward",
    "sample",
    "stepped",
    "then",
    "trajectory",
]


class State(NamedTuple):
    """The state of a sampler that remembers nothing but where it is. Others carry more, and an `x` like this one."""

    x: Array


Carry = tuple[Any, Array]
"""The state of a sampler, and the frames kept so far."""


class Sampler(NamedTuple):
    """A pair of functions: `init(x_1) -> state` begins, `step(key, state, t, s) -> state` goes from t to s, scalars.

    A sampler that has to know that x is no fresh noise brings `again`, too: `(state, x) -> state` begins anew at x, to
    which noise led back from a state. By default that is `init(x)`.
    """

    init: Callable[[Array], Any]
    step: Callable[[Key, Any, Array, Array], Any]
    again: Callable[[Any, Array], Any] | None = None


def sample(sampler: Sampler, key: Key, x_1: Array, times: Array) -> Array:
    """Run the sampler from x_1 at `times[0]` down to `times[-1]`; returns the last x, shaped like x_1.

    Args:
      x_1: (batch, ...), noise at `times[0]`.
      times: (steps + 1,), falling; see `jaxdiff.gaussian.grids`.

    Raises:
      InputError: the times do not fall strictly (unless they are traced).

    >>> halve = Sampler(State, lambda key, state, t, s: State(state.x / 2))
    >>> sample(halve, jax.random.key(0), jnp.array([[8.0]]), np.array([1.0, 0.5, 0.0])).tolist()
    [[2.0]]
    """
    return trajectory(sampler, key, x_1, times, jnp.zeros(0, jnp.int32))[0]


def trajectory(sampler: Sampler, key: Key, x_1: Array, times: Array, keep: Array) -> tuple[Array, Array]:
    """Sample, and return x at the grid points named by `keep`, too: `(x_0, (len(keep), batch, ...))`.

    Args:
      x_1: an array, or a tree of arrays with a common leading axis.
      keep: (n,) distinct indices into `times`, 0 being x_1 itself. Only these n states are ever held in memory.

    >>> halve = Sampler(State, lambda key, state, t, s: State(state.x / 2))
    >>> x_0, frames = trajectory(halve, jax.random.key(0), jnp.array([8.0]), np.array([1.0, 0.5, 0.0]), [0, 1])
    >>> x_0.tolist(), frames.tolist()
    ([2.0], [[8.0], [4.0]])
    """
    _check_falling(times)
    times = as_time(times, jax.tree.leaves(x_1)[0])
    walk = onward(sampler, key, times, keep)
    steps = jnp.arange(len(times) - 1)
    (state, kept), _ = jax.lax.scan(lambda carry, i: (walk(carry, i), None), first(sampler, x_1, keep), steps)
    return state.x, kept


def first(sampler: Sampler, x_1: Any, keep: Array) -> Carry:
    """The carry of `trajectory` before its first step."""
    keep = jnp.asarray(keep, jnp.int32)
    kept = lambda x: jnp.where(keep.reshape(-1, *[1] * x.ndim) == 0, x, jnp.zeros((), x.dtype))
    return sampler.init(x_1), jax.tree.map(kept, x_1)


def onward(sampler: Sampler, key: Key, times: Array, keep: Array) -> Callable[[Carry, Array], Carry]:
    """`(carry, i) -> carry`, step i of `trajectory`: for a loop that stops on the way, as one with a progress bar does.

    Args:
      times: of the type of a time: see `jaxdiff.types.as_time`.
    """
    keep = jnp.asarray(keep, jnp.int32)
    count = keep.shape[0]
    # slots[i] is the place in `kept` of grid point i; `count`, which is out of range and so dropped, if it has none.
    slots = jnp.full(times.shape, count).at[keep].set(jnp.arange(count))

    def walk(carry, i):
        state, kept = carry
        state = stepped(sampler, jax.random.fold_in(key, i), state, times[i], times[i + 1])
        put = lambda frames, x: frames.at[slots[i + 1]].set(x, mode="drop")
        return state, jax.tree.map(put, kept, state.x) if count else kept

    return walk


def begun_again(sampler: Sampler, state: Any, x: Array) -> Any:
    """The state at x, to which noise led back from another: what was remembered of the way down holds no longer."""
    return sampler.again(state, x) if sampler.again else sampler.init(x)


def stepped(sampler: Sampler, key: Key, state: Any, t: Array, s: Array) -> Any:
    """One step, its state typed like the one before: 16-bit x meets coefficients of 32 bits in it."""
    after = sampler.step(key, state, t, s)
    return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after, state)


def invert(sampler: Sampler, x_0: Array, times: Array) -> Array:
    """The noise that a deterministic sampler would turn into x_0: its steps in reverse, from `times[-1]` to `times[0]`.

    `times` falls, as for `sample`, and must end above 0, where x_0 is taken to lie: at sigma = 0 there is no direction.
    The result returns to x_0 under `sample` with the sampler's order of accuracy; a multistep method has it, as in
    `sample`, from where it has its history on.
    """
    _check_falling(times)
    times = as_time(times, x_0)[::-1]

    def body(state, along):
        t, s = along
        return stepped(sampler, jax.random.key(0), state, t, s), None

    state, _ = jax.lax.scan(body, sampler.init(x_0), (times[:-1], times[1:]))
    return state.x


class Both(NamedTuple):
    """The state of a predictor and of its corrector."""

    x: Array
    predictor: Any
    corrector: Any


def then(predictor: Sampler, corrector: Sampler) -> Sampler:
    """Each step of the predictor, from t to s, followed by one of the corrector, which is given the same t and s.

    Predictor-corrector sampling (Song et al. 2021, algorithm 1) is `then(reverse_diffusion(...), langevin(...))`.
    """

    def init(x):
        return Both(x, predictor.init(x), corrector.init(x))

    def step(key, state, t, s):
        first, second = jax.random.split(key)
        ahead = predictor.step(first, state.predictor._replace(x=state.x), t, s)
        mended = corrector.step(second, state.corrector._replace(x=ahead.x), t, s)
        return Both(mended.x, ahead, mended)

    def again(state, x):
        return Both(x, begun_again(predictor, state.predictor, x), begun_again(corrector, state.corrector, x))

    return Sampler(init, step, again)


def _check_falling(times: Array) -> None:
    if isinstance(times, Tracer):
        return
    values = np.asarray(times)
    if values.ndim != 1 or len(values) < 2 or not np.all(np.diff(values) < 0):
        shown = np.array2string(values, threshold=8, separator=", ")
        raise InputError(f"times={shown}: a grid is a row of 2 or more times that fall strictly, from noise to data")
