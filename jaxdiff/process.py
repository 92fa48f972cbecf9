"""Process: how data turns to noise, `x_t = alpha(t) x_0 + sigma(t) eps`.

Everything else about a Gaussian process follows from alpha and sigma. With `lambda(t) = log(alpha² / sigma²)`, the
log signal-to-noise ratio, which falls from the data (t = 0) to the noise (t = 1):

    dx = f x dt + g dw              f = alpha' / alpha        g² = 2 sigma (sigma' - f sigma)
    q(x_t | x_s), s < t             mean (alpha_t / alpha_s) x_s              variance sigma_t² (1 - e^-drop)
    q(x_s | x_t, x_0)               mean (alpha_t sigma_s²) / (alpha_s sigma_t²) x_t + alpha_s (1 - e^-drop) x_0
                                    variance sigma_s² (1 - e^-drop)

where `drop = lambda(s) - lambda(t) >= 0` (Kingma et al. 2021, appendix A). A short step makes `drop` small, a
difference of nearly equal numbers; so a process may bring its own exact `drop`, as the discrete chain does.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.types import Array, Key, Noise, TimeFunction, expand


def normal(key: Key, x: Array) -> Array:
    """Standard normal noise, shaped and typed like x."""
    return jax.random.normal(key, x.shape, x.dtype)


class Process(NamedTuple):
    """`x_t = alpha(t) x_0 + sigma(t) eps`, for t in [0, 1], with alpha falling, sigma rising and eps from `noise`."""

    alpha: TimeFunction
    sigma: TimeFunction
    noise: Noise = normal
    drop: Callable[[Array, Array], Array] | None = None
    """`(s, t) -> lambda(s) - lambda(t)`, where the process knows it better than as a difference."""


def perturb(process: Process, key: Key, x_0: Array, t: Array) -> tuple[Array, Array]:
    """Draw `x_t ~ q(x_t | x_0)`; returns `(x_t, eps)`, both shaped like x_0. t is a scalar or (batch,)."""
    eps = process.noise(key, x_0)
    return expand(process.alpha(t), x_0) * x_0 + expand(process.sigma(t), x_0) * eps, eps


def prior(process: Process, key: Key, x: Array, t: Array | float = 1.0) -> Array:
    """Where sampling starts, x_t of data with mean 0 and variance 1, at t = 1 nearly that of any data."""
    t = jnp.asarray(t, x.dtype)
    return jnp.sqrt(process.alpha(t) ** 2 + process.sigma(t) ** 2) * process.noise(key, x)


def log_snr(process: Process, t: Array) -> Array:
    """lambda(t) = log(alpha² / sigma²); infinite where sigma is 0."""
    return 2 * (jnp.log(process.alpha(t)) - jnp.log(process.sigma(t)))


def log_snr_drop(process: Process, s: Array, t: Array) -> Array:
    """lambda(s) - lambda(t) for s <= t: not negative, and infinite where sigma(s) is 0."""
    return process.drop(s, t) if process.drop else log_snr(process, s) - log_snr(process, t)


def transition(process: Process, s: Array, t: Array) -> tuple[Array, Array]:
    """`(scale, variance)` of `q(x_t | x_s) = N(scale x_s, variance I)`, s <= t."""
    variance = process.sigma(t) ** 2 * -jnp.expm1(-log_snr_drop(process, s, t))
    return process.alpha(t) / process.alpha(s), variance


def posterior(process: Process, s: Array, t: Array) -> tuple[Array, Array, Array]:
    """`(of x_t, of x_0, variance)` of `q(x_s | x_t, x_0) = N(of_x_t x_t + of_x_0 x_0, variance I)`, s <= t."""
    alpha_s, sigma_s = process.alpha(s), process.sigma(s)
    fresh = -jnp.expm1(-log_snr_drop(process, s, t))
    of_x_t = process.alpha(t) / alpha_s * (sigma_s / process.sigma(t)) ** 2
    return of_x_t, alpha_s * fresh, sigma_s**2 * fresh


def drift(process: Process, t: Array) -> Array:
    """f(t) = alpha' / alpha, of `dx = f x dt + g dw`."""
    alpha, d_alpha = _with_derivative(process.alpha, t)
    return d_alpha / alpha


