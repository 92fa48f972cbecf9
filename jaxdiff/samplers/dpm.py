"""DPM-Solver++ (Lu et al. 2022) and its SDE forms: exponential integrators in `l = log(alpha / sigma)`.

With `h = l_s - l_t`, the flow from t to s is a linear part, exact, and an integral over the denoiser's results:

    x_s = (sigma_s / sigma_t) e^(-eta h) x_t + alpha_s ∫ (1 + eta) e^((1 + eta)(l - l_s)) x̂_0 dl
          + sigma_s sqrt(1 - e^(-2 eta h)) z

with eta = 0 for the probability flow and 1 for the reverse SDE. Taking x̂_0 to be constant gives the first order, which
is DDIM with the same eta at 0 and 1; the multistep methods extrapolate it from the steps before, the singlestep one
looks at the middle. The step to the data (h infinite) is of first order and gives x̂_0 itself.

None of this depends on the path: all processes with the same log-SNRs on their grid give the same samples.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxdiff.gaussian.process import Process, log_snr, log_snr_drop, time_at
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Denoiser, Key, as_time

__all__ = ["Memory", "dpmpp_1s", "dpmpp_2m", "dpmpp_2s", "dpmpp_3m"]


def dpmpp_1s(process: Process, denoiser: Denoiser, eta: float | Array = 0.0) -> Sampler:
    """Order 1."""

    def step(key, state, t, s):
        x_s, _, _ = _first_order(process, key, state.x, denoiser(state.x, t), t, s, eta)
        return State(x_s)

    return Sampler(State, step)


def dpmpp_2s(process: Process, denoiser: Denoiser, eta: float | Array = 0.0) -> Sampler:
    """Order 2 from two evaluations, the second in the middle; with eta, ancestral steps (k-diffusion).

    A step of eta > 0 solves the flow to a level below s, and adds noise up to s.
    """

    def step(key, state, t, s):
        x_0 = denoiser(state.x, t)
        sigma_t, sigma_s = process.sigma(t), process.sigma(s)
        drop = log_snr_drop(process, s, t)
        fresh = eta**2 * -jnp.expm1(-drop)
        # To a level below s, where sigma is smaller by a factor of sqrt(1 - fresh).
        h = 0.5 * (drop - jnp.log1p(-fresh))
        middle = jnp.where(jnp.isfinite(h), time_at(process, log_snr(process, t) + h), t)
        alpha_m, sigma_m = process.alpha(middle), process.sigma(middle)
        x_m = sigma_m / sigma_t * state.x + alpha_m * -jnp.expm1(-0.5 * log_snr_drop(process, middle, t)) * x_0
        x_0 = jnp.where(jnp.isfinite(h), denoiser(x_m, middle), x_0)
        x_s = sigma_s * jnp.sqrt(1 - fresh) / sigma_t * state.x + process.alpha(s) * -jnp.expm1(-h) * x_0
        return State(x_s + sigma_s * jnp.sqrt(fresh) * process.noise(key, state.x))

    return Sampler(State, step)


class Memory(NamedTuple):
    """The last two predictions and the steps in l that led from them, below 0 in inversion; 0 stands for none."""

    x: Array
    x_0: tuple[Array, Array]
    h: tuple[Array, Array]


def dpmpp_2m(process: Process, denoiser: Denoiser, eta: float | Array = 0.0) -> Sampler:
    """Order 2 from one evaluation a step and the one before."""

    def step(key, state, t, s):
        x_0 = denoiser(state.x, t)
        x_s, h, share = _first_order(process, key, state.x, x_0, t, s, eta)
        known = (state.h[0] != 0) & jnp.isfinite(h)
        ratio = jnp.where(known, h / jnp.where(known, state.h[0], 1), 0)
        x_s = x_s + process.alpha(s) * share * 0.5 * ratio * (x_0 - state.x_0[0])
        return _remember(state, x_s, x_0, h)

    return Sampler(_forget, step)


def dpmpp_3m(process: Process, denoiser: Denoiser, eta: float | Array = 0.0, curvature: float | Array = 1.0) -> Sampler:
    """Order 3 from one evaluation a step and the two before.

    Args:
      curvature: factor on the second derivative of the extrapolation. The code of the authors, diffusers and
        k-diffusion leave out a factor of 2 there, which makes theirs a method of order 2: 0.5 gives their numbers.
    """

    def step(key, state, t, s):
        x_0 = denoiser(state.x, t)
        x_s, h, _ = _first_order(process, key, state.x, x_0, t, s, eta)
        h1, h2 = state.h
        second, third = (h1 != 0) & jnp.isfinite(h), (h2 != 0) & jnp.isfinite(h)
        finite, h1, h2 = jnp.where(jnp.isfinite(h), h, 1.0), jnp.where(second, h1, 1), jnp.where(third, h2, 1)
        step_eta = (1 + eta) * finite
        phi_2 = jnp.expm1(-step_eta) / step_eta + 1
        phi_3 = phi_2 / step_eta - 0.5
        # Divided differences of the predictions, in units of this step.
        newer = (x_0 - state.x_0[0]) * (finite / h1)
        older = (state.x_0[0] - state.x_0[1]) * (finite / h2)
        bend = (newer - older) * (finite / (h1 + h2))
        slope = newer + jnp.where(third, bend * (h1 / finite), 0)
        correction = jnp.where(second, phi_2 * slope, 0) - jnp.where(third, 2 * curvature * phi_3 * bend, 0)
        return _remember(state, x_s + process.alpha(s) * correction, x_0, h)

    return Sampler(_forget, step)


def _first_order(
    process: Process, key: Key, x_t: Array, x_0: Array, t: Array, s: Array, eta: float | Array
) -> tuple[Array, Array, Array]:
    """`(x_s, h, the weight of x_0 in units of alpha_s)`."""
    h = 0.5 * log_snr_drop(process, s, t)
    noise_h = jnp.where(jnp.asarray(eta) > 0, eta * h, 0)
    share = -jnp.expm1(-(h + noise_h))
    sigma_s = process.sigma(s)
    x_s = sigma_s / process.sigma(t) * jnp.exp(-noise_h) * x_t + process.alpha(s) * share * x_0
    return x_s + sigma_s * jnp.sqrt(-jnp.expm1(-2 * noise_h)) * process.noise(key, x_t), h, share


def _forget(x: Array) -> Memory:
    nothing, none = jnp.zeros_like(x), as_time(0.0, x)
    return Memory(x, (nothing, nothing), (none, none))


def _remember(state: Memory, x: Array, x_0: Array, h: Array) -> Memory:
    return Memory(x, (x_0, state.x_0[0]), (h, state.h[0]))
