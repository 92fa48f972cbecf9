"""PNDM (Liu et al. 2022): classical methods with DDIM's step in place of the straight line.

`transfer(x, eps, t, s)` is DDIM's step with a given eps. The first three steps combine four evaluations as Runge and
Kutta do; every later one combines the last four predictions as Adams and Bashforth do, with the weights of even steps.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.process import Process
from jaxdiff.samplers.base import Sampler
from jaxdiff.types import Array, Denoiser

__all__ = ["ADAMS", "WARM_UP", "Memory", "pndm"]

WARM_UP = 3
ADAMS = (55 / 24, -59 / 24, 37 / 24, -9 / 24)


class Memory(NamedTuple):
    """The noise predicted at the beginning of the last three steps, the newest first."""

    x: Array
    eps: tuple[Array, Array, Array]
    count: Array


def pndm(process: Process, denoiser: Denoiser) -> Sampler:
    """Order 2 on steps of even length in t; one evaluation a step after the first three, which take four."""

    def noise(x, t):
        return (x - process.alpha(t) * denoiser(x, t)) / process.sigma(t)

    def transfer(x, eps, t, s):
        return process.alpha(s) / process.alpha(t) * (x - process.sigma(t) * eps) + process.sigma(s) * eps

    def runge_kutta(x, eps, t, s, _):
        middle, at_data = (t + s) / 2, process.sigma(s) == 0
        second = noise(transfer(x, eps, t, middle), middle)
        third = noise(transfer(x, second, t, middle), middle)
        fourth = noise(transfer(x, third, t, s), jnp.where(at_data, middle, s))
        return jnp.where(at_data, eps, (eps + 2 * second + 2 * third + fourth) / 6)

    def adams(x, eps, t, s, older):
        return sum(weight * e for weight, e in zip(ADAMS, (eps, *older), strict=True))

    def step(key, state, t, s):
        eps = noise(state.x, t)
        combined = jax.lax.cond(state.count < WARM_UP, runge_kutta, adams, state.x, eps, t, s, state.eps)
        return Memory(transfer(state.x, combined, t, s), (eps, state.eps[0], state.eps[1]), state.count + 1)

    def init(x):
        return Memory(x, (jnp.zeros_like(x), jnp.zeros_like(x), jnp.zeros_like(x)), jnp.zeros((), jnp.int32))

    return Sampler(init, step)
