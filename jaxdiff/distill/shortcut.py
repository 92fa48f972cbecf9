"""Shortcut models (Frans et al. 2025): one step of length d is two of d / 2, down to flow matching at d = 0.

    L = |u(z, t, t) - (eps - x_0)|²,      and for a share of the batch      |u(z, t, t - d) - (u_1 + u_2) / 2|²
    u_1 = u'(z, t, t - d/2),   u_2 = u'(z - d/2 u_1, t - d/2, t - d),   d = 1, 1/2, ..., 2 / 2^levels

u' is of an average of the parameters, and u'(., t, t) for the shortest steps. The network is told where a step ends,
not how long it is.
"""

import jax
import jax.numpy as jnp

from jaxdiff.distill.common import check_straight, fixed, followed, mean_square, remember
from jaxdiff.gaussian.parameterization import Parameterization, evaluate
from jaxdiff.gaussian.process import Process, perturb
from jaxdiff.losses.needs import needs
from jaxdiff.types import Network, StatefulLoss, expand

__all__ = ["shortcut_loss"]


@needs(second_time=True, samplers=("jump", "renoise", "any"))
def shortcut_loss(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    levels: int = 7,
    share: float = 0.25,
    half_life: float = 20_000.0,
) -> StatefulLoss:
    """A loss of the whole batch, of which each example may be one with d > 0.

    Args:
      levels: the shortest step is 2^-levels.
      share: of the examples, each drawn alone, so that it is the share in parts of any size.
      half_life: of the average, in examples.

    Raises:
      InputError: another path than the straight one, or another parameterization than velocity.
    """
    check_straight(process, parameterization, "a shortcut model")
    shortest = 2.0**-levels

    def loss_fn(params, memory, key, batch):
        key_t, key_level, key_eps, key_net = jax.random.split(key, 4)
        n = batch.x_0.shape[0]
        far = jax.random.uniform(jax.random.fold_in(key_level, 1), (n,)) < share
        uniform = 1 - jax.random.uniform(key_t, (n,))
        d = 2.0 ** -jax.random.randint(key_level, (n,), 0, levels).astype(jnp.float32)
        t = jnp.where(far, jnp.ceil(uniform / d) * d, uniform)
        z, eps = perturb(process, key_eps, batch.x_0, t)

        def u(params, z, t, s, key=None):
            told = {**(batch.condition or {}), "until": parameterization.time_input(process, s)}
            return evaluate(process, parameterization, network, params, z, t, told, key)

        middle, still = t - d / 2, fixed(memory.average)
        ends = lambda begin, end: jnp.where(d / 2 <= shortest, begin, end)
        first = u(still, z, t, ends(t, middle))
        second = u(still, z - expand(d / 2, z) * first, middle, ends(middle, t - d))
        goal = jnp.where(expand(far, z), (first + second) / 2, eps - batch.x_0)
        error = mean_square(u(params, z, t, jnp.where(far, t - d, t), key_net) - fixed(goal))
        metrics = {"mse": jnp.mean(error), "far": jnp.sum(far * error) / jnp.maximum(far.sum(), 1)}
        return jnp.mean(error), (metrics, followed(memory, params, n, half_life))

    return StatefulLoss(None, loss_fn, remember(average=True))
