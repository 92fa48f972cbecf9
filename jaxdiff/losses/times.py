"""Time samplers of losses: `(process, key, batch) -> t`, (batch,)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.gaussian.process import Process, time_at
from jaxdiff.types import Array, Key

__all__ = ["Times", "antithetic", "log_normal", "logit_normal", "stratified", "uniform"]

Times = Callable[[Process, Key, int], Array]
"""`(process, key, batch) -> t`, (batch,)."""


def uniform(t_min: float = 0.0, steps: int | None = None) -> Times:
    """Independent times, uniform on [t_min, 1]; with `steps`, on the times of a chain of that many steps."""
    return _uniform(lambda key, batch: jax.random.uniform(key, (batch,)), t_min, steps)


def stratified(t_min: float = 0.0, steps: int | None = None) -> Times:
    """One random offset, then evenly spaced: uniform times that cover [t_min, 1] (Kingma et al. 2021, appendix I.1)."""
    return _uniform(lambda key, batch: (jax.random.uniform(key) + jnp.arange(batch) / batch) % 1, t_min, steps)


def antithetic(t_min: float = 0.0, steps: int | None = None) -> Times:
    """Pairs u and 1 - u, uniform on [t_min, 1]."""

    def draw(key, batch):
        half = jax.random.uniform(key, ((batch + 1) // 2,))
        return jnp.stack([half, 1 - half], axis=1).reshape(-1)[:batch]

    return _uniform(draw, t_min, steps)


def logit_normal(mean: float = 0.0, std: float = 1.0, t_min: float = 0.0) -> Times:
    """t = sigmoid(n), n normal: the middle of the path most often (Esser et al. 2024, equation 19). At least t_min."""
    return lambda process, key, batch: jnp.maximum(jax.nn.sigmoid(mean + std * jax.random.normal(key, (batch,))), t_min)


def log_normal(mean: float = -1.2, std: float = 1.2) -> Times:
    """Noise levels sigma / alpha with a normal logarithm, of any process (Karras et al. 2022, P_mean and P_std)."""

    def times(process, key, batch):
        return time_at(process, -2 * (mean + std * jax.random.normal(key, (batch,))))

    return times


def _uniform(draw: Callable[[Key, int], Array], t_min: float, steps: int | None) -> Times:
    if steps is not None and t_min:
        raise InputError(f"steps={steps}, t_min={t_min}: a chain begins at its first step: leave one of them out")

    def times(process, key, batch):
        u = draw(key, batch)
        # A draw of just below 1 may round to 1 when scaled: the last step is the last.
        return (jnp.minimum(jnp.floor(u * steps), steps - 1) + 1) / steps if steps else 1 - (1 - t_min) * u

    return times
