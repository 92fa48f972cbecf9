"""Schedules: the Gaussian processes of the literature, `x_t = alpha(t) x_0 + sigma(t) eps`, by name.

Each returns a `Process`, with its exact log-SNR drop and inverse where they are known in closed form. A process of your
own is `interpolant(alpha, sigma)`: two functions of t are all it takes.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.gaussian.noise import normal
from jaxdiff.gaussian.process import Process, log_snr, time_at
from jaxdiff.types import Noise, TimeFunction

__all__ = [
    "cosine",
    "ddpm",
    "edm",
    "flow",
    "from_log_snr",
    "interpolant",
    "ncsn",
    "polynomial",
    "shifted",
    "sigmoid",
    "sub_vp",
    "ve",
    "vp",
]


def ddpm(betas: np.ndarray, zero_terminal_snr: bool = False) -> Process:
    """The discrete chain of Ho et al. 2020 with a table of `jaxdiff.gaussian.betas`, continued between its steps.

    Step i (0-based, of T) sits at `t = (i + 1) / T`, where alpha² is the running product of `1 - beta`. Between two
    steps the log-SNR is interpolated; before the first, sigma² grows in proportion to t. With `zero_terminal_snr`,
    alpha is shifted and scaled to keep its first value and end at 0 (Lin et al. 2024, algorithm 1).

    Raises:
      InputError: the table is empty, not one-dimensional, or holds a number outside (0, 1).
    """
    betas = np.asarray(betas, np.float64)
    if betas.ndim != 1 or not betas.size or not np.all((betas > 0) & (betas < 1)):
        raise InputError(
            "betas must be a one-dimensional table of numbers in (0, 1), not "
            + np.array2string(betas, threshold=6, edgeitems=2, max_line_width=1000).replace("\n", "")
        )
    steps = betas.size
    log_alpha_bar = np.cumsum(np.log1p(-betas))
    if zero_terminal_snr:
        _require(steps > 1, "zero_terminal_snr needs a chain of 2 steps or more")
        alpha = np.exp(0.5 * log_alpha_bar)
        with np.errstate(divide="ignore"):
            log_alpha_bar = 2 * np.log(alpha[0] / (alpha[0] - alpha[-1]) * (alpha - alpha[-1]))
    table = log_alpha_bar - np.log(-np.expm1(log_alpha_bar))

    # lambda is kept as the sum of two floats, so that the drop over one step of thousands loses no digits.
    high = jnp.asarray(table)
    low = jnp.asarray(np.where(np.isfinite(table), table - np.nan_to_num(np.asarray(high, np.float64)), 0))
    rises = np.diff(table)  # the last step, at t = 1, has the slope of the interval before it
    slope = jnp.asarray(np.nan_to_num(np.append(rises, rises[-1:] if steps > 1 else 0.0), neginf=0))
    beta_0 = float(betas[0])
    last_alpha_bar = float(np.exp(log_alpha_bar[-2])) if zero_terminal_snr else 0.0
    last_step = steps - 2 if zero_terminal_snr else steps - 1

    def parts(t):
        """lambda(t) as three numbers to add, two of the step at or before t and what t has gone beyond it.

        And what is left of alpha in an interval that ends at 0: from 1 to 0 there, 1 elsewhere.
        """
        position = t * steps - 1
        # A float32 time is known to a few ulp: this close to a step, it is that step (and keeps its derivative).
        tolerance = steps * 2.0**-21

        def snapped(distance):
            return distance - jax.lax.stop_gradient(jnp.where(jnp.abs(distance) < tolerance, distance, 0))

        step = jnp.clip(jnp.floor(position + tolerance), 0, last_step)
        beyond = snapped(position - step)
        index = step.astype(jnp.int32)
        first = jnp.minimum(steps * t, 1.0)
        rise = jnp.log1p(-beta_0 * first) - jnp.log1p(-beta_0) - jnp.log(first)
        after = beyond * slope[index]
        left = jnp.ones_like(t)
        if zero_terminal_snr:  # log-SNR cannot be interpolated to minus infinity: in the last interval alpha is
            left = 1 + snapped(jnp.where(index == last_step, steps * (1 - t), 1) - 1)
            some = jnp.where(left > 0, left, 1)
            fall = 2 * jnp.log(some) + np.log1p(-last_alpha_bar) - jnp.log1p(-last_alpha_bar * some**2)
            after = jnp.where(index == last_step, jnp.where(left > 0, fall, -jnp.inf), after)
        return (high[index], low[index], jnp.where(beyond < 0, rise, after)), left

    def half(t, sign):
        (high, low, beyond), left = parts(t)
        within = jax.lax.rsqrt(1 + jnp.exp(-sign * high) * jnp.exp(-sign * (low + jnp.where(left < 1, 0, beyond))))
        last = np.sqrt(last_alpha_bar) * left if sign > 0 else jnp.sqrt(1 - last_alpha_bar * left**2)
        return jnp.where(left < 1, last, within)

    def drop(s, t):
        (high_s, low_s, beyond_s), (high_t, low_t, beyond_t) = parts(s)[0], parts(t)[0]
        return (high_s - high_t) + ((low_s - low_t) + (beyond_s - beyond_t))

    def inverse(log_snr_t):
        index = jnp.interp(-log_snr_t, -high, jnp.arange(steps, dtype=high.dtype))
        first = jax.nn.sigmoid(-log_snr_t) / beta_0
        return jnp.where(log_snr_t > high[0], first, index + 1) / steps

    return Process(
        lambda t: half(t, 1), lambda t: half(t, -1), drop=drop, inverse=None if zero_terminal_snr else inverse
    )


def vp(beta_min: float = 0.1, beta_max: float = 20.0) -> Process:
    """Variance preserving, beta linear in t: the limit of DDPM's chain (Song et al. 2021, equation 32)."""
    integral, between, solve = _linear_beta(beta_min, beta_max)
    return Process(
        alpha=lambda t: jnp.exp(-0.5 * integral(t)),
        sigma=lambda t: jnp.sqrt(-jnp.expm1(-integral(t))),
        drop=lambda s, t: jnp.log1p(jnp.expm1(between(s, t)) / -jnp.expm1(-integral(s))),
        inverse=lambda log_snr_t: solve(jax.nn.softplus(-log_snr_t)),
    )


