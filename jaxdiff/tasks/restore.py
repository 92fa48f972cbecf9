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

A is a function of (batch, ...) that treats each example alone, such as those at the end of this file.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.denoiser import lever
from jaxdiff.process import Process, interior, require_white
from jaxdiff.samplers.base import Sampler
from jaxdiff.types import Array, Denoiser, as_time, expand

Operator = Callable[[Array], Array]


def moment_matching(
    process: Process, denoiser: Denoiser, operator: Operator, y: Array, noise: float | Array, iterations: int = 5
) -> Denoiser:
    """The denoiser of the posterior, x_0 given x_t and y, as the covariance of the denoiser has it.

    Args:
      y: the measurement, (batch, ...).
      noise: sigma_y, its standard deviation.
      iterations: of conjugate gradients, each one derivative of the network.

    Raises:
      InputError: the process has noise other than `normal`.
    """
    require_white(process, "moment matching")

    def denoise(x_t, t):
        x_0, covariance = _with_covariance(process, denoiser, x_t, t)
        forth, back = _pair(operator, x_0)

        def apply(u):
            moved = covariance(back(u))
            return moved, noise**2 * u + forth(moved)

        return x_0 + _solve(apply, y - forth(x_0), x_0, iterations)

    return denoise


def pigdm(
    process: Process,
    denoiser: Denoiser,
    operator: Operator,
    y: Array,
    noise: float | Array,
    std: float | Array = 1.0,
    iterations: int = 5,
) -> Denoiser:
    """As `moment_matching`, with one derivative of the network; `std` is the spread of the data."""
    require_white(process, "PiGDM")

    def denoise(x_t, t):
        x_0, covariance = _with_covariance(process, denoiser, x_t, t)
        variance = spread(process, t, std)
        return x_0 + covariance(_pull(operator, y - operator(x_0), x_0, variance, noise, iterations))

    return denoise


def ddnm(
    process: Process,
    denoiser: Denoiser,
    operator: Operator,
    y: Array,
    noise: float | Array = 0.0,
    std: float | Array = 1.0,
    iterations: int = 5,
) -> Denoiser:
    """What of x̂_0 the measurement tells is replaced by it; the rest is left alone."""
    require_white(process, "DDNM")

    def denoise(x_t, t):
        x_0, variance = denoiser(x_t, t), spread(process, t, std)
        return x_0 + variance * _pull(operator, y - operator(x_0), x_0, variance, noise, iterations)

    return denoise


def dps(
    process: Process, denoiser: Denoiser, sampler: Sampler, operator: Operator, y: Array, scale: float | Array = 1.0
) -> Sampler:
    """Each step of `sampler`, then `scale` along the gradient of |y - A x̂_0(x_t)| (Chung et al. 2023, algorithm 1)."""
    require_white(process, "DPS")

    def step(key, state, t, s):
        def distance(x):
            return jnp.sum(_norm(y - operator(denoiser(x, t))))

        gradient = jax.grad(distance)(state.x)
        moved = sampler.step(key, state, t, s)
        return moved._replace(x=moved.x - scale * gradient)

    return Sampler(sampler.init, step)


def begin(process: Process, x_1: Array, operator: Operator, y: Array, noise: float | Array, t: Array) -> Array:
    """x_t about what a measurement alone tells of x_0, from the noise x_1, (batch, ...), that `prior` draws at t.

    That is the mean of x_0 given y for data N(0, I): A⁺ y without noise, and 0 where A tells nothing.
    """
    told = _pull(operator, y, x_1, jnp.ones((), x_1.dtype), noise, 5)
    return expand(process.alpha(as_time(t, x_1)), x_1) * told + x_1


def _with_covariance(process: Process, denoiser: Denoiser, x_t: Array, t: Array):
    """x̂_0, and its covariance as a function `v -> V v`."""
    t = interior(process, as_time(t, x_t))
    x_0, back = jax.vjp(lambda x: denoiser(x, t), x_t)
    return x_0, lambda v: expand(lever(process, t), v) * back(v)[0]


def _pull(operator, residual, x, variance, noise, iterations) -> Array:
    """Aᵀ (sigma_y² + variance A Aᵀ)⁻¹ residual, shaped like x."""
    forth, back = _pair(operator, x)

    def apply(u):
        moved = back(u)
        return moved, noise**2 * u + variance * forth(moved)

    return _solve(apply, residual, x, iterations)


def spread(process: Process, t: Array, std: float | Array) -> Array:
    """r²: the variance of x_0 given x_t at a scalar t, for Gaussian data of this standard deviation."""
    t = jnp.asarray(t)
    alpha, sigma = process.alpha(t), process.sigma(t)
    return (std * sigma) ** 2 / ((std * alpha) ** 2 + sigma**2)


def _pair(operator: Operator, x: Array) -> tuple[Operator, Operator]:
    """A and its transpose."""
    transposed = jax.linear_transpose(operator, x)
    return operator, lambda y: transposed(y)[0]


def _solve(apply: Callable[[Array], tuple[Array, Array]], b: Array, x: Array, iterations: int) -> Array:
    """B u, with M u = b by conjugate gradients, where `apply(u) -> (B u, M u)`; shaped like x.

    Each example is solved on its own, and one that has arrived stays where it is. B u is a sum over the iterations, so
    that B, which may be costly, is not applied once more.
    """
    dot = lambda a, b: jnp.sum((a * b).reshape(b.shape[0], -1), axis=1)  # noqa: E731
    ratio = lambda a, b: jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)  # noqa: E731

    def body(_, carry):
        total, r, p, rr = carry
        moved, q = apply(p)
        a = ratio(rr, dot(p, q))
        total, r = total + expand(a, moved) * moved, r - expand(a, q) * q
        new = dot(r, r)
        return total, r, r + expand(ratio(new, rr), p) * p, new

    return jax.lax.fori_loop(0, iterations, body, (jnp.zeros_like(x), b, b, dot(b, b)))[0]


def _norm(x: Array) -> Array:
    """Of each example; its gradient is 0 where it is 0."""
    square = jnp.sum(x.reshape(x.shape[0], -1) ** 2, axis=1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def masked(mask: Array) -> Operator:
    """Pixels that are known, where the mask is 1, and zeros elsewhere."""
    return lambda x: mask * x


def blurred(kernel: Array) -> Operator:
    """Each channel convolved with an odd square kernel, (size, size), and cut to the size of the image.

    What lies beyond the border is taken to be the mirror of what is inside.
    """
    margin = kernel.shape[0] // 2

    def operator(x):
        padded = jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
        planes = jnp.moveaxis(padded, -1, 1).reshape(-1, *padded.shape[1:3], 1)
        flipped = kernel[::-1, ::-1, None, None].astype(x.dtype)
        out = jax.lax.conv_general_dilated(planes, flipped, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jnp.moveaxis(out.reshape(x.shape[0], x.shape[-1], *x.shape[1:3]), 1, -1)

    return operator


def shrunk(factor: int) -> Operator:
    """The mean of each square of `factor` by `factor` pixels."""

    def operator(x):
        n, height, width, channels = x.shape
        return x.reshape(n, height // factor, factor, width // factor, factor, channels).mean((2, 4))

    return operator


def grey() -> Operator:
    """The mean of the channels."""
    return lambda x: x.mean(-1, keepdims=True)
