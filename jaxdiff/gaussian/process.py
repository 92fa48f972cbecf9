"""Process: how data turns to noise, `x_t = alpha(t) x_0 + sigma(t) eps`.

Everything else about a Gaussian process follows from alpha and sigma. With `lambda(t) = log(alpha² / sigma²)`, the
log signal-to-noise ratio, which falls from the data (t = 0) to the noise (t = 1):

    dx = f x dt + g dw              f = alpha' / alpha        g² = 2 sigma (sigma' - f sigma)
    q(x_t | x_s), s < t             mean (alpha_t / alpha_s) x_s              variance sigma_t² (1 - e^-drop)
    q(x_s | x_t, x_0)               mean (alpha_t sigma_s²) / (alpha_s sigma_t²) x_t + alpha_s (1 - e^-drop) x_0
                                    variance sigma_s² (1 - e^-drop)

where `drop = lambda(s) - lambda(t) >= 0` (Kingma et al. 2021, appendix A). A short step makes `drop` small, a
difference of nearly equal numbers; so a process may bring its own exact `drop`, and most below do.

A process of your own is `interpolant(alpha, sigma)`: two functions of t are all it takes.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.gaussian.noise import Projected, kind, normal
from jaxdiff.gaussian.space import Space, everywhere, unknown_space
from jaxdiff.types import Array, Condition, Key, Noise, TimeFunction, as_time, expand

__all__ = [
    "Process",
    "diffuse",
    "diffusion2",
    "drift",
    "interior",
    "is_white",
    "log_snr",
    "log_snr_drop",
    "on",
    "perturb",
    "posterior",
    "prior",
    "prior_log_density",
    "require_white",
    "time_at",
    "transition",
    "with_slopes",
    "within",
]


class Process(NamedTuple):
    """`x_t = alpha(t) x_0 + sigma(t) eps`, for t in [0, 1], with alpha falling, sigma rising and eps from `noise`."""

    alpha: TimeFunction
    sigma: TimeFunction
    noise: Noise = normal
    drop: Callable[[Array, Array], Array] | None = None
    """`(s, t) -> lambda(s) - lambda(t)`, where the process knows it better than as a difference."""
    inverse: TimeFunction | None = None
    """`lambda -> t`, where it is known in closed form."""
    space: Space = everywhere
    """The part of R^n that data and noise live in."""
    space_of: Callable[[Condition], Space] | None = None
    """What tells it from the condition of a batch, of a process that is not yet `on` one."""


def within(process: Process, space_of: Callable[[Condition], Space]) -> Process:
    """The process with data in a space that the condition of each batch tells, such as that of its mask."""
    noise = Projected(process.noise, unknown_space.project)
    return process._replace(noise=noise, space=unknown_space, space_of=space_of)


def on(process: Process, condition: Condition | None) -> Process:
    """The process on the space of a batch of which this is known; itself, if that has no influence."""
    if process.space_of is None:
        return process
    space = process.space_of(condition or {})
    noise = process.noise.noise if isinstance(process.noise, Projected) else process.noise
    return process._replace(noise=Projected(noise, space.project), space=space, space_of=None)


def perturb(process: Process, key: Key, x_0: Array, t: Array) -> tuple[Array, Array]:
    """Draw `x_t ~ q(x_t | x_0)`; returns `(x_t, eps)`, shaped like x_0. t is a scalar, (batch,), or (batch, frames).

    >>> from jaxdiff.gaussian.schedules import flow
    >>> x_t, eps = perturb(flow(), jax.random.key(0), jnp.ones((2, 3)), jnp.array([0.0, 0.5]))
    >>> x_t[0].tolist(), bool(jnp.allclose(x_t[1], 0.5 + 0.5 * eps[1]))
    ([1.0, 1.0, 1.0], True)
    """
    eps = process.noise(key, x_0)
    return expand(process.alpha(t), x_0) * x_0 + expand(process.sigma(t), x_0) * eps, eps


def prior(process: Process, key: Key, x: Array, t: Array | float = 1.0) -> Array:
    """Draw x_t of data with mean 0 and variance 1, at t = 1 nearly that of any data: where sampling starts."""
    t = as_time(t, x)
    return (jnp.sqrt(process.alpha(t) ** 2 + process.sigma(t) ** 2) * process.noise(key, x)).astype(x.dtype)


def prior_log_density(process: Process, x: Array, t: Array | float = 1.0) -> Array:
    """log density of `prior` with normal noise, in nats: (batch,).

    Raises:
      InputError: the noise is another.
    """
    require_white(process, "a log density")
    t = as_time(t, x)
    variance = process.alpha(t) ** 2 + process.sigma(t) ** 2
    square = (x**2).reshape(x.shape[0], -1).sum(1)
    return -0.5 * (square / variance + process.space.dimension(x) * jnp.log(2 * jnp.pi * variance))


def diffuse(process: Process, key: Key, x_0: Array, times: Array) -> Array:
    """A path of the forward SDE from data: x at the rising `times`, (len(times), batch, ...), drawn without error."""
    times = as_time(times, x_0)

    def step(x_s, along):
        i, s, t = along
        scale, variance = transition(process, s, t)
        x_t = scale * x_s + jnp.sqrt(variance) * process.noise(jax.random.fold_in(key, i), x_s)
        return x_t, x_t

    first, _ = perturb(process, jax.random.fold_in(key, 0), x_0, times[0])
    _, rest = jax.lax.scan(step, first, (jnp.arange(1, len(times)), times[:-1], times[1:]))
    return jnp.concatenate([first[None], rest])


def log_snr(process: Process, t: Array) -> Array:
    """lambda(t) = log(alpha² / sigma²); infinite where sigma is 0.

    >>> from jaxdiff.gaussian.schedules import flow
    >>> log_snr(flow(), jnp.array([0.0, 0.5, 1.0])).tolist()
    [inf, 0.0, -inf]
    """
    return 2 * (jnp.log(process.alpha(t)) - jnp.log(process.sigma(t)))


def log_snr_drop(process: Process, s: Array, t: Array) -> Array:
    """lambda(s) - lambda(t) for s <= t: not negative, and infinite where sigma(s) is 0."""
    return process.drop(s, t) if process.drop else log_snr(process, s) - log_snr(process, t)


def time_at(process: Process, log_snr_t: Array) -> Array:
    """The t of a log-SNR, cut off at 0 and 1: the process's own inverse, or else bisection.

    >>> from jaxdiff.gaussian.schedules import flow
    >>> time_at(flow(), jnp.array([jnp.inf, 0.0, -jnp.inf])).tolist()
    [0.0, 0.5, 1.0]
    """
    log_snr_t = jnp.asarray(log_snr_t)
    if process.inverse:
        return jnp.clip(process.inverse(log_snr_t), 0, 1)

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        before = log_snr(process, middle) > log_snr_t
        return jnp.where(before, middle, low), jnp.where(before, high, middle)

    ends = jnp.zeros_like(log_snr_t), jnp.ones_like(log_snr_t)
    low, high = jax.lax.fori_loop(0, 64, halve, ends)
    return (low + high) / 2


def transition(process: Process, s: Array, t: Array) -> tuple[Array, Array]:
    """`(scale, variance)` of `q(x_t | x_s) = N(scale x_s, variance I)`, s <= t.

    >>> from jaxdiff.gaussian.schedules import flow
    >>> scale, variance = transition(flow(), jnp.float32(0.25), jnp.float32(0.5))
    >>> print(f"{scale:.4f} {variance:.4f}")
    0.6667 0.2222
    """
    variance = process.sigma(t) ** 2 * -jnp.expm1(-log_snr_drop(process, s, t))
    return process.alpha(t) / process.alpha(s), variance


def posterior(process: Process, s: Array, t: Array) -> tuple[Array, Array, Array]:
    """`(of x_t, of x_0, variance)` of `q(x_s | x_t, x_0) = N(of_x_t x_t + of_x_0 x_0, variance I)`, s <= t.

    >>> from jaxdiff.gaussian.schedules import flow
    >>> of_x_t, of_x_0, variance = posterior(flow(), jnp.float32(0.25), jnp.float32(0.5))
    >>> print(f"{of_x_t:.4f} {of_x_0:.4f} {variance:.4f}")
    0.1667 0.6667 0.0556
    """
    alpha_s, sigma_s = process.alpha(s), process.sigma(s)
    fresh = -jnp.expm1(-log_snr_drop(process, s, t))
    of_x_t = process.alpha(t) / alpha_s * (sigma_s / process.sigma(t)) ** 2
    return of_x_t, alpha_s * fresh, sigma_s**2 * fresh


def interior(process: Process, t: Array) -> Array:
    """t, moved inwards by 1e-4 where alpha or sigma is 0: for quotients that have a limit there.

    In `sigma² / alpha ∇ log p(y | x_t)` and in most loss weights 0 meets infinity at the very end of a path, and what
    they are just before it is the limit, to four digits.
    """
    inwards = jnp.where(process.alpha(t) < 1e-6, t - 1e-4, t)
    return jnp.where(process.sigma(t) == 0, t + 1e-4, inwards)


def is_white(process: Process) -> bool:
    """Tell whether the noise is `normal`: independent in every component, as scores and densities assume."""
    return kind(process.noise) is normal


def require_white(process: Process, what: str) -> None:
    """Refuse a process whose noise is not `normal` for `what`, a formula that would be wrong with any other.

    Raises:
      InputError: the noise is another.
    """
    if not is_white(process):
        raise InputError(
            f"{what} is that of normal noise, and this process has another: take `jaxdiff.gaussian.noise.normal`"
        )


def with_slopes(process: Process, t: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """`((alpha, sigma), (alpha', sigma'))` at t."""
    return jax.jvp(lambda t: (process.alpha(t), process.sigma(t)), (t,), (jnp.ones_like(t),))


def drift(process: Process, t: Array) -> Array:
    """f(t) = alpha' / alpha, of `dx = f x dt + g dw`."""
    alpha, d_alpha = _with_derivative(process.alpha, t)
    return d_alpha / alpha


def diffusion2(process: Process, t: Array) -> Array:
    """g²(t) = 2 sigma (sigma' - f sigma), of `dx = f x dt + g dw`."""
    sigma, d_sigma = _with_derivative(process.sigma, t)
    return 2 * sigma * (d_sigma - drift(process, t) * sigma)


def _with_derivative(function: TimeFunction, t: Array) -> tuple[Array, Array]:
    return jax.jvp(function, (t,), (jnp.ones_like(t),))
