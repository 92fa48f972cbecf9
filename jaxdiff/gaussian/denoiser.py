"""Denoiser: `(x_t, t) -> x̂_0 = E[x_0 | x_t]`, all that the rest of the library ever asks of a network.

What else is said of a diffusion model is the denoiser in other words:

    score        ∇ log q(x_t) = (alpha x̂_0 - x_t) / sigma²
    velocity     dx/dt = (sigma' / sigma) x_t + (alpha' - alpha sigma' / sigma) x̂_0        (the probability flow)
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.gaussian.noise import kind
from jaxdiff.gaussian.parameterization import Parameterization, evaluate, to_x0
from jaxdiff.gaussian.process import Process, log_snr, on, time_at, with_slopes
from jaxdiff.types import Array, Condition, Constraint, Denoiser, Key, Network, Params, as_time, expand, per_example

__all__ = [
    "check_levels",
    "clip",
    "dynamic_threshold",
    "make_denoiser",
    "score_scale",
    "to_score",
    "to_velocity",
    "transfer",
]


def make_denoiser(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    params: Params,
    condition: Condition | None = None,
    key: Key | None = None,
) -> Denoiser:
    """Bind a network to its parameters and condition, and to a key if it trains: the denoiser that it stands for.

    Its x̂_0 lies in the space of the process, `on` this condition.
    """
    process = on(process, condition)

    def denoise(x_t, t):
        t = per_example(t, x_t)
        out = evaluate(process, parameterization, network, params, x_t, t, condition, key)
        return process.space.project(to_x0(process, parameterization, out, x_t, t))

    return denoise


def to_score(process: Process, denoiser: Denoiser):
    """`(x_t, t) -> ∇ log q(x_t)`, shaped like x_t."""

    def score(x_t, t):
        t = as_time(t, x_t)
        return (expand(process.alpha(t), x_t) * denoiser(x_t, t) - x_t) / expand(process.sigma(t), x_t) ** 2

    return score


def score_scale(process: Process, t: Array) -> Array:
    """sigma² / alpha, by which a term of the score of white noise moves x̂_0.

    Infinite where alpha = 0, where the score's term is 0: take both at `process.interior(process, t)`.
    """
    return process.sigma(t) ** 2 / process.alpha(t)


def to_velocity(process: Process, denoiser: Denoiser):
    """`(x_t, t) -> dx/dt` of the probability flow, with the process's marginals (Song et al. 2021, section 4.3)."""

    def velocity(x_t, t):
        t = as_time(t, x_t)
        (alpha, sigma), slopes = with_slopes(process, t)
        growth = slopes[1] / sigma
        return expand(growth, x_t) * x_t + expand(slopes[0] - alpha * growth, x_t) * denoiser(x_t, t)

    return velocity


def transfer(process: Process, to: Process, denoiser: Denoiser) -> Denoiser:
    """The denoiser of process `to`, from one of `process`: any model can be sampled along any path.

    Where two processes have the same log-SNR, their x_t differ by a factor alone.

    Raises:
      InputError: the processes add noise of two kinds, such as normal and simplex noise.
    """
    if kind(process.noise) is not kind(to.noise):
        raise InputError("transfer: the two processes add noise of two kinds: give both the same `noise`")

    def denoise(x_t, t):
        t = as_time(t, x_t)
        there = time_at(process, log_snr(to, t))
        # Both alphas follow from the one log-SNR, and for alpha near 0 their ratio is that of the sigmas.
        by_sigma = to.sigma(t) > to.alpha(t)
        of = jnp.where(by_sigma, process.sigma(there), process.alpha(there))
        return denoiser(expand(of / jnp.where(by_sigma, to.sigma(t), to.alpha(t)), x_t) * x_t, there)

    return denoise


def _joint_log_density(process, weights, means, stds, x_t, t):
    """log (w_k N(x_t; alpha m_k, diag(alpha² s_k² + sigma²))): (batch, components)."""
    alpha, sigma = _column(process.alpha, t, means), _column(process.sigma, t, means)
    variance = (alpha * stds) ** 2 + sigma**2
    terms = (x_t[:, None] - alpha * means) ** 2 / variance + jnp.log(2 * jnp.pi * variance)
    return jnp.log(weights / weights.sum()) - 0.5 * terms.reshape(*terms.shape[:2], -1).sum(-1)


def _column(coefficient, t, means):
    """A coefficient at t, scalar or (batch,), with axes to broadcast against (batch, components, ...)."""
    value = coefficient(jnp.asarray(t, means.dtype))
    return value.reshape(value.shape + (1,) * means.ndim) if value.ndim else value


def clip(bound: float | Array = 1.0) -> Constraint:
    """Clip x̂_0 to [-bound, bound] (Ho et al. 2020); an infinite bound leaves it alone."""
    return lambda x_0: jnp.clip(x_0, -bound, bound)


def dynamic_threshold(quantile: float | Array = 0.995, bound: float | Array = 1.0) -> Constraint:
    """Clip each x̂_0 to the given quantile of its own |x̂_0|, then scale it back into [-bound, bound].

    Images whose quantile is within the bound are clipped to the bound alone (Saharia et al. 2022, section 2.3); so all
    are, where the bound is infinite, left alone.
    """

    def constrain(x_0):
        size = jnp.abs(x_0).reshape(x_0.shape[0], -1)
        threshold = expand(jnp.maximum(jnp.quantile(size, quantile, axis=1), bound), x_0)
        factor = jnp.where(threshold > bound, bound / threshold, 1)
        return jnp.clip(x_0, -threshold, threshold) * factor

    return constrain


def check_levels(what: str, process: Process, path: Process, times: np.ndarray, enough: float = np.inf) -> None:
    """Refuse times on a path at which the noise is beyond all that another process has, by more than 1 %.

    Args:
      what: that was made for the other process.
      times: without a last one at the data, where nothing is asked of a network.
      enough: a noise level sigma / alpha above which it does not matter, as the data is drowned.
    """
    with jax.ensure_compile_time_eval():
        logs = jax.jit(log_snr, static_argnums=0)
        least, most = (np.exp(-0.5 * float(logs(process, jnp.float32(t)))) for t in (0, 1))
        levels = np.exp(-0.5 * np.asarray(logs(path, jnp.asarray(times, jnp.float32)), np.float64))
    if levels.max() > 1.01 * most < enough or levels.min() < least / 1.01:
        raise InputError(
            f"{what}: knows noise levels (sigma / alpha) from {least:.4g} to {most:.4g}, and the way of sampling has "
            f"some from {levels.min():.4g} to {levels.max():.4g}: choose a process or a grid (t_max, t_min) within"
        )
