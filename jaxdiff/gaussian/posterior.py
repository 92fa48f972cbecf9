"""Posterior: `(key, x_t, t) -> x_0`, a draw of q(x_0 | x_t), where a denoiser has its mean.

With draws in place of means a step of any length is exact: `x_0 ~ q(x_0 | x_t)`, then `x_s ~ q(x_s | x_t, x_0)`, is
x_s of the reverse chain. It is what the generator of a denoising diffusion GAN learns (Xiao et al. 2022). Of a Gaussian
mixture the draw is exact: a component by its responsibility, then

    x_0 ~ N(m + alpha s² / v (x_t - alpha m), s² sigma² / v),        v = alpha² s² + sigma²
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.denoiser import _column, _joint_log_density
from jaxdiff.gaussian.process import Process
from jaxdiff.types import Array, Key

__all__ = ["Posterior", "mixture_posterior"]

Posterior = Callable[[Key, Array, Array], Array]
"""`(key, x_t, t) -> x_0`, drawn from q(x_0 | x_t), shaped like x_t; t is a scalar or (batch,)."""


def mixture_posterior(process: Process, weights: Array, means: Array, stds: Array) -> Posterior:
    """The exact posterior of data from a Gaussian mixture; the arguments are those of `gaussian_mixture`."""
    weights, means, stds = (jnp.asarray(array) for array in (weights, means, stds))
    stds = jnp.broadcast_to(stds, means.shape)

    def draw(key, x_t, t):
        key_component, key_noise = jax.random.split(key)
        log_joint = _joint_log_density(process, weights, means, stds, x_t, t)
        chosen = jax.random.categorical(key_component, log_joint, axis=1, mode="high")
        alpha, sigma = (jnp.squeeze(_column(c, t, means), 1) if jnp.ndim(t) else c(t) for c in process[:2])
        mean, std = means[chosen], stds[chosen]
        variance = (alpha * std) ** 2 + sigma**2
        center = mean + alpha * std**2 / variance * (x_t - alpha * mean)
        return center + std * sigma / jnp.sqrt(variance) * jax.random.normal(key_noise, x_t.shape, x_t.dtype)

    return draw
