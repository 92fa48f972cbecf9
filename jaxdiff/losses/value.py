"""Value: what reward a noisy trajectory promises, learned from pairs of data and rewards; a guide for plans.

    soft    V = log E[exp(r) | x_t], the minimum of E[exp(r - V) + V]: with its gradient as guidance
            (`jaxdiff.guidance.by_density`) data is drawn with weight exp(r), exactly
    mean    V = E[r | x_t], the minimum of E[(r - V)²] (Janner et al. 2022, Diffuser): the same to first order in r

The network is any that takes x_t and t; V is the mean of its outputs over an example.
"""

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.parameterization import Parameterization, evaluate
from jaxdiff.gaussian.process import Process, perturb
from jaxdiff.losses.times import Times
from jaxdiff.types import Array, Key, LossFn, Network, Params, per_example

__all__ = ["value_loss", "value_of"]


def value_of(
    process: Process, parameterization: Parameterization, network: Network, params: Params, key: Key | None = None
):
    """`(x_t, t) -> V`, (batch,), of a network with these parameters, and with a key, if it trains.

    Args:
      parameterization: how the network is given x_t and t; what its output would mean is of no account.
    """

    def value(x_t: Array, t: Array) -> Array:
        out = evaluate(process, parameterization, network, params, x_t, per_example(t, x_t), None, key)
        return out.reshape(len(x_t), -1).mean(1)

    return value


def value_loss(
    process: Process, parameterization: Parameterization, network: Network, times: Times, soft: bool = True
) -> LossFn:
    """`(params, key, batch) -> (loss, metrics)`, of batches whose condition "value" is the reward, (batch,).

    Args:
      soft: learn the logarithm of the mean of exp(r), in place of the mean of r; r should be of order one.
    """

    def loss_fn(params, key, batch):
        key_t, key_eps, key_net = jax.random.split(key, 3)
        reward = jnp.reshape(batch.condition["value"], (-1,))
        t = times(process, key_t, len(reward))
        x_t, _ = perturb(process, key_eps, batch.x_0, t)
        value = value_of(process, parameterization, network, params, key_net)(x_t, t)
        squares = jnp.mean((reward - value) ** 2)
        # Less what it is at V = r, where it is least, so that it is never negative.
        loss = jnp.mean(jnp.exp(reward - value) - 1 - (reward - value)) if soft else squares
        return loss, {"mse": squares}

    return loss_fn
