"""Step caching: a sampler whose network computes its deeper layers at every n-th step only.

What the deep layers give changes slowly from one time to the next, so the steps between reuse what an earlier one
computed (Ma et al. 2024, "DeepCache: Accelerating Diffusion Models for Free"). With every = 1 this is the sampler
itself. Otherwise it is an approximation, for the user to weigh: its error is no error of the solver, and grows with the
distance in time between the steps that share; docs/performance.md has measured ones. What moves x between the steps
changes the layers no more than the steps do, and the memory stays; a restart begins with a new one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.samplers.base import Sampler, stepped
from jaxdiff.types import Array, Denoiser

__all__ = ["Cached", "Remembering", "along", "cached", "listening"]

Remembering = Callable[[Array, Array, Any], tuple[Any, Any]]
"""`(x_t, t, memory) -> (x̂_0, memory)`: computes the memory where it is given None, and otherwise reuses it.

In place of x̂_0 there may be more that the network tells, such as `(x̂_0, fraction)`, and `make` is then given that.
"""


class Cached(NamedTuple):
    """The state of the sampler within, what is remembered, and the number of the step."""

    x: Array
    inner: Any
    memory: Any
    count: Array


def cached(make: Callable[[Denoiser], Sampler], denoise: Remembering, every: int | Array) -> Sampler:
    """`make(denoiser)`, with the memory computed at steps 0, every, 2 every ..., by the last network call of the step.

    Args:
      make: binds a sampler to a denoiser; its step must call it outside of loops and conditions.
      every: 1 or more; may be traced.
    """

    def init(x):
        memory = jax.eval_shape(lambda x: denoise(x, jnp.float32(0.5), None)[1], x)
        zeros = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), memory)
        return Cached(x, make(lambda x_t, t: x_t).init(x), zeros, jnp.zeros((), jnp.int32))

    def step(key, state, t, s):
        def run(memory):
            denoiser, left = listening(denoise, memory)
            inner = stepped(make(denoiser), key, state.inner._replace(x=state.x), t, s)
            return inner, left()

        inner, memory = jax.lax.cond(state.count % every == 0, lambda: run(None), lambda: run(state.memory))
        return Cached(inner.x, inner, memory, state.count + 1)

    return Sampler(init, step)


def listening(denoise: Remembering, memory: Any) -> tuple[Denoiser, Callable[[], Any]]:
    """A denoiser that is given this memory, and a function that tells what its last call left."""
    left = []

    def denoiser(x_t, t):
        x_0, remembered = denoise(x_t, t, memory)
        left.append(remembered)
        return x_0

    return denoiser, lambda: left[-1]


def along(change: Callable[[Denoiser], Denoiser], denoise: Remembering) -> Remembering:
    """A denoiser with a memory, changed as one without is."""

    def changed(x_t, t, memory):
        denoiser, left = listening(denoise, memory)
        return change(denoiser)(x_t, t), left()

    return changed
