"""Variational diffusion models (Kingma et al. 2021): the bound itself is the loss, and the schedule is learned.

The parameters are `{"net": ..., "schedule": ...}`, and the process follows from the second. The bound's diffusion term
does not change with the interior of the schedule, only its variance does; the ends are learned for the bound's sake.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.denoiser import make_denoiser
from jaxdiff.likelihood import bits_per_dim, continuous_bound, softmax_decoder
from jaxdiff.parameterization import Parameterization
from jaxdiff.process import Process, log_snr
from jaxdiff.types import LossFn, Network, Params


def bound_loss(
    schedule: Callable[[Params], Process], parameterization: Parameterization, network: Network, levels: int = 256
) -> LossFn:
    """The continuous bound in bits per dimension, of data on `levels` values, with the terms as metrics.

    Args:
      schedule: `params["schedule"] -> process`, with sigma(0) above 0.
    """

    def loss_fn(params, key, batch):
        key_bound, key_net = jax.random.split(key)
        process = schedule(params["schedule"])
        denoiser = make_denoiser(process, parameterization, network, params["net"], batch.condition, key_net)
        bound = continuous_bound(process, denoiser, key_bound, batch.x_0, softmax_decoder(levels))
        dimensions = batch.x_0[0].size
        metrics = {name: jnp.mean(bits_per_dim(term, dimensions)) for name, term in bound._asdict().items()}
        return jnp.mean(bits_per_dim(bound.total(), dimensions)), metrics

    return loss_fn


def by_log_snr(parameterization: Parameterization, high: float = 13.3, low: float = -5.0) -> Parameterization:
    """The network sees the log-SNR in place of t, from 0 at `high` to 1000 at `low`: for a schedule that is learned."""
    return parameterization._replace(time_input=lambda process, t: 1000 * (high - log_snr(process, t)) / (high - low))