def sub_vp(beta_min: float = 0.1, beta_max: float = 20.0) -> Process:
    """sigma the square of that of `vp`: variance at most preserved (Song et al. 2021, equation 29)."""
    integral, between, solve = _linear_beta(beta_min, beta_max)

    def drop(s, t):
        step, before = between(s, t), integral(s)
        return step + 2 * jnp.log1p(jnp.exp(-before) * jnp.expm1(-step) / jnp.expm1(-before))

    return Process(
        alpha=lambda t: jnp.exp(-0.5 * integral(t)),
        sigma=lambda t: -jnp.expm1(-integral(t)),
        drop=drop,
        inverse=lambda log_snr_t: solve(2 * jnp.arcsinh(jnp.exp(-0.5 * log_snr_t) / 2)),
    )


def cosine(s: float = 0.008) -> Process:
    """Variance preserving, alpha a cosine of t (Nichol and Dhariwal 2021, equation 17, without the cap on beta)."""
    start, rate = s / (1 + s) * np.pi / 2, np.pi / 2 / (1 + s)

    def log_ratio(x, y):
        """log(sin y / sin x)."""
        return jnp.log1p(2 * jnp.cos((x + y) / 2) * jnp.sin((y - x) / 2) / jnp.sin(x))

    def drop(s, t):
        b_s, b_t = rate * s, rate * t
        down = log_ratio(rate * (1 - t), rate * (1 - s))
        return 2 * down + log_ratio(b_s, b_t) + log_ratio(b_s + 2 * start, b_t + 2 * start)

    # cos²(a) - cos²(a + b) = sin(b) sin(2 a + b), and cos(a + b) = sin(pi/2 - a - b), which is 0 to the digit at t = 1.
    return Process(
        alpha=lambda t: jnp.sin(rate * (1 - t)) / np.cos(start),
        sigma=lambda t: jnp.sqrt(jnp.sin(rate * t) * jnp.sin(rate * t + 2 * start)) / np.cos(start),
        drop=drop,
    )


