"""Gaussian mixtures, whose denoiser is exact: the oracle that samplers, losses and likelihoods are tested against.

For data from `sum_k w_k N(m_k, diag(s_k²))`, `x_t` is the mixture `sum_k w_k N(alpha m_k, diag(alpha² s_k² + sigma²))`,
and with r_k the posterior probability of component k given x_t,

    E[x_0 | x_t] = sum_k r_k (m_k + alpha s_k² / (alpha² s_k² + sigma²) (x_t - alpha m_k))
"""

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.denoiser import _column, _joint_log_density
from jaxdiff.gaussian.process import Process
from jaxdiff.types import Array, Denoiser

__all__ = ["gaussian_mixture", "mixture_log_density"]


def gaussian_mixture(process: Process, weights: Array, means: Array, stds: Array) -> Denoiser:
    """The exact denoiser of data from a Gaussian mixture.

    Args:
      weights: (components,), positive; normalized to sum to one.
      means: (components, ...), the trailing axes those of one example.
      stds: broadcast against means: (components, 1, ...) for round components, shaped like means for stretched ones.
    """
    weights, means, stds = (jnp.asarray(array) for array in (weights, means, stds))

    def denoise(x_t, t):
        x, alpha, sigma = x_t[:, None], _column(process.alpha, t, means), _column(process.sigma, t, means)
        posterior_mean = means + alpha * stds**2 / ((alpha * stds) ** 2 + sigma**2) * (x - alpha * means)
        r = jax.nn.softmax(_joint_log_density(process, weights, means, stds, x_t, t), axis=1)
        return jnp.einsum("bk,bk...->b...", r, posterior_mean)

    return denoise


def mixture_log_density(process: Process, weights: Array, means: Array, stds: Array):
    """`(x_t, t) -> log q(x_t)`, (batch,) in nats, for data from the same Gaussian mixture."""
    weights, means, stds = (jnp.asarray(array) for array in (weights, means, stds))
    return lambda x_t, t: jax.nn.logsumexp(_joint_log_density(process, weights, means, stds, x_t, t), axis=1)
