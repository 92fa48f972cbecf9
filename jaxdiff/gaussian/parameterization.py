"""Parameterization: what a network's output means, `out = a(t) x_0 + b(t) eps`.

Two coefficients say everything. Together with `x_t = alpha x_0 + sigma eps` they are two equations in x_0 and eps,
whose determinant is `d = alpha b - sigma a`:

    x_0 = (b x_t - sigma out) / d          eps = (alpha out - a x_t) / d

For one and the same x_t, an error in the output is therefore an error of `(sigma / d)` times it in x_0, and of
`(alpha / d)` times it in eps: every conversion of loss weights follows.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import Process, interior, log_snr, with_slopes
from jaxdiff.types import Array, Condition, Key, Network, Params, expand

__all__ = [
    "Coefficient",
    "Parameterization",
    "check_defined",
    "check_target",
    "convert",
    "determinant",
    "edm",
    "eps",
    "eps_error",
    "evaluate",
    "score",
    "target",
    "to_eps",
    "to_x0",
    "v",
    "velocity",
    "x0",
]

Coefficient = Callable[[Process, Array], Array]


def _one(process: Process, t: Array) -> Array:
    return jnp.ones_like(t)


def _ddpm_index(process: Process, t: Array) -> Array:
    return 1000 * t - 1


class Parameterization(NamedTuple):
    """The meaning of a network's output, and the form in which it takes x_t and t."""

    coefficients: Callable[[Process, Array], tuple[Array, Array]]
    """`(process, t) -> (a, b)` of `out = a x_0 + b eps`."""
    input_scale: Coefficient = _one
    """The network sees `input_scale * x_t` ..."""
    time_input: Coefficient = _ddpm_index
    """... and this in place of t; by default the index of DDPM's chain of 1000 steps, `1000 t - 1`."""


def _input(unit: bool) -> Coefficient:
    return (lambda process, t: 1 / jnp.hypot(process.alpha(t), process.sigma(t))) if unit else _one


def eps(unit_input: bool = False) -> Parameterization:
    """The noise (Ho et al. 2020). Undefined where alpha = 0.

    With `unit_input`, here and below, the network sees `x_t / sqrt(alpha² + sigma²)`, as processes of growing variance
    need.
    """
    return Parameterization(lambda process, t: (jnp.zeros_like(t), jnp.ones_like(t)), _input(unit_input))


def x0(unit_input: bool = False) -> Parameterization:
    """The data. Undefined where sigma = 0."""
    return Parameterization(lambda process, t: (jnp.ones_like(t), jnp.zeros_like(t)), _input(unit_input))


def v(unit_input: bool = False) -> Parameterization:
    """`v = alpha eps - sigma x_0` (Salimans and Ho 2022)."""
    return Parameterization(lambda process, t: (-process.sigma(t), process.alpha(t)), _input(unit_input))


def score(unit_input: bool = False) -> Parameterization:
    """`∇ log q(x_t) = -eps / sigma` (Song et al. 2021). Undefined where alpha or sigma = 0."""
    return Parameterization(lambda process, t: (jnp.zeros_like(t), -1 / process.sigma(t)), _input(unit_input))


def velocity(unit_input: bool = False, time_scale: float = 1000.0) -> Parameterization:
    """`dx_t/dt = alpha' x_0 + sigma' eps` along a straight pair of data and noise (Lipman et al. 2023).

    Args:
      time_scale: the network sees `time_scale t - 1`; where it is differentiated by t, as in MeanFlow, 1000 makes its
        sines turn so fast that their slopes drown what is to be learned.
    """

    def coefficients(process, t):
        return with_slopes(process, t)[1]

    return Parameterization(coefficients, _input(unit_input), lambda process, t: time_scale * t - 1)


def edm(sigma_data: float = 0.5) -> Parameterization:
    """Karras et al. 2022, table 1, for any process: c_skip, c_out, c_in and c_noise at noise level `sigma / alpha`.

    The network is given, and gives, unit variance when the data has standard deviation `sigma_data`. c_noise, which is
    infinite at alpha = 0 and at sigma = 0, is there what it is close by (`jaxdiff.gaussian.process.interior`).
    """

    def norm(process, t):
        return jnp.sqrt(process.sigma(t) ** 2 + (sigma_data * process.alpha(t)) ** 2)

    def coefficients(process, t):
        n = norm(process, t)
        return process.sigma(t) / (sigma_data * n), -sigma_data * process.alpha(t) / n

    return Parameterization(
        coefficients,
        input_scale=lambda process, t: 1 / norm(process, t),
        time_input=lambda process, t: -0.125 * log_snr(process, interior(process, t)),
    )


