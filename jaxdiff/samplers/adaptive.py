"""Adaptive: Dormand and Prince's method of order 5 (1980), whose steps are as long as its own estimate of error allows.

The error of a step is the root of the mean of squares, each in units of what is tolerated. The mean is over the
dimensions of the space that x lives in, so that rows of padding change no step. Gradients come from the adjoint method
(Chen et al. 2018), which integrates back.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdiff.types import Array

__all__ = ["integrate"]

CLOCK = np.array([0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1])
STAGES = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [1 / 5, 0, 0, 0, 0, 0, 0],
        [3 / 40, 9 / 40, 0, 0, 0, 0, 0],
        [44 / 45, -56 / 15, 32 / 9, 0, 0, 0, 0],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0, 0, 0],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0, 0],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
    ]
)
"""Of the slopes before it; the last is the step itself."""
ERROR = STAGES[6] - np.array([5179 / 57600, 0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40])
"""What the step has more than that of order 4."""
SHORTER, LONGER, SAFETY = 0.2, 10.0, 0.9
"""Bounds on the next step by this one, and how much shorter it is than it might be."""


def integrate(field: Callable, x: Any, t: Array, s: Array, rtol: float, atol: float, dimension: Array) -> Any:
    """x at s from x at t, both in (0, 1], with `dx/dt = field(x, t)`; NaN where that leads nowhere.

    It runs on the clock log t, and asks for no time beyond t and s.

    Args:
      x: any tree of arrays; and `dimension`, how many numbers in it are free, over which the error is averaged.
      rtol, atol: errors of a step that are tolerated, in units of x, and as they are.
    """
    flat, whole = ravel_pytree(x)
    start, end = jnp.log(t), jnp.log(s)

    def slope(x, w):
        t = jnp.exp(w)
        return (t * ravel_pytree(field(whole(x), t))[0]).astype(x.dtype)

    slope, known = jax.closure_convert(slope, flat, start)
    return whole(_solve(slope, rtol, atol, flat, start, end, dimension, *known))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
@jax.default_matmul_precision("highest")
def _solve(slope: Callable, rtol: float, atol: float, x: Array, start: Array, end: Array, dimension: Array, *known):
    """x (n,) at the end, with `dx/dw = slope(x, w, *known)`."""
    size = lambda part, x: jnp.sqrt(jnp.sum((part / (atol + rtol * jnp.abs(x))) ** 2) / dimension)
    clock, stages, error = (jnp.asarray(a, x.dtype) for a in (CLOCK, STAGES, ERROR))

    def step(state):
        w, x, v, h = state
        then = jnp.where(jnp.abs(h) < jnp.abs(end - w), w + h, end)
        h = then - w
        by = h.astype(x.dtype)

        def stage(i, slopes):
            at = jnp.where(clock[i] < 1, w + clock[i].astype(w.dtype) * h, then)
            return slopes.at[i].set(slope(x + by * (stages[i] @ slopes), at, *known))

        slopes = jax.lax.fori_loop(1, 7, stage, jnp.zeros((7, *x.shape), x.dtype).at[0].set(v))
        new = x + by * (stages[6] @ slopes)
        wrong = size(by * (error @ slopes), jnp.maximum(jnp.abs(x), jnp.abs(new)))
        longer = jnp.clip(SAFETY * wrong**-0.2, SHORTER, LONGER).astype(h.dtype)
        good = (wrong <= 1) | (jnp.abs(h) <= 8 * jnp.finfo(h.dtype).eps * jnp.abs(w))  # it cannot be much shorter
        kept = jax.tree.map(lambda new, old: jnp.where(good, new, old), (then, new, slopes[6]), (w, x, v))
        return *kept, h * jnp.where(jnp.isfinite(wrong), longer, SHORTER)

    v = slope(x, start, *known)
    first = (0.01 * size(x, x) / size(v, x)).astype(start.dtype)
    h = (end - start) * jnp.where(first > 0, jnp.minimum(1, first / jnp.abs(end - start)), 1)
    w, x, *_ = jax.lax.while_loop(lambda at: (at[0] != end) & jnp.isfinite(at[1]).all(), step, (start, x, v, h))
    return jnp.where(w == end, x, jnp.nan)


def _forward(slope, rtol, atol, x, start, end, dimension, *known):
    x = _solve(slope, rtol, atol, x, start, end, dimension, *known)
    return x, (x, start, end, dimension, known)


def _backward(slope, rtol, atol, kept, x_bar):
    x, start, end, dimension, known = kept
    flat, whole = ravel_pytree((x, x_bar, *map(jnp.zeros_like, known)))

    def back(state, w):
        x, x_bar, *_ = whole(state)
        v, product = jax.vjp(lambda x, *known: slope(x, w, *known), x, *known)
        return ravel_pytree((v, *(-part for part in product(x_bar))))[0]

    end_bar = jnp.vdot(x_bar, slope(x, end, *known)).astype(end.dtype)
    back, more = jax.closure_convert(back, flat, end)
    x, x_bar, *known_bar = whole(_solve(back, rtol, atol, flat, end, start, jnp.asarray(1.0 * flat.size), *more))
    start_bar = -jnp.vdot(x_bar, slope(x, start, *known)).astype(start.dtype)
    return x_bar, start_bar, end_bar, jnp.zeros_like(dimension), *known_bar


_solve.defvjp(_forward, _backward)
