"""Importance sampling of times by the second moment of their losses (Nichol and Dhariwal 2021, section 3.3).

    t ~ p(t) ∝ sqrt(E[L(t)²]),     loss = E_t[L(t) / (T p(t))]

so that the gradient of a loss that is far larger at some times, such as the variational bound, is less noisy. The
moment is taken over the last losses at each of the chain's T times; until every time has been seen often enough, p is
even.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process
from jaxdiff.losses.diffusion import squared_error
from jaxdiff.losses.weights import Weight
from jaxdiff.types import Array, Network, StatefulLoss

__all__ = ["History", "importance_loss", "probabilities", "remember"]


class History(NamedTuple):
    """The last losses at each time, (steps, keep), the oldest first, and how many were ever seen, (steps,)."""

    losses: Array
    seen: Array


def importance_loss(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    weight: Weight,
    steps: int = 1000,
    keep: int = 10,
    even: float = 1e-3,
) -> StatefulLoss:
    """The loss of `diffusion_loss` with times of a chain of `steps`, drawn where they matter.

    Args:
      keep: losses that are remembered at each time.
      even: share of the draws that stays uniform, from 0 to 1.
    """

    def init():
        return History(jnp.zeros((steps, keep)), jnp.zeros(steps, jnp.int32))

    def loss_fn(params, history, key, batch):
        key_t, key_error = jax.random.split(key)
        probability = probabilities(history, even)
        index = jax.random.choice(key_t, steps, (batch.x_0.shape[0],), p=probability)
        t = (index + 1) / steps
        error = squared_error(process, parameterization, network, params, key_error, batch, t)
        losses = weight(process, parameterization, t) * error
        metrics = {"mse": jnp.mean(error)}
        return jnp.mean(losses / (steps * probability[index])), (metrics, remember(history, index, losses))

    return StatefulLoss(init, loss_fn)


def probabilities(history: History, even: float) -> Array:
    """p(t) of each time: (steps,)."""
    steps, keep = history.losses.shape
    size = jnp.sqrt(jnp.mean(history.losses**2, axis=1))
    share = (1 - even) * size / jnp.maximum(size.sum(), jnp.finfo(size.dtype).tiny) + even / steps
    return jnp.where((history.seen >= keep).all() & (size.sum() > 0), share, 1 / steps)


def remember(history: History, index: Array, losses: Array) -> History:
    """The history after losses (batch,) at the times `index` (batch,), which may repeat."""

    def one(history, along):
        i, loss = along
        row = jnp.roll(history.losses[i], -1).at[-1].set(loss)
        return History(history.losses.at[i].set(row), history.seen.at[i].add(1)), None

    return jax.lax.scan(one, history, (index, jax.lax.stop_gradient(losses)))[0]
