"""Samplers of few steps: along a flow map, from a flow map with fresh noise, and by draws of the posterior.

    jump               x_s = X(x_t, t, s)
    renoise            x_s ~ q(x_s | x_0 = X(x_t, t, 0))                   (Song et al. 2023, algorithm 1)
    posterior_jumps    x_0 ~ q(x_0 | x_t),  x_s ~ q(x_s | x_t, x_0)        (Xiao et al. 2022, equation 5)

With the exact map or posterior each is exact for any number of steps: `jump` gives one and the same x_0, the others
other draws of the data.
"""

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.flow_map import FlowMap
from jaxdiff.gaussian.posterior import Posterior
from jaxdiff.gaussian.process import Process
from jaxdiff.gaussian.process import posterior as posterior_of_step
from jaxdiff.samplers.base import Sampler, State

__all__ = ["jump", "posterior_jumps", "renoise"]


def jump(flow_map: FlowMap) -> Sampler:
    """Deterministic: each step is one call of the flow map.

    >>> from jaxdiff.gaussian.flow_map import gaussian_map
    >>> from jaxdiff.gaussian.schedules import flow
    >>> sampler = jump(gaussian_map(flow(), 1.0, 0.5))
    >>> state = sampler.init(jnp.array([[2.0]]))
    >>> sampler.step(jax.random.key(0), state, jnp.float32(1.0), jnp.float32(0.0)).x.tolist()
    [[2.0]]
    """
    return Sampler(State, lambda key, state, t, s: State(flow_map(state.x, t, s)))


def renoise(process: Process, flow_map: FlowMap) -> Sampler:
    """To t = 0 in one jump, and back to s with fresh noise: multistep consistency sampling.

    Where there is noise at t = 0 already, as with `ve`, only what s has beyond it is added.
    """

    def step(key, state, t, s):
        zero = jnp.zeros_like(t)
        x_0 = flow_map(state.x, t, zero)
        scale = process.alpha(s) / process.alpha(zero)
        left = process.sigma(s) ** 2 - (scale * process.sigma(zero)) ** 2
        return State(scale * x_0 + jnp.sqrt(jnp.maximum(left, 0)) * process.noise(key, state.x))

    return Sampler(State, step)


def posterior_jumps(process: Process, posterior: Posterior) -> Sampler:
    """A draw of the data, and of x_s between it and x_t."""

    def step(key, state, t, s):
        key_data, key_noise = jax.random.split(key)
        of_x_t, of_x_0, variance = posterior_of_step(process, s, t)
        x_0 = posterior(key_data, state.x, t)
        noise = process.noise(key_noise, state.x)
        return State(of_x_t * state.x + of_x_0 * x_0 + jnp.sqrt(variance) * noise)

    return Sampler(State, step)