def polynomial(precision: float = 1e-5) -> Process:
    """Variance preserving, alpha² = (1 - t²)², squeezed between `precision` and 1 - precision (Hoogeboom et al. 2022).

    So sigma(0) is not 0, but sqrt(precision): the data's last digits are never asked for.
    """
    _require(0 < precision < 0.5, f"polynomial with precision={precision}: must be above 0 and below 0.5")
    scale = 1 - 2 * precision
    alpha2 = lambda t: precision + scale * (1 - t**2) ** 2
    sigma2 = lambda t: precision + scale * t**2 * (2 - t**2)

    def drop(s, t):
        change = scale * (t - s) * (t + s) * (2 - s**2 - t**2)
        return jnp.log1p(change / alpha2(t)) + jnp.log1p(change / sigma2(s))

    def inverse(log_snr_t):
        share = jnp.clip((jax.nn.sigmoid(-log_snr_t) - precision) / scale, 0, 1)
        return jnp.sqrt(share / (1 + jnp.sqrt(1 - share)))

    return Process(alpha=lambda t: jnp.sqrt(alpha2(t)), sigma=lambda t: jnp.sqrt(sigma2(t)), drop=drop, inverse=inverse)


def sigmoid(start: float = -3.0, end: float = 3.0, tau: float = 1.0) -> Process:
    """Variance preserving, alpha² a falling logistic curve, cut and scaled to run from 1 to 0 (Jabri et al. 2023)."""
    _require(
        start < end and tau > 0, f"sigmoid from {start} to {end} with tau={tau}: start must be below end, tau above 0"
    )
    a, b, k = start / (2 * tau), end / (2 * tau), (end - start) / (2 * tau)

    def share(part, rest_end, t):
        """A difference of two logistic functions, as sinh / (cosh cosh): the share of [start, end] below or above."""
        return jnp.sinh(k * part) * np.cosh(rest_end) / (jnp.cosh(a + k * t) * np.sinh(k))

    def log_ratio(x, y):
        """log(sinh y / sinh x)."""
        return jnp.log1p(2 * jnp.cosh((x + y) / 2) * jnp.sinh((y - x) / 2) / jnp.sinh(x))

    return Process(
        alpha=lambda t: jnp.sqrt(share(1 - t, a, t)),
        sigma=lambda t: jnp.sqrt(share(t, b, t)),
        drop=lambda s, t: log_ratio(k * (1 - t), k * (1 - s)) + log_ratio(k * s, k * t),
    )


def ve(sigma_min: float = 0.01, sigma_max: float = 50.0) -> Process:
    """Variance exploding, sigma geometric from sigma_min, at t = 0, to sigma_max (Song et al. 2021, equation 31)."""
    _require(0 < sigma_min < sigma_max, f"sigma from {sigma_min} to {sigma_max}: must be positive and rise")
    rate = float(np.log(sigma_max / sigma_min))
    return Process(
        alpha=jnp.ones_like,
        sigma=lambda t: sigma_min * jnp.exp(rate * t),
        drop=lambda s, t: 2 * rate * (t - s),
        inverse=lambda log_snr_t: (-0.5 * log_snr_t - np.log(sigma_min)) / rate,
    )


def ncsn(levels: int = 10, sigma_min: float = 0.01, sigma_max: float = 1.0) -> Process:
    """The geometric noise levels of Song and Ermon 2019 as a chain: level i, of 0 to levels - 1, at `(i + 1) / levels`.

    Between two levels sigma stays geometric; before the first it grows in proportion to t.
    """
    _require(levels > 1, f"ncsn of {levels} levels: 2 or more")
    _require(0 < sigma_min < sigma_max, f"sigma from {sigma_min} to {sigma_max}: must be positive and rise")
    rate = float(np.log(sigma_max / sigma_min)) / (levels - 1)

    def log_sigma(t):
        return jnp.where(levels * t < 1, jnp.log(jnp.minimum(levels * t, 1)), rate * (levels * t - 1))

    return Process(
        alpha=jnp.ones_like,
        sigma=lambda t: sigma_min * jnp.exp(log_sigma(t)),
        drop=lambda s, t: 2 * (log_sigma(t) - log_sigma(s)),
    )


def edm(sigma_max: float = 80.0) -> Process:
    """alpha = 1 and `sigma = sigma_max t`: noise level as time (Karras et al. 2022)."""
    _require(sigma_max > 0, f"sigma_max={sigma_max}: must be positive")
    return Process(
        alpha=jnp.ones_like,
        sigma=lambda t: sigma_max * t,
        drop=lambda s, t: 2 * jnp.log1p((t - s) / s),
        inverse=lambda log_snr_t: jnp.exp(-0.5 * log_snr_t) / sigma_max,
    )


