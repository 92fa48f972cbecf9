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

__all__ = ["ADAMS", "WARM_UP", "Memory", "Pseudo", "plms", "pndm"]

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


class Pseudo(NamedTuple):
    """What the network said at the beginning of the last three steps, the newest first."""

    x: Array
    said: tuple[Array, Array, Array]
    count: Array


def plms(process: Process, denoiser: Denoiser, of_v: bool = False) -> Sampler:
    """PNDM without Runge and Kutta's steps, as latent diffusion samples (Rombach et al. 2022): order 2 at first.

    The first step is Heun's, with two evaluations, the next two have order 2 and 3, and from then on there are four
    predictions to combine.

    Args:
      of_v: combine v = alpha eps - sigma x_0, which a network of v was trained for, and not eps.
    """

    def said(x, x_0, t):
        eps = (x - process.alpha(t) * x_0) / process.sigma(t)
        return process.alpha(t) * eps - process.sigma(t) * x_0 if of_v else eps

    def move(x, out, t, s):
        alpha, sigma = process.alpha(t), process.sigma(t)
        if of_v:
            square = alpha**2 + sigma**2  # 1 where the variance is preserved
            x_0, eps = (alpha * x - sigma * out) / square, (alpha * out + sigma * x) / square
        else:
            x_0, eps = (x - sigma * out) / alpha, out
        return process.alpha(s) * x_0 + process.sigma(s) * eps

    def first(x, out, t, s, _):
        end = jnp.where(process.sigma(s) == 0, t, s)
        x_s = move(x, out, t, end)
        return (out + said(x_s, denoiser(x_s, end), end)) / 2

    def later(weights):
        return lambda x, out, t, s, old: sum(w * e for w, e in zip(weights, (out, *old), strict=False))

    rules = (first, later((3 / 2, -1 / 2)), later((23 / 12, -16 / 12, 5 / 12)), later(ADAMS))

    def step(key, state, t, s):
        out = said(state.x, denoiser(state.x, t), t)
        combined = jax.lax.switch(jnp.minimum(state.count, WARM_UP), rules, state.x, out, t, s, state.said)
        return Pseudo(move(state.x, combined, t, s), (out, state.said[0], state.said[1]), state.count + 1)

    def init(x):
        return Pseudo(x, (jnp.zeros_like(x), jnp.zeros_like(x), jnp.zeros_like(x)), jnp.zeros((), jnp.int32))

    return Sampler(init, step)
