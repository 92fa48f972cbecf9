"""Losses of symbols: the bound on -log p(x_0), in continuous time, by the number of masks, and of a chain of T steps.

    by time     ∫ E sum_y [R̂_y - R_y + R_y log(R_y / R̂_y)] dt        R given x_0, R̂ of the network's probabilities
                for masks: ∫ -alpha' / (1 - alpha) E sum_{masked} -log p(x_0 | x_t) dt, which no schedule changes
                (Campbell et al. 2022; Sahoo et al. 2024, equation 11; Shi et al. 2024, equation 5)
    by count    L E_k (1 / k) sum_{k masked} -log p(x_0 | x), k uniform on 1 ... L (Nie et al. 2025, LLaDA, equation 6)
    chain       T E KL(q(x_s | x_t, x_0) | p(x_s | x_t)), of which the last step is -log p(x_0 | x_t) (D3PM)

All in nats; losses are of a position, so that log2(e) times them are bits a symbol.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.discrete.parameterization import Symbols, log_probabilities
from jaxdiff.discrete.process import Replacement, perturb, posterior, reverse_rates, slope
from jaxdiff.errors import InputError, unknown
from jaxdiff.types import Array, Batch, Key, LossFn, Network, Params, TimeFunction, expand

__all__ = [
    "OBJECTIVES",
    "bound_rate",
    "chain_loss",
    "count_loss",
    "cross_entropy",
    "divergence",
    "hidden",
    "masked_rate",
    "share_time",
    "symbol_loss",
]

OBJECTIVES = ("elbo", "simple")
LEAST = 1e-30
Times = Callable[[Replacement, Key, int], Array]


def cross_entropy(log_p: Array, x_0: Array) -> Array:
    """-log p(x_0) at each position, (batch, positions)."""
    return -jnp.take_along_axis(log_p, x_0[..., None], axis=-1)[..., 0]


def masked_rate(process: Replacement, t: Array) -> Array:
    """-alpha' / (1 - alpha), the weight of the cross-entropy of masked symbols: 1 / t of the linear schedule."""
    alpha, fall = slope(process, t)
    return fall / (1 - alpha)


def bound_rate(process: Replacement, t: Array, x_0: Array, x_t: Array, log_p: Array) -> Array:
    """The integrand over t of the bound on -log p(x_0), at each position, (batch, positions); t is (batch,)."""
    if process.masks:
        gone = x_t == process.symbols
        return jnp.where(gone, expand(masked_rate(process, t), x_0) * cross_entropy(log_p, x_0), 0)
    true = reverse_rates(process, t, x_t, jax.nn.one_hot(x_0, process.symbols))
    ours = reverse_rates(process, t, x_t, jnp.exp(log_p))
    log_ratio = jnp.log(jnp.maximum(true, LEAST)) - jnp.log(jnp.maximum(ours, LEAST))
    return (ours - true + true * log_ratio).sum(-1)


def divergence(p: Array, q: Array) -> Array:
    """KL(p | q) of the laws in the last axis."""
    return jnp.where(p > 0, p * (jnp.log(jnp.maximum(p, LEAST)) - jnp.log(jnp.maximum(q, LEAST))), 0).sum(-1)


def _evaluated(process, parameterization, network, params, key, batch: Batch, t: Array) -> tuple[Array, Array]:
    """`(x_t, log p(x_0 | x_t))`."""
    key_x, key_net = jax.random.split(key)
    x_t = perturb(process, key_x, batch.x_0, t)
    return x_t, log_probabilities(process, parameterization, network, params, x_t, t, batch.condition, key_net)