def flow() -> Process:
    """The straight path `(1 - t) x_0 + t eps` of rectified flow and conditional optimal transport.

    Liu et al. 2023; Lipman et al. 2023, whose t runs the other way.
    """
    return Process(
        alpha=lambda t: 1 - t,
        sigma=lambda t: t * 1,
        drop=lambda s, t: 2 * (jnp.log1p((t - s) / s) + jnp.log1p((t - s) / (1 - t))),
        inverse=lambda log_snr_t: jax.nn.sigmoid(-0.5 * log_snr_t),
    )


def interpolant(alpha: TimeFunction, sigma: TimeFunction, noise: Noise = normal) -> Process:
    """A process of your own (stochastic interpolants, Albergo et al. 2023), from two elementwise functions of t.

    What rounding makes negative, such as cos(pi / 2), is 0.

    Raises:
      InputError: alpha or sigma is negative somewhere, or the log-SNR does not fall strictly from t = 0 to 1.
    """
    process = Process(_from_zero(alpha), _from_zero(sigma), noise)
    with jax.ensure_compile_time_eval():
        t = jnp.linspace(0, 1, 257)
        a, b, ratio = alpha(t), sigma(t), np.asarray(log_snr(process, t[1:-1]))
        _require(bool((a >= -1e-6).all() & (b >= -1e-6).all()), "alpha and sigma must not be negative on [0, 1]")
    falls = np.diff(ratio) < 0
    where = (int(falls.argmin()) + 1) / 256
    _require(bool(falls.all()), f"log(alpha² / sigma²) must fall strictly on [0, 1], but does not near t = {where:.3f}")
    return process


def from_log_snr(log_snr_of: TimeFunction) -> Process:
    """Variance preserving with a given falling log-SNR, such as a learned one (Kingma et al. 2021, section 3.2)."""
    return Process(
        alpha=lambda t: jnp.exp(0.5 * jax.nn.log_sigmoid(log_snr_of(t))),
        sigma=lambda t: jnp.exp(0.5 * jax.nn.log_sigmoid(-log_snr_of(t))),
        drop=lambda s, t: log_snr_of(s) - log_snr_of(t),
    )


def shifted(process: Process, factor: float, power: float = 2.0) -> Process:
    """`factor` times the noise: log-SNR lower by `2 log(factor)` at every t, as larger images need.

    Images f times as wide look as noisy as before with `factor=f` (Hoogeboom et al. 2023, section 3.1). alpha and sigma
    are scaled so that `alpha^power + sigma^power` stays: power 2 for `vp` and its like, 1 for `flow`, where this is the
    time shift of Esser et al. 2024, equation 23.
    """
    _require(factor > 0 and power > 0, f"factor={factor}, power={power}: both must be positive")

    def scale(t):
        a, b = process.alpha(t), process.sigma(t)
        return ((a**power + b**power) / (a**power + (factor * b) ** power)) ** (1 / power)

    return process._replace(
        alpha=lambda t: scale(t) * process.alpha(t),
        sigma=lambda t: factor * scale(t) * process.sigma(t),
        inverse=lambda log_snr_t: time_at(process, log_snr_t + 2 * np.log(factor)),
    )


def _from_zero(function: TimeFunction) -> TimeFunction:
    """The function where it is not negative, else 0, with its own slope everywhere."""

    def bounded(t):
        value = function(t)
        return value - jax.lax.stop_gradient(jnp.minimum(value, 0))

    return bounded


def _linear_beta(beta_min: float, beta_max: float):
    """`(t -> its integral from 0, (s, t) -> its integral between, integral -> t)` of beta(t) linear in t."""
    _require(0 < beta_min <= beta_max, f"beta from {beta_min} to {beta_max}: must be positive and not fall")
    rise, whole = beta_max - beta_min, (beta_max + beta_min) / 2

    def when(total):
        total = jnp.minimum(total, whole)  # of -inf the integral is infinite
        return 2 * total / (beta_min + jnp.sqrt(beta_min**2 + 2 * rise * total))

    return (
        lambda t: beta_min * t + 0.5 * rise * t**2,
        lambda s, t: (t - s) * (beta_min + 0.5 * rise * (s + t)),
        when,
    )


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)
