"""Gaussians and their mixtures, whose denoisers are exact: oracles for samplers, losses and likelihoods.

For data from `sum_k w_k N(m_k, diag(s_k²))`, `x_t` is the mixture `sum_k w_k N(alpha m_k, diag(alpha² s_k² + sigma²))`,
and with r_k the posterior probability of component k given x_t,

    E[x_0 | x_t] = sum_k r_k (m_k + alpha s_k² / (alpha² s_k² + sigma²) (x_t - alpha m_k))
"""

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.denoiser import _column, _joint_log_density
from jaxdiff.gaussian.process import Process
from jaxdiff.types import Array, Denoiser, as_time, expand

__all__ = ["gaussian", "gaussian_mixture", "mixture_log_density"]


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


def gaussian(process: Process, mean: Array, covariance: Array) -> Denoiser:
    """The exact denoiser of data from N(mean, covariance), also where each frame has a time of its own.

    With A and D the diagonal matrices of alpha and sigma² of each entry,

        E[x_0 | x_t] = m + S Aᵀ (A S Aᵀ + D)⁻¹ (x_t - A m)

    which is computed along the eigenvectors of S where all entries share a time, (batch,) or a scalar, and by Cholesky
    where t is (batch, frames), x_t being (batch, frames, ...).

    Args:
      mean: (...), shaped like one example.
      covariance: (d, d), of the example's d entries, row by row; it may be singular.
    """
    mean = jnp.asarray(mean)
    covariance = jnp.asarray(covariance, mean.dtype)
    variances, directions = jnp.linalg.eigh(covariance)
    variances = jnp.maximum(variances, 0)

    def shared(x_t, t):
        alpha, sigma = (expand(coefficient(t), x_t) for coefficient in (process.alpha, process.sigma))
        along = (x_t - alpha * mean).reshape(x_t.shape[0], -1) @ directions
        alpha, sigma = (jnp.reshape(c, (-1, 1)) for c in (alpha, sigma))
        gain = alpha * variances / (alpha**2 * variances + sigma**2)
        return mean + ((gain * along) @ directions.T).reshape(x_t.shape)

    def each(x_t, t):
        entries = lambda c: jnp.broadcast_to(expand(c, x_t), x_t.shape).reshape(x_t.shape[0], -1)
        alpha, sigma = entries(process.alpha(t)), entries(process.sigma(t))
        noisy = alpha[:, :, None] * covariance * alpha[:, None]
        noisy = noisy + jax.vmap(jnp.diag)(sigma**2)
        rest = (x_t - alpha.reshape(x_t.shape) * mean).reshape(x_t.shape[0], -1, 1)
        weights = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(noisy), True), rest)[..., 0]
        return mean + ((alpha * weights) @ covariance).reshape(x_t.shape)

    def denoise(x_t, t):
        t = as_time(t, x_t)
        return each(x_t, t) if t.ndim > 1 else shared(x_t, t)

    return denoise
