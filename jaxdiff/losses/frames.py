"""Losses of sequences (batch, frames, ...): a time for each frame, and states that are held in place.

frames    every frame is noised to a time of its own, drawn independently (Chen et al. 2024, diffusion forcing)
held      the first and the last frames stay free of noise, and the network learns to draw what lies between
          (Janner et al. 2022, Diffuser: the start and the goal of a plan)
"""

import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.gaussian.parameterization import Parameterization, evaluate, target
from jaxdiff.gaussian.process import Process, perturb
from jaxdiff.losses.needs import needs
from jaxdiff.losses.times import Times
from jaxdiff.losses.weights import Weight
from jaxdiff.types import LossFn, Network, expand

__all__ = ["frames_loss", "held_loss"]


@needs(samplers=("staggered", "any"), times=True)
def frames_loss(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    weight: Weight,
    times: Times,
    together: float = 0.0,
) -> LossFn:
    """The mean over frames of `w(t_f) |out_f - target_f|²`, with a time t_f for each frame.

    Args:
      times: from which batch times frames are drawn, and dealt out at random.
      together: share of the examples whose frames all have the same time, as when the full sequence is sampled; each is
        drawn alone, so that it is the share in parts of any size.
    """

    def loss_fn(params, key, batch):
        key_t, key_deal, key_eps, key_net = jax.random.split(key, 4)
        x_0 = batch.x_0
        n, frames = x_0.shape[:2]
        t = jax.random.permutation(key_deal, times(process, key_t, n * frames)).reshape(n, frames)
        one = jax.random.uniform(jax.random.fold_in(key_deal, 1), (n, 1)) < together
        t = jnp.where(one, t[:, :1], t)
        x_t, eps = perturb(process, key_eps, x_0, t)
        out = evaluate(process, parameterization, network, params, x_t, t, batch.condition, key_net)
        error = jnp.square(out - target(process, parameterization, x_0, eps, t)).reshape(n, frames, -1).mean(-1)
        return jnp.mean(weight(process, parameterization, t) * error), {"mse": jnp.mean(error)}

    return loss_fn


def held_loss(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    weight: Weight,
    times: Times,
    first: int = 1,
    last: int = 1,
    share: float = 1.0,
) -> LossFn:
    """The weighted squared error over the frames that are not held, the held ones being given without noise.

    Args:
      first, last: how many frames of each end are held; of `last`, 0 where plans only have a start.
      share: with which each end is held, and not drawn like the rest; below 1, plans may lack a start or a goal.
    """

    def loss_fn(params, key, batch):
        key_t, key_held, key_eps, key_net = jax.random.split(key, 4)
        x_0 = batch.x_0
        if first + last >= x_0.shape[1]:
            raise InputError(f"loss.first={first}, loss.last={last}: leave some of the {x_0.shape[1]} steps free")
        t = times(process, key_t, x_0.shape[0])
        begins, stops = jax.random.uniform(key_held, (2, x_0.shape[0], 1)) < share
        places = jnp.arange(x_0.shape[1])
        known = expand((begins & (places < first)) | (stops & (places >= x_0.shape[1] - last)), x_0)
        x_t, eps = perturb(process, key_eps, x_0, t)
        x_t = jnp.where(known, x_0, x_t)
        out = evaluate(process, parameterization, network, params, x_t, t, batch.condition, key_net)
        squares = jnp.where(known, 0, jnp.square(out - target(process, parameterization, x_0, eps, t)))
        free = 1 - share * (first + last) / x_0.shape[1]  # on average: in parts of a batch, too
        error = squares.reshape(x_0.shape[0], -1).mean(1) / free
        return jnp.mean(weight(process, parameterization, t) * error), {"mse": jnp.mean(error)}

    return loss_fn
