"""Restart sampling (Xu et al. 2023): on arrival at a low noise level, go back up and down again, several times.

The noise that is added at once, up to the high level, wipes out errors made before; the deterministic way down adds few
new ones. What the sampler remembers afterwards is of the last way down.
"""

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.process import Process, transition
from jaxdiff.samplers.base import Sampler, begun_again, stepped
from jaxdiff.types import Array, as_time

__all__ = ["restart"]


def restart(process: Process, sampler: Sampler, times: Array, repeats: int = 1) -> Sampler:
    """The sampler, with `repeats` restarts when the grid first arrives at or below `times[-1]`, at some s.

    Args:
      times: (n,), falling: each restart adds noise from s up to `times[0]`, then takes the sampler down along `times`,
        whose last is replaced by s.
    """

    def step(key, state, t, s):
        first = stepped(sampler, jax.random.fold_in(key, 0), state, t, s)
        way = as_time(times, state.x).at[-1].set(s)
        scale, variance = transition(process, s, way[0])

        def body(state, along):
            key, t, s = along
            return stepped(sampler, key, state, t, s), None

        def once(state, key):
            up, down = jax.random.split(key)
            x = scale * state.x + jnp.sqrt(variance) * process.noise(up, state.x)
            keys = jax.vmap(lambda i: jax.random.fold_in(down, i))(jnp.arange(len(way) - 1))
            begun = begun_again(sampler, state, x.astype(state.x.dtype))
            return jax.lax.scan(body, begun, (keys, way[:-1], way[1:]))[0], None

        def again(state):
            return jax.lax.scan(once, state, jax.random.split(jax.random.fold_in(key, 1), repeats))[0]

        arrives = (t > times[-1]) & (s <= times[-1])
        return jax.lax.cond(arrives, again, lambda state: state, first)

    return sampler._replace(step=step)
