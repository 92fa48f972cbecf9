"""Ancestral sampling: the reverse chain of Ho et al. 2020, algorithm 2.

    x_s ~ N(posterior mean of q(x_s | x_t, x̂_0), variance(s, t) I),  with no noise in the step that ends at the data

The two fixed variances bound the true one from both sides: `fixed_small` is right for data at a point, `fixed_large`
for standard normal data. Between them lie `learned_range`, which a network chooses (Nichol and Dhariwal 2021), and
`analytic`, the best single number for a denoiser (Bao et al. 2022): the posterior's variance plus what is uncertain
about x_0,

    variance(s, t) = fixed_small + of_x_0² (sigma / alpha)² (1 - Gamma(t)),        Gamma(t) = E |eps(x_t)|² / dimension

Steps may be of any length; neighbors on the training chain give the paper's sampler.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.process import Process, perturb, posterior, transition
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Constraint, Denoiser, Key, as_time, expand

__all__ = [
    "Variance",
    "analytic",
    "ancestral",
    "between",
    "fixed_large",
    "fixed_small",
    "learned_range",
    "mean_square_eps",
]

Variance = Callable[[Process, Array, Array, Array], Array]
"""`(process, x_t, s, t) -> variance` of a step from t to s: a scalar, or shaped like x_t."""


def fixed_small(process: Process, x_t: Array, s: Array, t: Array) -> Array:
    """The variance of q(x_s | x_t, x_0): "beta-tilde"."""
    return posterior(process, s, t)[2]


def fixed_large(process: Process, x_t: Array, s: Array, t: Array) -> Array:
    """The variance of q(x_t | x_s): "beta"."""
    return transition(process, s, t)[1]


def between(process: Process, fraction: Array, s: Array, t: Array) -> Array:
    """The variance that is `fraction` of the way from `fixed_small` to `fixed_large`, in their logarithms.

    In the step to the data `fixed_small` is 0; there the variance of the step before it, from 2t to t, takes its place,
    as in the code of Nichol and Dhariwal, and `fixed_large` in a chain of one step.
    """
    large, half = transition(process, s, t)[1], t <= 0.5
    before = posterior(process, jnp.where(half, t, 0.5), jnp.where(half, 2 * t, 1.0))[2]
    at_data = process.sigma(s) == 0
    small = jnp.where(at_data, jnp.where(half, before, large), posterior(process, s, t)[2])
    large, small = expand(large, fraction), expand(small, fraction)
    return jnp.exp(fraction * jnp.log(large) + (1 - fraction) * jnp.log(small))


def learned_range(fraction: Callable[[Array, Array], Array]) -> Variance:
    """`between` the two fixed variances by `fraction(x_t, t)` (Improved DDPM, equation 15; `jaxdiff.losses.hybrid`).

    A fraction that is read from the denoiser's own network costs no second pass: the two calls are one after
    compilation.
    """
    return lambda process, x_t, s, t: between(process, fraction(x_t, t), s, t)


def analytic(times: Array, gamma: Array) -> Variance:
    """The optimal variance, from `gamma = mean_square_eps(...)` at the times that the grid visits, in any order.

    Where alpha = 0, x_t says nothing of x_0, whose variance is taken to be 1, as `jaxdiff.gaussian.process.prior` does.
    """
    order = jnp.argsort(jnp.asarray(times))
    times, gamma = jnp.asarray(times)[order], jnp.asarray(gamma)[order]

    def variance(process, x_t, s, t):
        _, of_x_0, small = posterior(process, s, t)
        alpha, left = process.alpha(t), jnp.clip(1 - jnp.interp(t, times, gamma), 0, 1)
        known = alpha > 1e-6
        unsure = jnp.where(known, (process.sigma(t) / jnp.where(known, alpha, 1)) ** 2 * left, 1.0)
        return small + of_x_0**2 * unsure

    return variance


def mean_square_eps(process: Process, denoiser: Denoiser, key: Key, x_0: Array, times: Array) -> Array:
    """Gamma at each of `times` (n,), all above 0: the mean square of the denoiser's eps on data x_0 (batch, ...)."""

    def at(along):
        i, t = along
        x_t, _ = perturb(process, jax.random.fold_in(key, i), x_0, t)
        square = ((x_t - process.alpha(t) * denoiser(x_t, t)) / process.sigma(t)) ** 2
        return square.sum() / process.space.dimension(x_0).sum()

    times = as_time(times, x_0)
    return jax.lax.map(at, (jnp.arange(len(times)), times))


def ancestral(
    process: Process,
    denoiser: Denoiser,
    variance: Variance = fixed_small,
    temperature: float | Array = 1.0,
    constrain: Constraint = lambda x_0: x_0,
) -> Sampler:
    """The reverse chain.

    Args:
      variance: `fixed_small`, `fixed_large`, `learned_range(...)`, `analytic(...)` or any function like them.
      temperature: factor on the noise that each step adds; x_1 is drawn as it is.
      constrain: applied to x̂_0, such as `jaxdiff.gaussian.denoiser.clip(1.0)`.
    """

    def step(key, state, t, s):
        x_0 = constrain(denoiser(state.x, t))
        of_x_t, of_x_0, _ = posterior(process, s, t)
        std = jnp.where(process.sigma(s) > 0, jnp.sqrt(variance(process, state.x, s, t)), 0)
        return State(of_x_t * state.x + of_x_0 * x_0 + temperature * std * process.noise(key, state.x))

    return Sampler(State, step)
