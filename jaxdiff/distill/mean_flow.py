"""MeanFlow (Geng et al. 2025): learn the mean velocity u(z, t, r) of the straight path, from r to t.

    u = v - (t - r) du/dt,        du/dt = v ∂_z u + ∂_t u        (a forward derivative through the network)
    L = |u - sg(v - (t - r) du/dt)|² / sg(|.|² + 0.01)^p,        v = eps - x_0

With a condition, guidance is inside the target: v becomes `omega v + kappa u(z, t, t | c) + (1 - omega - kappa)
u(z, t, t)`, and one call draws what takes two elsewhere.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxdiff.distill.common import check_straight, fixed, untold
from jaxdiff.gaussian.parameterization import Parameterization, evaluate
from jaxdiff.gaussian.process import Process, perturb
from jaxdiff.losses.needs import needs
from jaxdiff.types import ConditionSpec, LossFn, Network, expand

__all__ = ["mean_flow_loss"]


@needs(second_time=True, forward=True, samplers=("jump", "renoise", "any"))
def mean_flow_loss(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    mean: float = -0.4,
    std: float = 1.0,
    equal: float = 0.75,
    power: float = 1.0,
    omega: float = 1.0,
    kappa: float = 0.0,
    conditions: Mapping[str, ConditionSpec] = {},
) -> LossFn:
    """`(params, key, batch) -> (loss, metrics)`.

    Args:
      mean, std: of the logits of t and r, which are a sorted pair of logit-normal draws.
      equal: share of the batch with r = t, where this is flow matching.
      power: p of the adaptive weight; 0 for none, as in few dimensions, where large errors differ most from the mean.
      omega, kappa: guidance inside the target; 1 and 0 for none.
      conditions: what the network can be told, by name.

    Raises:
      InputError: another path than the straight one, or another parameterization than velocity.
    """
    check_straight(process, parameterization, "MeanFlow")

    def loss_fn(params, key, batch):
        key_t, key_equal, key_eps, key_net = jax.random.split(key, 4)
        n = batch.x_0.shape[0]
        pair = jax.nn.sigmoid(mean + std * jax.random.normal(key_t, (2, n)))
        t, r = pair.max(0), pair.min(0)
        r = jnp.where(jax.random.uniform(key_equal, (n,)) < equal, t, r)
        z, eps = perturb(process, key_eps, batch.x_0, t)

        def u(z, t, r, told=batch.condition, params=params):
            until = parameterization.time_input(process, r)
            told = {**(told or {}), "until": until}
            return evaluate(process, parameterization, network, params, z, t, told, key_net)

        v = eps - batch.x_0
        if batch.condition and (omega, kappa) != (1.0, 0.0):
            still = fixed(params)
            towards, away = u(z, t, t, params=still), u(z, t, t, untold(batch.condition, conditions), still)
            v = fixed(omega * v + kappa * towards + (1 - omega - kappa) * away)
        out, slope = jax.jvp(u, (z, t, r), (v, jnp.ones_like(t), jnp.zeros_like(r)))
        error = jnp.square(out - fixed(v - expand(t - r, z) * slope)).reshape(n, -1)
        weight = fixed((error.sum(1) + 0.01) ** -power)
        return jnp.mean(weight * error.sum(1)), {"mse": jnp.mean(error)}

    return loss_fn
