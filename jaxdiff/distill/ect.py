"""Easy consistency tuning (Geng et al. 2025): from a diffusion model to a consistency model, without a teacher.

It begins with r = 0, the data, where consistency training is plain training, and brings r closer to t in stages:

    rho_r = rho_t max(0, 1 - (1 + 8 sigmoid(-rho_t)) / base^(stage + 1)),        rho = sigma / alpha
    L = d(f(x_t, t), sg f(x_r, r)) / (rho_t - rho_r)

with the distance of `jaxdiff.distill.consistency`; x_r has the data and the noise of x_t.
"""

import jax
import jax.numpy as jnp

from jaxdiff.distill.consistency import consistency_loss
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process, log_snr, perturb, time_at
from jaxdiff.losses.needs import needs
from jaxdiff.losses.times import Times
from jaxdiff.types import Network, StatefulLoss

__all__ = ["easy_consistency"]


@needs(samplers=("renoise",))
def easy_consistency(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    times: Times,
    base: float = 2.0,
    stage: int = 100_000,
    stages: int = 8,
    c: float = 5.4e-4,
) -> StatefulLoss:
    """A loss that turns the model with which training begins into a consistency model.

    Args:
      times: of t, such as log_normal(-1.1, 2.0).
      base: how much closer r comes to t in each stage; 256 does it in one.
      stage: examples in a stage, of which there are `stages`.
    """

    def pairs(memory, key, batch):
        key_t, key_eps = jax.random.split(key)
        t = times(process, key_t, batch.x_0.shape[0])
        rho = jnp.exp(-0.5 * log_snr(process, t))
        now = jnp.minimum(memory.seen // stage, stages - 1)
        shrink = jnp.maximum(1 - (1 + 8 * jax.nn.sigmoid(-rho)) / base ** (now + 1.0), 0)
        r = time_at(process, -2 * jnp.log(rho * shrink))
        (x_t, _), (x_r, _) = (perturb(process, key_eps, batch.x_0, time) for time in (t, r))
        return x_t, t, x_r, r, 1 / (rho * (1 - shrink))

    return consistency_loss(process, parameterization, network, pairs, c)
