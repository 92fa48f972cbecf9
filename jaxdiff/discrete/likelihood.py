"""Likelihood of symbols: bounds on -log p(x_0), in nats, estimated for each example, with intervals.

`by_count` draws the number of masks, spread over 1 ... L within the draws of one example, and varies far less than
`by_time`, which draws the time (Nie et al. 2025, LLaDA, appendix B). The mean of either is the bound, without bias.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.discrete.losses import LEAST, bound_rate, cross_entropy, hidden, share_time
from jaxdiff.discrete.process import Replacement, perturb
from jaxdiff.errors import InputError
from jaxdiff.types import Array, Denoiser, Key

__all__ = ["Interval", "by_count", "by_time", "interval"]


class Interval(NamedTuple):
    """A mean over examples, its standard error, and the ends of the interval of 95 %."""

    mean: float
    error: float
    low: float
    high: float


def interval(values: Array | np.ndarray) -> Interval:
    """The mean of independent values (n,), n >= 2, as an interval."""
    values = np.asarray(values, np.float64)
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, error, mean - 1.96 * error, mean + 1.96 * error)


def by_time(
    process: Replacement, denoiser: Denoiser, key: Key, x_0: Array, draws: int = 16, t_min: float = 1e-5
) -> Array:
    """The bound of each example, (batch,), by `draws` times, spread over [t_min, 1]; the part below t_min is left out.

    The part left out is at most t_min L log K of a schedule whose weight is 1 / t.
    """

    def draw(total, i):
        key_t, key_x = jax.random.split(jax.random.fold_in(key, i))
        u = (i + jax.random.uniform(key_t, x_0.shape[:1])) / draws
        t = 1 - (1 - t_min) * u
        x_t = perturb(process, key_x, x_0, t)
        log_p = jnp.log(jnp.maximum(denoiser(x_t, t), LEAST))
        return total + (1 - t_min) * bound_rate(process, t, x_0, x_t, log_p).sum(-1), None

    total, _ = jax.lax.scan(draw, jnp.zeros(x_0.shape[0]), jnp.arange(draws))
    return total / draws


def by_count(process: Replacement, denoiser: Denoiser, key: Key, x_0: Array, draws: int = 16) -> Array:
    """The bound of each example, (batch,), by `draws` numbers of masks.

    Raises:
      InputError: the process has no masks.
    """
    if not process.masks:
        raise InputError("by_count: counts masks, and this process has none: take by_time")
    length = x_0.shape[1]

    def draw(total, i):
        key_k, key_x = jax.random.split(jax.random.fold_in(key, i))
        u = (i + jax.random.uniform(key_k, x_0.shape[:1])) / draws
        count = jnp.minimum(jnp.floor(u * length).astype(jnp.int32), length - 1) + 1
        x_t = hidden(key_x, x_0, count, process.symbols)
        p = denoiser(x_t, share_time(process.alpha, count / length))
        entropy = cross_entropy(jnp.log(jnp.maximum(p, LEAST)), x_0)
        return total + length / count * jnp.where(x_t == process.symbols, entropy, 0).sum(-1), None

    total, _ = jax.lax.scan(draw, jnp.zeros(x_0.shape[0]), jnp.arange(draws))
    return total / draws
