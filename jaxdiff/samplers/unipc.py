"""UniPC (Zhao et al. 2023): a multistep predictor, and a corrector that needs no evaluation of its own.

In `l = log(alpha / sigma)`, with h the step and r_k = (l_k - l_t) / h the place of an earlier result,

    x_s = (sigma_s / sigma_t) x_t - alpha_s (e^-h - 1) [x̂_0(t) + sum_k (rho_k / r_k) (x̂_0(k) - x̂_0(t))]

with rho the solution of the order conditions `sum_k rho_k r_k^(i-1) = b_i` (predicting data, with B(h) = e^-h - 1). The
corrector takes a step again once x̂_0 at its end is known, with r = 1 for that result. A step taken again ends where x
is only if nothing else moved x meanwhile: what did is added to its end.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp

from jaxdiff.gaussian.process import Process, log_snr_drop
from jaxdiff.samplers.base import Sampler
from jaxdiff.types import Array, Denoiser, as_time

__all__ = ["Memory", "unipc"]


class Memory(NamedTuple):
    """The corrected x and time of the step before, and results with their distance in l back from that time."""

    x: Array
    x_left: Array
    """Where the step ended: x, unless something else moved it since."""
    x_before: Array
    t_before: Array
    x_0: Array
    """(order, batch, ...), the newest first."""
    back: Array
    """(order,), the first of them 0."""
    count: Array


def unipc(process: Process, denoiser: Denoiser, order: int = 2) -> Sampler:
    """Order `order`, 1 to 3, from one evaluation a step, predicting data, with B(h) = e^-h - 1."""

    def init(x):
        zero, none = as_time(0.0, x), jnp.zeros((order, *x.shape), x.dtype)
        return Memory(x, x, x, zero, none, as_time(jnp.zeros(order), x), jnp.zeros((), int))

    def move(x, t, s, results, back, count, here=None):
        """From x at t to s: results[0] belongs to t, `here`, if it is known, to s."""
        h = 0.5 * log_snr_drop(process, s, t)
        finite = jnp.where(jnp.isfinite(h), h, 1)
        weights = jnp.where(jnp.isfinite(h), _weights(-back[1:] / finite, finite, count, here is not None), 0)
        change = jnp.tensordot(weights[:-1], results[1:] - results[0], 1) if order > 1 else 0
        if here is not None:
            change = change + weights[-1] * (here - results[0])
        b = jnp.expm1(-h)
        return process.sigma(s) / process.sigma(t) * x - process.alpha(s) * b * (results[0] + change)

    def step(key, state, t, s):
        x_0 = denoiser(state.x, t)
        began = state.count > 0
        before = jnp.where(began, state.t_before, 1.0)
        corrected = move(state.x_before, before, t, state.x_0, state.back, jnp.maximum(state.count, 1), x_0)
        x = jnp.where(began, corrected + (state.x - state.x_left), state.x)
        since = jnp.where(began, 0.5 * log_snr_drop(process, t, before), 0)
        results = jnp.concatenate([x_0[None], state.x_0[:-1]])
        back = jnp.concatenate([jnp.zeros_like(state.back[:1]), (state.back + since)[:-1]])
        count = jnp.minimum(state.count + 1, order)
        x_s = move(x, t, s, results, back, count)
        return Memory(x_s, x_s, x, t, results, back, count)

    return Sampler(init, step)


def _weights(r: Array, h: Array, count: Array, corrects: bool) -> Array:
    """rho_k / r_k for the earlier results and, last, for the one at the end of the step: (order,).

    `r` is (order - 1,) for the earlier results, of which `count - 1` are known. The predictor has no last one.
    """
    order = len(r) + 1
    phi, b = jnp.expm1(-h) / -h - 1, []
    for i in range(1, order + 1):
        b.append(phi * math.factorial(i) / jnp.expm1(-h))
        phi = phi / -h - 1 / math.factorial(i + 1)
    chosen = jnp.zeros(order, h.dtype)
    for known in range(order):
        places = jnp.concatenate([r[:known], jnp.ones(1, r.dtype)])[: known + corrects]
        size = len(places)
        if size == 1:  # the authors' choice, of the same order as b_1
            rho = jnp.full(1, 0.5, h.dtype)
        else:
            rho = jnp.linalg.solve(jnp.stack([places**i for i in range(size)]), jnp.stack(b[:size])) if size else places
        filled = jnp.zeros(order, h.dtype).at[:known].set((rho / places)[:known])
        if corrects:
            filled = filled.at[-1].set(rho[-1])
        chosen = jnp.where(count == known + 1, filled, chosen)
    return chosen
