"""Ancestral sampling: the reverse chain of Ho et al. 2020, algorithm 2.

    x_s ~ N(posterior mean of q(x_s | x_t, x̂_0), variance(s, t) I),  with no noise in the step that ends at the data

The two variances bound the true one from both sides: `fixed_small` is right for data at a point, `fixed_large` for
standard normal data. Steps may be of any length; neighbours on the training chain give the paper's sampler.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxdiff.process import Process, posterior, transition
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Constraint, Denoiser

Variance = Callable[[Process, Array, Array], Array]


def fixed_small(process: Process, s: Array, t: Array) -> Array:
    """The variance of q(x_s | x_t, x_0): "beta-tilde"."""
    return posterior(process, s, t)[2]


def fixed_large(process: Process, s: Array, t: Array) -> Array:
    """The variance of q(x_t | x_s): "beta"."""
    return transition(process, s, t)[1]


def ancestral(
    process: Process,
    denoiser: Denoiser,
    variance: Variance = fixed_small,
    temperature: float | Array = 1.0,
    constrain: Constraint = lambda x_0: x_0,
) -> Sampler:
    """The reverse chain.

    Args:
      variance: `fixed_small`, `fixed_large` or any function `(process, s, t) -> variance`.
      temperature: factor on the noise that each step adds.
      constrain: applied to x̂_0, such as `jaxdiff.denoiser.clip(1.0)`.
    """

    def step(key, state, t, s):
        x_0 = constrain(denoiser(state.x, t))
        of_x_t, of_x_0, _ = posterior(process, s, t)
        std = jnp.where(process.sigma(s) > 0, jnp.sqrt(variance(process, s, t)), 0)
        return State(of_x_t * state.x + of_x_0 * x_0 + temperature * std * process.noise(key, state.x))

    return Sampler(State, step)
