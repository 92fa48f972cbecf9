"""Twisted diffusion sampling (Wu et al. 2023): the posterior given y = A x_0 + sigma_y n, without bias.

The batch is one swarm of particles that share a measurement. Each step moves them with a guided ancestral step, weighs
them for what the guidance, an approximation, got wrong, and draws as many anew by their weights:

    x_s ~ q(x_s | x_t, y),      w = p(x_s | x_t) l(y | x_s) / (q(x_s | x_t, y) l(y | x_t)),
    l(y | x_t) = N(y; A x̂_0(x_t), (sigma_y² + r_t²) I)

with r_t² the variance of x_0 given x_t, for data of a given spread. Whatever l is, the swarm tends to the posterior as
it and the steps grow, since l(y | x_0) is the likelihood. That takes a swarm that is large for the dimension of y: some
tens, not thousands. `jaxdiff.guidance.linear` has what scales, and is biased.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.denoiser import score_scale
from jaxdiff.gaussian.process import Process, interior, posterior, require_white
from jaxdiff.guidance.linear import posterior_variance
from jaxdiff.samplers.base import Sampler
from jaxdiff.types import Array, Denoiser, Key, Operator

__all__ = ["Swarm", "systematic", "twisted"]


class Swarm(NamedTuple):
    """The particles, and whether l(y | x_t) has been weighed already: 1, or 0 where x_t is fresh from the prior.

    Noise that leads back from a swarm that was weighed does not undo it.
    """

    x: Array
    weighed: Array


def twisted(
    process: Process, denoiser: Denoiser, operator: Operator, y: Array, noise: float | Array, std: float | Array = 1.0
) -> Sampler:
    """The sampler of a swarm.

    Args:
      y: one measurement, (1, ...).
      noise: sigma_y, above 0.
      std: the spread of the data.

    Raises:
      InputError: the process has noise other than `normal`.
    """
    require_white(process, "twisted sampling")

    def log_twist(x, x_0, t):
        distance = jnp.sum((y - operator(x_0)).reshape(x.shape[0], -1) ** 2, axis=1)
        variance = noise**2 + posterior_variance(process, t, std)
        return -0.5 * (distance / variance + y.size * jnp.log(variance))

    def approached(x, t):
        x_0 = denoiser(x, t)
        return log_twist(x, x_0, t), x_0

    def init(x):
        return Swarm(x, jnp.zeros((), x.dtype))

    def step(key, state, t, s):
        key_move, key_draw = jax.random.split(key)
        (before, x_0), back = _with_gradient(approached, state.x, interior(process, t))
        of_x_t, of_x_0, variance = posterior(process, s, t)
        moves = variance > 0  # not at the end, where sigma_s = 0 and x_s is x̂_0
        led = jnp.where(moves, of_x_0 * score_scale(process, interior(process, t)), 0)
        guidance = led * process.space.project(back)
        noise_s = jnp.sqrt(variance) * process.noise(key_move, state.x)
        x_s = of_x_t * state.x + of_x_0 * x_0 + guidance + noise_s
        # At the data x_s is x_0, and a network is not asked, which may be undefined there.
        x_0_s = jax.lax.cond(process.sigma(s) > 0, denoiser, lambda x, s: x / process.alpha(s), x_s, s)
        after = log_twist(x_s, x_0_s, s)
        # log p - log q, of two Gaussians whose means differ by the guidance
        flat = lambda z: z.reshape(z.shape[0], -1)
        excess = jnp.sum(flat(noise_s) ** 2 - flat(noise_s + guidance) ** 2, axis=1)
        log_weight = after - state.weighed * before + 0.5 * excess / jnp.where(moves, variance, 1)
        return Swarm(x_s[systematic(key_draw, log_weight)], jnp.ones_like(state.weighed))

    return Sampler(init, step, lambda state, x: state._replace(x=x))


def systematic(key: Key, log_weight: Array) -> Array:
    """Systematic resampling: n indices, each as often as its weight says, rounded up or down (Kitagawa 1996)."""
    n = log_weight.shape[0]
    edges = jnp.cumsum(jax.nn.softmax(log_weight))
    return jnp.minimum(jnp.searchsorted(edges, (jnp.arange(n) + jax.random.uniform(key)) / n), n - 1)


def _with_gradient(function, x, t):
    """`function(x, t) -> (each, more)`, and the gradient of each by its own x."""

    def total(x):
        each, more = function(x, t)
        return jnp.sum(each), (each, more)

    gradient, value = jax.grad(total, has_aux=True)(x)
    return value, gradient
