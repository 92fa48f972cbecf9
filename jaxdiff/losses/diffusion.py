"""Loss: the weighted squared error of a network's output, over times drawn at random.

    L = E_{t, x_0, eps} w(t) |out(x_t, t) - (a x_0 + b eps)|² / d

with d the dimension of the space that an example lives in, onto which data and output are projected: by default the
number of its components.

The weights are in `jaxdiff.losses.weights`, the time samplers in `jaxdiff.losses.times`.
"""

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.parameterization import Parameterization, evaluate, target
from jaxdiff.gaussian.process import Process, on, perturb
from jaxdiff.losses.times import Times
from jaxdiff.losses.weights import Weight
from jaxdiff.types import Array, Batch, Key, LossFn, Network, Params

__all__ = ["diffusion_loss", "squared_error"]


def squared_error(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    params: Params,
    key: Key,
    batch: Batch,
    t: Array,
) -> Array:
    """The mean squared error of the output over the dimensions of each example, (batch,), at times t (batch,)."""
    process = on(process, batch.condition)
    key_eps, key_net = jax.random.split(key)
    x_0 = process.space.project(batch.x_0)
    x_t, eps = perturb(process, key_eps, x_0, t)
    out = evaluate(process, parameterization, network, params, x_t, t, batch.condition, key_net)
    error = process.space.project(out) - target(process, parameterization, x_0, eps, t)
    return jnp.square(error).reshape(x_0.shape[0], -1).sum(axis=1) / process.space.dimension(x_0)


def diffusion_loss(
    process: Process, parameterization: Parameterization, network: Network, weight: Weight, times: Times
) -> LossFn:
    """`(params, key, batch) -> (loss, metrics)`: the mean over the batch, and "mse", its unweighted error."""

    def loss_fn(params, key, batch):
        key_t, key_error = jax.random.split(key)
        t = times(process, key_t, batch.x_0.shape[0])
        error = squared_error(process, parameterization, network, params, key_error, batch, t)
        return jnp.mean(weight(process, parameterization, t) * error), {"mse": jnp.mean(error)}

    return loss_fn
