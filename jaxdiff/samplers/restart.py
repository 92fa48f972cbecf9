"""Restart sampling (Xu et al. 2023): on arrival at a low noise level, go back up and down again, several times.

The noise that is added at once, up to the high level, wipes out errors made before; the deterministic way down adds few
new ones.
"""

import jax
import jax.numpy as jnp

from jaxdiff.process import Process, transition
from jaxdiff.samplers.base import Sampler
from jaxdiff.types import Array


def restart(process: Process, sampler: Sampler, times: Array, repeats: int = 1) -> Sampler:
    """The sampler, with `repeats` restarts when the grid first arrives at or below `times[-1]`, at some s.

    Args:
      times: (n,), falling: each restart adds noise from s up to `times[0]`, then takes the sampler down along `times`,
        whose last is replaced by s.
    """

    def step(key, state, t, s):
        moved = sampler.step(jax.random.fold_in(key, 0), state, t, s)
        way = jnp.asarray(times, state.x.dtype).at[-1].set(s)
        scale, variance = transition(process, s, way[0])

        def again(x):
            def once(x, key):
                up, down = jax.random.split(key)
                x = scale * x + jnp.sqrt(variance) * process.noise(up, x)

                def body(state, along):
                    i, t, s = along
                    return sampler.step(jax.random.fold_in(down, i), state, t, s), None

                state, _ = jax.lax.scan(body, sampler.init(x), (jnp.arange(len(way) - 1), way[:-1], way[1:]))
                return state.x, None

            return jax.lax.scan(once, x, jax.random.split(jax.random.fold_in(key, 1), repeats))[0]

        arrives = (t > times[-1]) & (s <= times[-1])
        return moved._replace(x=jax.lax.cond(arrives, again, lambda x: x, moved.x))

    return Sampler(sampler.init, step)
