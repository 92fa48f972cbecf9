"""Solvers of the reverse SDE `dx = (f x - g² ∇ log q) dt + g dw`, from t down to s (Anderson 1982; Song et al. 2021).

The noise is additive: g depends on t alone. So Euler-Maruyama is of strong order 1, and Rößler's two-stage method of
strong order 1.5. As everywhere, the step that ends at the data (sigma = 0) adds no noise.
"""

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.denoiser import to_score
from jaxdiff.gaussian.process import Process, diffusion2, drift, transition
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Denoiser

__all__ = ["euler_maruyama", "reverse_diffusion", "srk"]


def euler_maruyama(process: Process, denoiser: Denoiser) -> Sampler:
    """Weak and strong order 1, one evaluation a step."""
    backward = _backward(process, denoiser)

    def step(key, state, t, s):
        g = jnp.where(process.sigma(s) > 0, jnp.sqrt(diffusion2(process, t)), 0)
        noise = g * jnp.sqrt(t - s) * process.noise(key, state.x)
        return State(state.x + (t - s) * backward(state.x, t) + noise)

    return Sampler(State, step)


def reverse_diffusion(process: Process, denoiser: Denoiser) -> Sampler:
    """The forward step from s to t, in reverse (Song et al. 2021, appendix E): weak order 1, one evaluation a step.

    x_s = (2 - alpha_t / alpha_s) x_t + v ∇ log q(x_t) + sqrt(v) z,        v the variance of q(x_t | x_s)
    """
    score = to_score(process, denoiser)

    def step(key, state, t, s):
        scale, variance = transition(process, s, t)
        std = jnp.where(process.sigma(s) > 0, jnp.sqrt(variance), 0)
        mean = (2 - scale) * state.x + variance * score(state.x, t)
        return State(mean + std * process.noise(key, state.x))

    return Sampler(State, step)


def srk(process: Process, denoiser: Denoiser) -> Sampler:
    """Stochastic Runge-Kutta for additive noise: strong order 1.5, two evaluations a step (Rößler 2010, SRA1)."""
    backward = _backward(process, denoiser)

    def step(key, state, t, s):
        h = t - s
        first, second = jax.random.split(key)
        dw = jnp.sqrt(h) * process.noise(first, state.x)
        dz = jnp.sqrt(h) * process.noise(second, state.x)
        mixed = (dw + dz / jnp.sqrt(3.0)) / 2  # the integral of w over the step, divided by its length
        at_data = process.sigma(s) == 0
        g_t = jnp.where(at_data, 0, jnp.sqrt(diffusion2(process, t)))
        g_s = jnp.where(at_data, 0, jnp.sqrt(diffusion2(process, jnp.where(at_data, t, s))))
        k1 = backward(state.x, t)
        k2 = backward(state.x + 0.75 * h * k1 + 1.5 * g_s * mixed, t - 0.75 * h)
        return State(state.x + h * (k1 + 2 * k2) / 3 + g_s * dw + (g_t - g_s) * mixed)

    return Sampler(State, step)


def _backward(process: Process, denoiser: Denoiser):
    """`-(f x - g² score)`: the drift for time that runs from noise to data."""
    score = to_score(process, denoiser)
    return lambda x, t: diffusion2(process, t) * score(x, t) - drift(process, t) * x
