"""Restore: the image behind a measurement y = A x_0 + sigma_y n, for any linear A, with a model that never saw A.

With V the covariance of x_0 given x_t, the posterior mean given y too is, for Gaussian data exactly,

    x̂_0 + V Aᵀ (sigma_y² + A W Aᵀ)⁻¹ (y - A x̂_0),        V = sigma² / alpha ∂x̂_0/∂x_t

    moment_matching   W = V                    the posterior of the best Gaussian (Rozet et al. 2024, equation 14)
    pigdm             W = r² I                 with r² the variance of data of a given spread (Song et al. 2023)
    ddnm              W = r² I, and V = r² I   no derivative of the network; without noise, x̂_0 + A⁺ (y - A x̂_0)
                                               (Wang et al. 2023; with noise, its pseudo-inverse is damped)

each denoiser -> denoiser, for any sampler. `dps` (Chung et al. 2023) corrects each step of a sampler instead. Systems
are solved by conjugate gradients, so that A is only ever applied, forth and back. All of it takes the noise of the
process to be white, and refuses another.

`begin` starts a chain at the measurement. That saves steps, and an error of ∂x̂_0/∂x_t counts sigma² / alpha times in V:
start where the noise is a few times as large as the data, not where it is a thousand times.

A is a function of (batch, ...) that treats each example alone, such as those of `jaxdiff.modalities.images.operators`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.denoiser import score_scale
from jaxdiff.gaussian.process import Process, interior
from jaxdiff.types import Array, Denoiser, Operator, as_time, expand

__all__ = ["begin", "posterior_variance"]


def begin(process: Process, x_1: Array, operator: Operator, y: Array, noise: float | Array, t: Array) -> Array:
    """x_t about what a measurement alone tells of x_0, from the noise x_1, (batch, ...), that `prior` draws at t.

    That is the mean of x_0 given y for data N(0, I): A⁺ y without noise, and 0 where A tells nothing.
    """
    told = _pull(process, operator, y, x_1, jnp.ones((), x_1.dtype), noise, 5)
    return expand(process.alpha(as_time(t, x_1)), x_1) * told + x_1


def _with_covariance(process: Process, denoiser: Denoiser, x_t: Array, t: Array):
    """x̂_0, and its covariance as a function `v -> V v`."""
    t = interior(process, as_time(t, x_t))
    x_0, back = jax.vjp(lambda x: denoiser(x, t), x_t)
    return x_0, lambda v: process.space.project(expand(score_scale(process, t), v) * back(v)[0])


def _pull(process, operator, residual, x, variance, noise, iterations) -> Array:
    """Aᵀ (sigma_y² + A W Aᵀ)⁻¹ residual, shaped like x, with A on the space of the process, and W of each variance."""
    forth, back = _pair(process, operator, x)

    def apply(u):
        moved = back(u)
        return moved, noise**2 * u + forth(variance * moved)

    return _solve(apply, residual, x, iterations)


def posterior_variance(process: Process, t: Array, std: float | Array) -> Array:
    """r²: the variance of x_0 given x_t, shaped like t, for Gaussian data of this standard deviation."""
    t = jnp.asarray(t)
    alpha, sigma = process.alpha(t), process.sigma(t)
    return (std * sigma) ** 2 / ((std * alpha) ** 2 + sigma**2)


def _pair(process: Process, operator: Operator, x: Array) -> tuple[Operator, Operator]:
    """A on the space of the process, and its transpose, which leads into that."""
    inside = lambda x: operator(process.space.project(x))
    transposed = jax.linear_transpose(inside, x)
    return inside, lambda y: transposed(y)[0]


def _solve(apply: Callable[[Array], tuple[Array, Array]], b: Array, x: Array, iterations: int) -> Array:
    """B u, with M u = b by conjugate gradients, where `apply(u) -> (B u, M u)`; shaped like x.

    Each example is solved on its own, and one that has arrived stays where it is. B u is a sum over the iterations, so
    that B, which may be costly, is not applied once more.
    """
    dot = lambda a, b: jnp.sum((a * b).reshape(b.shape[0], -1), axis=1)
    ratio = lambda a, b: jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)

    def body(_, carry):
        total, r, p, rr = carry
        moved, q = apply(p)
        a = ratio(rr, dot(p, q))
        total, r = total + expand(a, moved) * moved, r - expand(a, q) * q
        new = dot(r, r)
        return total, r, r + expand(ratio(new, rr), p) * p, new

    return jax.lax.fori_loop(0, iterations, body, (jnp.zeros_like(x), b, b, dot(b, b)))[0]