def check_defined(process: Process, parameterization: Parameterization, times: np.ndarray) -> None:
    """Refuse a grid that asks the network at a time where its output says nothing of x_0, or without bound.

    Raises:
      InputError: eps at alpha = 0, x0 or score at sigma = 0, and the like. The last time, where a sampler ends, may be
        one.
    """
    at = jax.jit(lambda t: (process.alpha(t), process.sigma(t), determinant(process, parameterization, t)))
    with jax.ensure_compile_time_eval():
        alpha, sigma, scale = map(np.asarray, at(jnp.asarray(times, jnp.float32)[:-1]))
    with np.errstate(all="ignore"):
        known = np.isfinite(scale) & (np.abs(sigma / scale) < 1e7)
    if not known.all():
        bad = int(np.argmin(known))
        raise InputError(
            f"the grid visits t={times[bad]:g}, where alpha={alpha[bad]:.3g} and sigma={sigma[bad]:.3g}, and this "
            "parameterization is undefined: start below or end above that time, or use v, velocity or edm"
        )


def check_target(process: Process, parameterization: Parameterization) -> None:
    """Refuse a parameterization whose training target is infinite at t = 1.

    Raises:
      InputError: such as `velocity` where alpha falls as the square root of 1 - t.
    """
    with jax.ensure_compile_time_eval():
        a, b = parameterization.coefficients(process, jnp.ones(()))
    if not (np.isfinite(a) and np.isfinite(b)):
        raise InputError(
            f"the training target a x_0 + b eps of this parameterization has a={float(a):g} and b={float(b):g} at t=1 "
            "of this process: take v, eps, x0 or edm"
        )


def evaluate(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    params: Params,
    x_t: Array,
    t: Array,
    condition: Condition | None = None,
    key: Key | None = None,
) -> Array:
    """The network's output for x_t at t (batch,), given in the form that the parameterization asks for."""
    scaled = expand(parameterization.input_scale(process, t), x_t) * x_t
    return network(params, scaled, parameterization.time_input(process, t), condition, key)


def target(process: Process, parameterization: Parameterization, x_0: Array, eps: Array, t: Array) -> Array:
    """The training target of the network: `a x_0 + b eps`."""
    a, b = parameterization.coefficients(process, t)
    return expand(a, x_0) * x_0 + expand(b, x_0) * eps


def to_x0(process: Process, parameterization: Parameterization, out: Array, x_t: Array, t: Array) -> Array:
    """The x̂_0 that an output means, given x_t; where sigma = 0 it is `x_t / alpha`, also if the output says nothing."""
    _, b = parameterization.coefficients(process, t)
    sigma, d = process.sigma(t), determinant(process, parameterization, t)
    of_x_t = jnp.where(sigma > 0, b / d, 1 / process.alpha(t))
    return expand(of_x_t, x_t) * x_t - expand(jnp.where(sigma > 0, sigma / d, 0), x_t) * out


def to_eps(process: Process, parameterization: Parameterization, out: Array, x_t: Array, t: Array) -> Array:
    """The noise that an output means, given x_t."""
    a, _ = parameterization.coefficients(process, t)
    alpha, d = process.alpha(t), determinant(process, parameterization, t)
    return expand(alpha / d, x_t) * out - expand(a / d, x_t) * x_t


def convert(
    process: Process, source: Parameterization, to: Parameterization, out: Array, x_t: Array, t: Array
) -> Array:
    """Convert the output of a network of parameterization `source` to that of one of `to`."""
    return target(process, to, to_x0(process, source, out, x_t, t), to_eps(process, source, out, x_t, t), t)


def eps_error(process: Process, parameterization: Parameterization, t: Array) -> Array:
    """The squared error in eps that a squared error of one in the output means: `(alpha / d)²`."""
    return (process.alpha(t) / determinant(process, parameterization, t)) ** 2


def determinant(process: Process, parameterization: Parameterization, t: Array) -> Array:
    """`d = alpha b - sigma a`: where it is 0, or not finite, the output says nothing of x_0."""
    a, b = parameterization.coefficients(process, t)
    return process.alpha(t) * b - process.sigma(t) * a