def symbol_loss(
    process: Replacement, parameterization: Symbols, network: Network, times: Times, objective: str = "elbo"
) -> LossFn:
    """The bound by time; metrics "bits", the bound a symbol, and "cross_entropy", the mean of what was replaced.

    Args:
      times: `(process, key, batch) -> t`, such as `jaxdiff.losses.times.stratified(1e-3)`, uniform over [t_min, 1].
      objective: "elbo", the bound; or "simple", the cross-entropy of all positions, unweighted.
    """
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, OBJECTIVES)

    def loss_fn(params: Params, key: Key, batch: Batch):
        key_t, key_x = jax.random.split(key)
        t = times(process, key_t, batch.x_0.shape[0])
        x_t, log_p = _evaluated(process, parameterization, network, params, key_x, batch, t)
        entropy = cross_entropy(log_p, batch.x_0)
        bound = bound_rate(process, t, batch.x_0, x_t, log_p).mean()
        gone = x_t == process.symbols if process.masks else x_t != batch.x_0
        loss = bound if objective == "elbo" else entropy.mean()
        metrics = {"bits": bound / jnp.log(2), "cross_entropy": (entropy * gone).sum() / jnp.maximum(gone.sum(), 1)}
        return loss, metrics

    return loss_fn


def hidden(key: Key, x_0: Array, count: Array, symbol: int) -> Array:
    """x_0 (batch, positions) with `count` (batch,) positions of each example, drawn at random, replaced by a symbol."""
    order = jnp.argsort(jax.random.uniform(key, x_0.shape), axis=-1)
    rank = jnp.argsort(order, axis=-1)
    return jnp.where(rank < count[:, None], symbol, x_0)


def share_time(alpha: TimeFunction, share: Array) -> Array:
    """The t at which 1 - alpha(t) is a share of masks, by bisection."""

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        before = 1 - alpha(middle) < share
        return jnp.where(before, middle, low), jnp.where(before, high, middle)

    low, high = jax.lax.fori_loop(0, 32, halve, (jnp.zeros_like(share), jnp.ones_like(share)))
    return (low + high) / 2


def count_loss(process: Replacement, parameterization: Symbols, network: Network) -> LossFn:
    """The bound by the number of masks, evenly spread over a batch; metrics as of `symbol_loss`.

    Raises:
      InputError: the process has no masks.
    """
    if not process.masks:
        raise InputError("loss 'symbol_count': counts masks: take process masked, or loss symbols")

    def loss_fn(params: Params, key: Key, batch: Batch):
        key_k, key_x, key_net = jax.random.split(key, 3)
        n, length = batch.x_0.shape
        u = (jax.random.uniform(key_k) + jnp.arange(n) / n) % 1
        count = jnp.minimum(jnp.floor(u * length).astype(jnp.int32), length - 1) + 1
        x_t = hidden(key_x, batch.x_0, count, process.symbols)
        t = share_time(process.alpha, count / length)
        log_p = log_probabilities(process, parameterization, network, params, x_t, t, batch.condition, key_net)
        each = jnp.where(x_t == process.symbols, cross_entropy(log_p, batch.x_0), 0).sum(-1) / count
        return each.mean(), {"bits": each.mean() / jnp.log(2), "cross_entropy": each.mean()}

    return loss_fn


def chain_loss(process: Replacement, parameterization: Symbols, network: Network, steps: int = 1000) -> LossFn:
    """The bound of a chain of `steps` steps, one step drawn for each example."""

    def loss_fn(params: Params, key: Key, batch: Batch):
        key_t, key_x = jax.random.split(key)
        i = jnp.floor((jax.random.uniform(key_t) + jnp.arange(batch.x_0.shape[0]) / batch.x_0.shape[0]) % 1 * steps)
        i = jnp.minimum(i, steps - 1)
        s, t = i / steps, (i + 1) / steps
        x_t, log_p = _evaluated(process, parameterization, network, params, key_x, batch, t)
        true = posterior(process, s, t, x_t, jax.nn.one_hot(batch.x_0, process.symbols))
        step = divergence(true, posterior(process, s, t, x_t, jnp.exp(log_p)))
        loss = steps * step.mean()
        return loss, {"bits": loss / jnp.log(2), "cross_entropy": cross_entropy(log_p, batch.x_0).mean()}

    return loss_fn
