"""Solvers of the probability flow dx/dt, the classical ones, in the process's own time.

On `jaxdiff.gaussian.schedules.edm`, whose time is the noise level, `heun` is the sampler of Karras et al. 2022
(algorithms 1 and 2); on `flow`, `euler` is the usual sampler of flow matching. `jaxdiff.gaussian.denoiser.transfer`
takes a model to either path. Where a step ends at the data, sigma = 0, the slope there is unknown, and the step is made
of the slopes before it.
"""

import jax.numpy as jnp

from jaxdiff.gaussian.denoiser import to_velocity
from jaxdiff.gaussian.process import Process, log_snr, time_at, transition
from jaxdiff.samplers.adaptive import integrate
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Denoiser, Key

__all__ = ["dopri5", "euler", "heun", "midpoint", "raised", "rk4"]


def euler(process: Process, denoiser: Denoiser) -> Sampler:
    """Order 1, one evaluation a step."""
    velocity = to_velocity(process, denoiser)
    return Sampler(State, lambda key, state, t, s: State(state.x + (s - t) * velocity(state.x, t)))


def midpoint(process: Process, denoiser: Denoiser) -> Sampler:
    """Order 2, two evaluations a step, none at its end."""
    velocity = to_velocity(process, denoiser)

    def step(key, state, t, s):
        half = state.x + (s - t) / 2 * velocity(state.x, t)
        return State(state.x + (s - t) * velocity(half, (t + s) / 2))

    return Sampler(State, step)


def heun(
    process: Process,
    denoiser: Denoiser,
    churn: float | Array = 0.0,
    churn_noise: float | Array = 1.0,
    churn_min: float | Array = 0.0,
    churn_max: float | Array = jnp.inf,
) -> Sampler:
    """Order 2, two evaluations a step; with churn, noise is added before each (Karras et al. 2022, algorithm 2).

    Args:
      churn: gamma of a step, by which share the noise level sigma / alpha is raised: `min(S_churn / steps, sqrt(2) -
        1)`. Never beyond t = 1.
      churn_noise: S_noise, factor on the noise.
      churn_min, churn_max: S_tmin and S_tmax, the noise levels sigma / alpha between which there is churn.
    """
    velocity = to_velocity(process, denoiser)

    def step(key, state, t, s):
        level = process.sigma(t) / process.alpha(t)
        gamma = jnp.where((level >= churn_min) & (level <= churn_max), churn, 0.0)
        x, higher = raised(process, key, state.x, t, gamma, churn_noise)
        first = velocity(x, higher)
        at_data = process.sigma(s) == 0
        second = velocity(x + (s - higher) * first, jnp.where(at_data, t, s))
        return State(x + (s - higher) * jnp.where(at_data, first, (first + second) / 2))

    return Sampler(State, step)


def raised(process: Process, key: Key, x: Array, t: Array, gamma: Array, factor: float | Array) -> tuple[Array, Array]:
    """x at t with noise, at the later time at which the noise level sigma / alpha is 1 + gamma times as high.

    Where that level is infinite, nothing makes x noisier.

    Args:
      factor: on the noise.
    """
    gamma = jnp.where(process.alpha(t) > 0, gamma, 0.0)
    # Near t = 1 the inverse may round to below t.
    higher = jnp.where(gamma > 0, jnp.maximum(time_at(process, log_snr(process, t) - 2 * jnp.log1p(gamma)), t), t)
    scale, variance = transition(process, t, higher)
    noise = factor * jnp.sqrt(jnp.where(gamma > 0, variance, 0)) * process.noise(key, x)
    return jnp.where(gamma > 0, scale, 1) * x + noise, higher


def rk4(process: Process, denoiser: Denoiser) -> Sampler:
    """The classical Runge-Kutta method: order 4, four evaluations a step."""
    velocity = to_velocity(process, denoiser)

    def step(key, state, t, s):
        x, h, middle = state.x, s - t, (t + s) / 2
        k1 = velocity(x, t)
        k2 = velocity(x + h / 2 * k1, middle)
        k3 = velocity(x + h / 2 * k2, middle)
        at_data = process.sigma(s) == 0
        k4 = velocity(x + h * k3, jnp.where(at_data, middle, s))
        return State(x + h * jnp.where(at_data, k3, (k1 + 2 * k2 + 2 * k3 + k4) / 6))

    return Sampler(State, step)


def dopri5(process: Process, denoiser: Denoiser, rtol: float = 1e-5, atol: float = 1e-5) -> Sampler:
    """Dormand and Prince's adaptive method of order 5, as many evaluations as each step of the grid needs.

    The grid must end above t = 0. The tolerances are compiled in; gradients come from the adjoint
    method.
    """
    velocity = to_velocity(process, denoiser)

    def step(key, state, t, s):
        return State(integrate(velocity, state.x, t, s, rtol, atol, process.space.dimension(state.x).sum()))

    return Sampler(State, step)
