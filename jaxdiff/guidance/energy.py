"""Guidance by a density, such as a classifier's, or by an energy of the data.

q(x_t) p(y | x_t)^w                x̂ + w sigma² / alpha ∇ log p(y | x_t)    (Dhariwal and Nichol 2021)

The gradient is that along the space of the process (`jaxdiff.gaussian.space`), which x̂_0 does not leave.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.denoiser import score_scale
from jaxdiff.gaussian.process import Process, interior, require_white
from jaxdiff.types import Array, Denoiser, as_time, expand

__all__ = ["LogDensity", "by_density", "by_energy"]

LogDensity = Callable[[Array, Array], Array]
"""`(x_t, t) -> log q(x_t)` or `log p(y | x_t)`, (batch,), up to a constant."""


def by_density(process: Process, denoiser: Denoiser, log_density: LogDensity, scale: float | Array = 1.0) -> Denoiser:
    """Follow the gradient of `log_density`, such as a classifier's log p(y | x_t), trained on noisy images.

    Where alpha = 0 the factor on the gradient is infinite and the gradient 0; their product, E[x_0 | y] - E[x_0] at
    scale 1, is taken just before (`jaxdiff.gaussian.process.interior`).

    Raises:
      InputError: the process has noise other than `normal`.
    """
    require_white(process, "guidance by a density")

    def denoise(x_t, t):
        t = interior(process, as_time(t, x_t))
        gradient = jax.grad(lambda x: jnp.sum(log_density(x, t)))(x_t)
        return denoiser(x_t, t) + process.space.project(scale * expand(score_scale(process, t), x_t) * gradient)

    return denoise


def by_energy(
    process: Process, denoiser: Denoiser, energy: Callable[[Array], Array], scale: float | Array = 1.0
) -> Denoiser:
    """Lower an energy of the data, (batch, ...) -> (batch,), taken at x̂_0: p(x_0) exp(-scale energy), roughly.

    Exact for x_0 known from x_t; at high noise the energy of a mean stands for the mean of an energy (Bansal et al.
    2023, universal guidance). Where alpha = 0, as in `by_density`.

    Raises:
      InputError: the process has noise other than `normal`.
    """
    require_white(process, "guidance by an energy")

    def denoise(x_t, t):
        t = interior(process, as_time(t, x_t))
        x_0, back = jax.vjp(lambda x: denoiser(x, t), x_t)
        (gradient,) = back(jax.grad(lambda x: jnp.sum(energy(x)))(x_0))
        return x_0 - process.space.project(scale * expand(score_scale(process, t), x_t) * gradient)

    return denoise
