"""DDRM (Kawar et al. 2022): restoring y = A x_0 + sigma_y n, a chain of its own for each direction that A tells apart.

With A = U S Vᵀ, a bar for coordinates in V, and r = sigma / alpha the noise level, a step to time s is (equations 7
and 8, at any scale of x)

    x̄_s / alpha_s = x̂̄_0 + r_s (sqrt(1 - eta²) eps̄ + eta z)                                  where S = 0
                  = x̂̄_0 + r_s (sqrt(1 - eta²) (Uᵀy - S x̂̄_0) / sigma_y + eta z)              where S r_s < sigma_y
                  = (1 - eta_b) x̂̄_0 + eta_b Uᵀy / S + sqrt(r_s² - (eta_b sigma_y / S)²) z    elsewhere

so that the noise of x_s is that of its time: if x̂_0 were the truth, x_s ~ N(alpha_s x_0, sigma_s²) exactly. The chain
begins (equation 6) at x̄_1 / alpha_1 = Uᵀy / S + sqrt(r_1² - (sigma_y / S)²) z where S r_1 is above sigma_y, and with
noise alone elsewhere.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import Process, require_white
from jaxdiff.gaussian.space import everywhere
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Denoiser, Operator

__all__ = ["Spectrum", "begin", "ddrm", "of_mask", "of_operator"]


class Spectrum(NamedTuple):
    """A linear operator as its singular value decomposition has it. A row of coordinates is what A mixes.

    Attributes:
      turn: Vᵀ, from images (batch, ...) to rows (rows, n).
      back: V, and so its inverse.
      measured: Uᵀ, from measurements to rows (rows, n), with 0 where A tells nothing.
      values: S, broadcast against (rows, n); 0 where A tells nothing.
    """

    turn: Callable[[Array], Array]
    back: Callable[[Array], Array]
    measured: Callable[[Array], Array]
    values: Array


def of_mask(mask: Array) -> Spectrum:
    """The SVD of an inpainting mask of the shape of the images, which is diagonal in pixel space."""
    flat = lambda x: x.reshape(len(mask), -1)
    return Spectrum(flat, lambda rows: rows.reshape(mask.shape), flat, flat(mask))


def of_operator(operator: Operator, shape: Sequence[int], mixed: Sequence[int] | None = None) -> Spectrum:
    """The SVD of any operator, from its matrix, which is made and decomposed.

    Args:
      shape: of an image, (height, width, channels).
      mixed: the axes of `shape` that it mixes, by default all; along the others it does the same everywhere. The
        matrix has as many columns as there are numbers along these: (0, 1) of 28x28 pixels are 784.
    """
    mixed = range(len(shape)) if mixed is None else mixed
    kept = [axis for axis in range(len(shape)) if axis not in mixed]
    first, sides = range(1, 1 + len(kept)), [shape[axis] for axis in mixed]
    n = math.prod(sides)
    basis = jnp.eye(n).reshape(n, *(side if axis in mixed else 1 for axis, side in enumerate(shape)))
    U, values, Vt = jnp.linalg.svd(operator(basis).reshape(n, -1).T)
    known, hidden = len(values), ((0, 0), (0, n - len(values)))
    values = jnp.where(values > 1e-6 * values[0], values, 0)

    def rows(x, size):
        return jnp.moveaxis(x, [1 + axis for axis in kept], first).reshape(-1, size)

    def back(x):
        images = (x @ Vt).reshape(-1, *(shape[axis] for axis in kept), *sides)
        return jnp.moveaxis(images, first, [1 + axis for axis in kept])

    return Spectrum(
        turn=lambda x: rows(x, n) @ Vt.T,
        back=back,
        measured=lambda y: jnp.pad((rows(y, len(U)) @ U)[:, :known], hidden),
        values=jnp.pad(values[None], hidden),
    )


def ddrm(
    process: Process,
    denoiser: Denoiser,
    spectrum: Spectrum,
    y: Array,
    noise: float | Array,
    eta: float | Array = 0.85,
    eta_b: float | Array = 1.0,
) -> Sampler:
    """The sampler of DDRM.

    Args:
      spectrum: of the operator.
      y: the measurement, (batch, ...).
      noise: sigma_y, its standard deviation; it may be 0.
      eta: in [0, 1], how much of the noise is drawn anew where y tells nothing, or less than x_t does.
      eta_b: in [0, 1], how much of what y tells is taken where it tells more.

    Raises:
      InputError: the process has noise other than `normal`, or its data lives in a part of R^n.
    """
    require_white(process, "DDRM")
    if process.space is not everywhere:
        raise InputError("DDRM: its directions are those of all of R^n, and this data lives in a part: take pigdm")
    S, seen = spectrum.values, spectrum.measured(y)
    kept = jnp.sqrt(1 - jnp.square(jnp.asarray(eta, y.dtype)))

    def step(key, state, t, s):
        x_0 = denoiser(state.x, t)
        eps = spectrum.turn((state.x - process.alpha(t) * x_0) / process.sigma(t))
        x_0, z = spectrum.turn(x_0), spectrum.turn(process.noise(key, state.x))
        level = process.sigma(s) / process.alpha(s)
        told = (seen - S * x_0) / jnp.where(noise > 0, noise, 1)
        below = x_0 + level * (kept * jnp.where(S > 0, told, eps) + eta * z)
        exact, error = seen / jnp.where(S > 0, S, 1), noise / jnp.where(S > 0, S, 1)
        left = jnp.sqrt(jnp.maximum(level**2 - (eta_b * error) ** 2, 0))
        above = (1 - eta_b) * x_0 + eta_b * exact + left * z
        x = spectrum.back(jnp.where((S > 0) & (S * level >= noise), above, below))
        return State(process.alpha(s) * x)

    return Sampler(State, step)


def begin(process: Process, x_1: Array, spectrum: Spectrum, y: Array, noise: float | Array, t: Array) -> Array:
    """x_t about the measurement, with which the chain starts, from the noise x_1, (batch, ...), that `prior` draws."""
    S, rows = spectrum.values, spectrum.turn(x_1)
    alpha, sigma = process.alpha(t), process.sigma(t)
    error = alpha * noise / jnp.where(S > 0, S, 1)
    unit = rows / jnp.sqrt(alpha**2 + sigma**2)
    told = alpha * spectrum.measured(y) / jnp.where(S > 0, S, 1)
    about = told + jnp.sqrt(jnp.maximum(sigma**2 - error**2, 0)) * unit
    return spectrum.back(jnp.where((S > 0) & (sigma >= error), about, rows))
