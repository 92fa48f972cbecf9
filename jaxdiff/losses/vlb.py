"""Variational diffusion models (Kingma et al. 2021): the bound itself is the loss, and the schedule is learned.

The parameters are `{"net": ..., "schedule": ...}`, and the process follows from the second. The bound's diffusion term
D, an integral over log-SNR, depends on the schedule's two ends alone. Between them the schedule decides how much an
estimate of D at random times scatters: it is trained for that, by the gradient of E[D²] (appendix I.2), which is that
of the variance, while the network and the ends follow the gradient of the bound.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process, log_snr, perturb
from jaxdiff.gaussian.schedules import from_log_snr
from jaxdiff.likelihood import Bound, bits_per_dim, continuous_term, even_shares, prior_kl, softmax_decoder
from jaxdiff.losses.needs import needs
from jaxdiff.types import Array, LossFn, Network, Params

__all__ = ["ENDS", "bound_loss", "by_log_snr", "squared_in_backward"]

ENDS = ("start", "end")
"""The schedule's parameters that the bound depends on."""


@needs(learned_process=True)
def bound_loss(
    schedule: Callable[[Params], Process], parameterization: Parameterization, network: Network, levels: int = 256
) -> LossFn:
    """The continuous bound in bits per dimension, of data on `levels` values, with the terms as metrics.

    Args:
      schedule: `params["schedule"] -> process`, variance preserving, with sigma(0) above 0; of its parameters "start"
        and "end" are the ends, and all others the interior.
    """

    def loss_fn(params, key, batch):
        key_bound, key_net = jax.random.split(key)
        key_t, key_eps, key_first = jax.random.split(key_bound, 3)
        x_0 = batch.x_0
        t = 1 - even_shares(key_t, x_0.shape[0])
        learned = params["schedule"]
        ends = {name: value for name, value in learned.items() if name in ENDS}
        by_ends = schedule(jax.lax.stop_gradient(learned) | ends)
        by_interior = schedule(learned | jax.lax.stop_gradient(ends))

        def denoiser_of(process):
            return make_denoiser(process, parameterization, network, params["net"], batch.condition, key_net)

        def diffusion(bend):
            """D of each example where the log-SNR at its t is higher by `bend[0]`, and its slope by `bend[1]`."""
            bent = from_log_snr(lambda u: log_snr(by_ends, u) + bend[0] + bend[1] * (u - t))
            return continuous_term(bent, denoiser_of(bent), key_eps, x_0, t)

        # Zeros, whose gradient leads to the interior.
        here, rise = jax.jvp(lambda u: log_snr(by_interior, u), (t,), (jnp.ones_like(t),))
        bend = here - jax.lax.stop_gradient(here), rise - jax.lax.stop_gradient(rise)
        first, _ = perturb(by_ends, key_first, x_0, jnp.zeros(()))
        decoded = softmax_decoder(levels)(by_ends, denoiser_of(by_ends), x_0, first, jnp.zeros(()))
        bound = Bound(prior_kl(by_ends, x_0), squared_in_backward(diffusion, bend), -decoded)
        dimensions = x_0[0].size
        metrics = {name: jnp.mean(bits_per_dim(term, dimensions)) for name, term in bound._asdict().items()}
        return jnp.mean(bits_per_dim(bound.total(), dimensions)), metrics

    return loss_fn


def squared_in_backward(function: Callable[[Any], Array], argument: Any) -> Array:
    """`function(argument)`, (batch,), whose gradient by the argument alone is that of its square.

    The argument is a tree of arrays (batch,), an example's value depending on its own. One pass forward and one back.
    """
    converted, constants = jax.closure_convert(function, argument)
    value = jax.custom_vjp(converted)

    def forward(argument, *constants):
        out, back = jax.vjp(converted, argument, *constants)
        return out, (out, back)

    def backward(saved, cotangent):
        out, back = saved
        of_argument, *rest = back(cotangent)
        return (jax.tree.map(lambda g: 2 * out * g, of_argument), *rest)

    value.defvjp(forward, backward)
    return value(argument, *constants)


def by_log_snr(parameterization: Parameterization, high: float = 13.3, low: float = -5.0) -> Parameterization:
    """The network sees the log-SNR in place of t, from 0 at `high` to 1000 at `low`: for a schedule that is learned."""
    return parameterization._replace(time_input=lambda process, t: 1000 * (high - log_snr(process, t)) / (high - low))
