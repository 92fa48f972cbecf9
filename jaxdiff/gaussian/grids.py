"""Grid: the falling sequence of times that a sampler visits, from noise to data.

A grid of `steps` steps has `steps + 1` times and is a plain float32 array. It is traced: other values of the same
number never compile again. On a discrete chain of `total` steps, step i sits at `t = (i + 1) / total`, and the grids
on a chain end at t = 0, the data. The three spacings carry the names they have in diffusers (Lin et al. 2024, table 2).

Grids of noise levels take a process, whose times they find, and end at t = 0 too: `steps` levels sigma / alpha, then 0.
A grid of your own is any falling array.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import betaincinv

from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import Process, time_at
from jaxdiff.gaussian.process import log_snr as log_snr_of

__all__ = [
    "LONGEST",
    "angles",
    "at_angle",
    "beta",
    "exponential",
    "karras",
    "leading",
    "linspace",
    "log_snr",
    "nested",
    "table",
    "trailing",
    "uniform",
]

LONGEST = 10**6


def uniform(steps: int, t_max: float = 1.0, t_min: float = 0.0) -> np.ndarray:
    """Evenly spaced from t_max to t_min."""
    _check(steps)
    if not 0 <= t_min < t_max <= 1:
        raise InputError(f"t_max={t_max}, t_min={t_min}: a grid falls from t_max to t_min within [0, 1]")
    return np.linspace(t_max, t_min, steps + 1, dtype=np.float32)


def leading(steps: int, total: int = 1000, offset: int = 0) -> np.ndarray:
    """Chain steps 0, r, 2r ... with r = total // steps, and `offset` added to each (Song et al. 2021, DDIM).

    >>> print(leading(4, 1000))
    [0.751 0.501 0.251 0.001 0.   ]
    """
    _check(steps, total)
    index = np.arange(steps) * (total // steps) + offset
    if not 0 <= offset <= total - 1 - (steps - 1) * (total // steps):
        raise InputError(f"offset={offset} takes step {index[-1]} out of a chain of {total} steps, 0 to {total - 1}")
    return _chain(index[::-1], total)


def trailing(steps: int, total: int = 1000) -> np.ndarray:
    """Chain steps total - 1, total - 1 - r ... with r = total / steps: always starts at the noise.

    >>> print(trailing(4, 1000))
    [1.   0.75 0.5  0.25 0.  ]
    """
    _check(steps, total)
    return _chain(np.round(np.arange(total, 0, -total / steps))[:steps] - 1, total)


def linspace(steps: int, total: int = 1000) -> np.ndarray:
    """Chain steps 0 to total - 1, both ends included."""
    _check(steps, total)
    return _chain(np.round(np.linspace(0, total - 1, steps))[::-1], total)


def beta(steps: int, a: float = 0.6, b: float = 0.6, t_max: float = 1.0, t_min: float = 0.0) -> np.ndarray:
    """Quantiles of Beta(a, b) from t_max to t_min: below 1 both ends are dense (Lee et al. 2024)."""
    _check(steps)
    if not (a > 0 and b > 0 and 0 <= t_min < t_max <= 1):
        raise InputError(f"a={a}, b={b}, t_max={t_max}, t_min={t_min}: a, b > 0, and 0 <= t_min < t_max <= 1")
    return (t_min + (t_max - t_min) * betaincinv(a, b, np.linspace(1, 0, steps + 1))).astype(np.float32)


def log_snr(process: Process, steps: int, t_max: float = 1.0, t_min: float = 1e-3) -> np.ndarray:
    """log-SNR evenly spaced from t_max to t_min, where it must be finite, then 0 (Lu et al. 2022)."""
    _check(steps)
    if not 0 < t_min < t_max <= 1:
        raise InputError(f"t_max={t_max}, t_min={t_min}: a grid falls from t_max to t_min within (0, 1]")
    with jax.ensure_compile_time_eval():
        ends = np.asarray(log_snr_of(process, jnp.array([t_max, t_min])), np.float64)
    if not np.isfinite(ends).all():
        raise InputError(f"t_max={t_max}: log-SNR is not finite there; start a little below, at 0.999 perhaps")
    return _levels(process, np.exp(-0.5 * np.linspace(ends[0], ends[1], steps)))


def exponential(process: Process, steps: int, sigma_max: float = 80.0, sigma_min: float = 0.002) -> np.ndarray:
    """Geometric noise levels: even steps of log(sigma / alpha) (k-diffusion)."""
    _check(steps)
    _check_sigmas(sigma_max, sigma_min)
    return _levels(process, np.geomspace(sigma_max, sigma_min, steps))


def karras(
    process: Process, steps: int, sigma_max: float = 80.0, sigma_min: float = 0.002, rho: float = 7.0
) -> np.ndarray:
    """Even steps of (sigma / alpha)^(1 / rho) (Karras et al. 2022, equation 5)."""
    _check(steps)
    _check_sigmas(sigma_max, sigma_min)
    return _levels(process, np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), steps) ** rho)


def angles(process: Process, steps: int) -> np.ndarray:
    """Even steps of atan(sigma / alpha), from t = 1 to 0: the cosine schedule of Salimans and Ho 2022 on any path.

    >>> from jaxdiff.gaussian.schedules import flow
    >>> print(angles(flow(), 2).round(3))
    [1.  0.5 0. ]
    """
    _check(steps)
    with jax.ensure_compile_time_eval():
        return np.asarray(at_angle(process, jnp.linspace(1, 0, steps + 1)), np.float32)


def nested(process: Process, steps: int, total: int = 1024, only: int = 0) -> np.ndarray:
    """Every (total / steps)-th time of `angles`, for `total` that is `steps` doubled some times.

    So grids of half as many steps hold none but the same times, bit for bit, as progressive distillation needs.

    Args:
      only: the one number of steps for which a model was made, as by progressive distillation; 0 for any.

    >>> from jaxdiff.gaussian.schedules import flow
    >>> print(nested(flow(), 4, total=8).round(3))
    [1.    0.707 0.5   0.293 0.   ]
    """
    if only and steps != only:
        raise InputError(f"steps={steps}: this model was distilled for {only} step(s), and draws in no others")
    _check(steps, total)
    stride, rest = divmod(total, steps)
    if rest or stride & (stride - 1):
        raise InputError(f"steps={steps}: must be total={total} halved some times")
    return angles(process, total)[::stride]


def at_angle(process: Process, share: jax.Array) -> jax.Array:
    """The time at which atan(sigma / alpha) is this share, from 0 to 1, of what it is at t = 1."""
    most = jnp.arctan2(process.sigma(jnp.ones(())), process.alpha(jnp.ones(())))
    times = time_at(process, -2 * jnp.log(jnp.tan(share * most)))
    return jnp.where(share >= 1, 1.0, jnp.where(share <= 0, 0.0, times))


def table(process: Process, steps: int, sigmas: Sequence[float]) -> np.ndarray:
    """A falling table of noise levels sigma / alpha, such as those of "Align your steps" (Sabour et al. 2024).

    For another number of steps it is interpolated in log(sigma); the last level gives way to 0, as with the authors.
    """
    _check(steps)
    levels = np.asarray(sigmas, np.float64)
    if levels.ndim != 1 or len(levels) < 2 or not np.all(levels > 0) or not np.all(np.diff(levels) < 0):
        raise InputError(f"sigmas={list(sigmas)}: a table is a row of 2 or more positive noise levels that fall")
    places = np.linspace(0, 1, steps + 1)[:-1]
    return _levels(process, np.exp(np.interp(places, np.linspace(0, 1, len(levels)), np.log(levels))))


def _levels(process: Process, sigmas: np.ndarray) -> np.ndarray:
    """The times of noise levels sigma / alpha, and 0."""
    with jax.ensure_compile_time_eval():
        times = np.asarray(time_at(process, jnp.asarray(-2 * np.log(sigmas))))
        high, low = np.exp(-0.5 * np.asarray(log_snr_of(process, jnp.array([1.0, 0.0]))))
    times = np.append(times, 0).astype(np.float32)
    if not (np.all(np.diff(times) < 0) and sigmas[0] <= 1.01 * high and sigmas[-1] >= 0.99 * low):
        raise InputError(
            f"noise levels from {sigmas[0]:g} to {sigmas[-1]:g} are not all those of this process, which has "
            f"sigma / alpha from {high:g} down to {low:g}: set sigma_max and sigma_min, or t_max and t_min, within"
        )
    return times


def _check_sigmas(sigma_max: float, sigma_min: float) -> None:
    if not 0 < sigma_min < sigma_max:
        raise InputError(f"sigma_max={sigma_max}, sigma_min={sigma_min}: noise levels are positive and fall")


def _chain(index: np.ndarray, total: int) -> np.ndarray:
    return np.append((index + 1) / total, 0).astype(np.float32)


def _check(steps: int, total: int | None = None) -> None:
    if not 1 <= steps <= (LONGEST if total is None else total):
        limit = f"from 1 to {f'{total}, the length of the chain' if total is not None else LONGEST}"
        raise InputError(f"a grid of {steps} steps: the number of steps must be {limit}")
