"""Multistep solvers in `rho = sigma / alpha`, where the probability flow is `d(x / alpha) / d rho = eps(x_t, t)`.

    x_s = alpha_s x̂_0 + sigma_s eps_t + alpha_s sum_j (eps_j - eps_t) ∫ L_j d rho

the first two terms are DDIM, and L_j interpolates the noise predicted at earlier steps: as a polynomial in rho for
`lms` (k-diffusion's LMS), in log(rho) for `deis` (Zhang and Chen 2023). The integrals are taken by Gauss's rule.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdiff.gaussian.process import Process, log_snr
from jaxdiff.samplers.base import Sampler
from jaxdiff.types import Array, Denoiser, as_time

__all__ = ["Memory", "deis", "lms"]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)


class Memory(NamedTuple):
    """The noise predicted at the last steps, (order, batch, ...), the newest first, and where on the clock."""

    x: Array
    eps: Array
    places: Array
    count: Array


def lms(process: Process, denoiser: Denoiser, order: int = 4) -> Sampler:
    """Linear multistep in rho: order `order`, 1 to 4, one evaluation a step."""
    return _adams(process, denoiser, order, lambda half: jnp.exp(-half), jnp.ones_like)


def deis(process: Process, denoiser: Denoiser, order: int = 3) -> Sampler:
    """DEIS, the exponential Adams-Bashforth method in log(rho): order `order`, 1 to 4, one evaluation a step.

    The step to the data, where log(rho) ends, is of first order.
    """
    return _adams(process, denoiser, order, lambda half: -half, jnp.exp)


def _adams(process: Process, denoiser: Denoiser, order: int, clock: Callable, slope: Callable) -> Sampler:
    """`clock` takes l = log(alpha / sigma) to what the polynomials are in; `slope` is that of rho there."""

    def init(x):
        places = as_time(jnp.zeros(order), x)
        return Memory(x, jnp.zeros((order, *x.shape), x.dtype), places, jnp.zeros((), jnp.int32))

    def step(key, state, t, s):
        x_0 = denoiser(state.x, t)
        eps_t = (state.x - process.alpha(t) * x_0) / process.sigma(t)
        here, end = clock(0.5 * log_snr(process, t)), clock(0.5 * log_snr(process, s))
        eps = jnp.concatenate([eps_t[None], state.eps[:-1]])
        places = jnp.concatenate([here[None], state.places[:-1]])
        # A place at infinity, as log(rho) is where alpha = 0, does not count.
        count = jnp.where(jnp.isfinite(here), jnp.minimum(state.count + 1, order), 0)
        usable = jnp.isfinite(end) & (count > 0)
        weights = jnp.where(usable, _integrals(places, end, count, slope), 0)
        bend = jnp.tensordot(weights, eps - eps_t, 1)
        x_s = process.alpha(s) * (x_0 + bend) + process.sigma(s) * eps_t
        return Memory(x_s, eps, places, count)

    return Sampler(init, step)


def _integrals(places: Array, end: Array, count: Array, slope: Callable) -> Array:
    """The integral over rho, from `places[0]` to `end`, of each basis polynomial through the first `count` places."""
    end = jnp.where(jnp.isfinite(end), end, places[0])
    half = (end - places[0]) / 2
    u = places[0] + half * (1 + jnp.asarray(NODES, places.dtype))
    chosen = jnp.zeros_like(places)
    for known in range(1, len(places) + 1):
        basis = [
            jnp.prod(jnp.stack([(u - places[k]) / (places[j] - places[k]) for k in range(known) if k != j]), 0)
            if known > 1
            else jnp.ones_like(u)
            for j in range(known)
        ]
        values = jnp.stack([half * jnp.sum(jnp.asarray(WEIGHTS, u.dtype) * b * slope(u)) for b in basis])
        chosen = jnp.where(count == known, jnp.zeros_like(places).at[:known].set(values), chosen)
    return chosen