def diffusion2(process: Process, t: Array) -> Array:
    """g²(t) = 2 sigma (sigma' - f sigma), of `dx = f x dt + g dw`."""
    sigma, d_sigma = _with_derivative(process.sigma, t)
    return 2 * sigma * (d_sigma - drift(process, t) * sigma)


def ddpm(betas: np.ndarray) -> Process:
    """The discrete chain of Ho et al. 2020 with a table of betas (see `jaxdiff.betas`), continued between its steps.

    Step i (0-based, of T) sits at `t = (i + 1) / T`, where alpha² is the running product of `1 - beta`. Between two
    steps the log-SNR is interpolated; before the first, sigma² grows in proportion to t.

    Raises:
      InputError: the table is empty, not one-dimensional, or holds a number outside (0, 1).
    """
    betas = np.asarray(betas, np.float64)
    if betas.ndim != 1 or not betas.size or not np.all((betas > 0) & (betas < 1)):
        raise InputError(
            f"betas must be a one-dimensional table of numbers in (0, 1), not {np.array2string(betas, threshold=6)}"
        )
    steps = betas.size
    log_alpha_bar = np.cumsum(np.log1p(-betas))
    table = log_alpha_bar - np.log(-np.expm1(log_alpha_bar))

    # lambda is kept as the sum of two floats, so that the drop over one step of thousands loses no digits.
    high = jnp.asarray(table)
    low = jnp.asarray(table - np.asarray(high, np.float64))
    slope = jnp.asarray(np.append(np.diff(table), 0.0))
    beta_0 = float(betas[0])

    def parts(t):
        """lambda(t) as three numbers to add: two of the step at or before t, and what t has gone beyond it."""
        position = t * steps - 1
        # A float32 time is known to a few ulp: this close to a step, it is that step (and keeps its derivative).
        tolerance = steps * 2.0**-21
        step = jnp.clip(jnp.floor(position + tolerance), 0, steps - 1)
        beyond = position - step
        beyond = beyond - jax.lax.stop_gradient(jnp.where(jnp.abs(beyond) < tolerance, beyond, 0))
        index = step.astype(jnp.int32)
        first = jnp.minimum(beyond, 0.0)
        rise = jnp.log1p(-beta_0 * (1 + first)) - jnp.log1p(-beta_0) - jnp.log1p(first)
        return high[index], low[index], jnp.where(beyond < 0, rise, beyond * slope[index])

    def half(t, sign):
        high, low, beyond = parts(t)
        return jax.lax.rsqrt(1 + jnp.exp(-sign * high) * jnp.exp(-sign * (low + beyond)))

    def drop(s, t):
        (high_s, low_s, beyond_s), (high_t, low_t, beyond_t) = parts(s), parts(t)
        return (high_s - high_t) + ((low_s - low_t) + (beyond_s - beyond_t))

    return Process(lambda t: half(t, 1), lambda t: half(t, -1), drop=drop)


def vp(beta_min: float = 0.1, beta_max: float = 20.0) -> Process:
    """Variance preserving, beta linear in t: the limit of DDPM's chain (Song et al. 2021, equation 32)."""

    def integral(t):
        return beta_min * t + 0.5 * (beta_max - beta_min) * t**2

    return Process(
        alpha=lambda t: jnp.exp(-0.5 * integral(t)),
        sigma=lambda t: jnp.sqrt(-jnp.expm1(-integral(t))),
    )


def cosine(s: float = 0.008) -> Process:
    """Variance preserving, alpha a cosine of t (Nichol and Dhariwal 2021, equation 17, without the cap on beta)."""
    start = s / (1 + s) * np.pi / 2

    def angle(t):
        return t / (1 + s) * (np.pi / 2)

    # cos²(a) - cos²(a + b) = sin(b) sin(2 a + b), and cos(a + b) = sin(pi/2 - a - b), which is 0 to the digit at t = 1.
    return Process(
        alpha=lambda t: jnp.sin((1 - t) / (1 + s) * (np.pi / 2)) / np.cos(start),
        sigma=lambda t: jnp.sqrt(jnp.sin(angle(t)) * jnp.sin(angle(t) + 2 * start)) / np.cos(start),
    )


def _with_derivative(function: TimeFunction, t: Array) -> tuple[Array, Array]:
    return jax.jvp(function, (t,), (jnp.ones_like(t),))
