"""Loss: the weighted squared error of a network's output, over times drawn at random.

    L = E_{t, x_0, eps} w(t) |out(x_t, t) - (a x_0 + b eps)|²,  averaged over the components of an example

A weight is given for the output's error, and most are stated in the literature for the error in eps; `eps_error` is the
factor between them, so each weight below means the same for every parameterization.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.parameterization import Parameterization, eps_error, target
from jaxdiff.process import Process, log_snr, perturb
from jaxdiff.types import Array, Batch, Key, Network, Params, expand

Weight = Callable[[Process, Parameterization, Array], Array]
"""`(process, parameterization, t) -> w`, (batch,), the factor on the squared error of the output."""

Times = Callable[[Key, int], Array]
"""`(key, batch) -> t`, (batch,)."""

LossFn = Callable[[Params, Key, Batch], tuple[Array, dict[str, Array]]]


def simple() -> Weight:
    """One, whatever the output means (for eps: L_simple of Ho et al. 2020, equation 14)."""
    return lambda process, parameterization, t: jnp.ones_like(t)


def elbo() -> Weight:
    """`-lambda'(t) / 2` on the error in eps: the variational bound, in nats per component when t is uniform on [0, 1].

    Kingma et al. 2021, equation 17. Grows without limit towards t = 0.
    """

    def weight(process, parameterization, t):
        _, slope = jax.jvp(lambda t: log_snr(process, t), (t,), (jnp.ones_like(t),))
        return -0.5 * slope * eps_error(process, parameterization, t)

    return weight


def min_snr(gamma: float = 5.0) -> Weight:
    """min(SNR, gamma) on the error in x_0, which is min(1, gamma / SNR) on that in eps (Hang et al. 2023)."""

    def weight(process, parameterization, t):
        return jnp.minimum(1, gamma * jnp.exp(-log_snr(process, t))) * eps_error(process, parameterization, t)

    return weight


def uniform(t_min: float = 0.0, steps: int | None = None) -> Times:
    """Independent times, uniform on [t_min, 1]; with `steps`, on the times of a chain of that many steps."""
    return _times(lambda key, batch: jax.random.uniform(key, (batch,)), t_min, steps)


def stratified(t_min: float = 0.0, steps: int | None = None) -> Times:
    """One random offset, then evenly spaced: uniform times that cover [t_min, 1] (Kingma et al. 2021, appendix I.1)."""
    return _times(lambda key, batch: (jax.random.uniform(key) + jnp.arange(batch) / batch) % 1, t_min, steps)


def _times(draw: Times, t_min: float, steps: int | None) -> Times:
    if not 0 <= t_min < 1:
        raise InputError(f"t_min={t_min}: the smallest time must lie in [0, 1)")
    if steps is not None and (steps < 1 or t_min):
        raise InputError(f"steps={steps}, t_min={t_min}: steps must be 1 or more, and a chain has no t_min")

    def times(key, batch):
        u = draw(key, batch)
        return (jnp.floor(u * steps) + 1) / steps if steps else 1 - (1 - t_min) * u

    return times


def diffusion_loss(
    process: Process, parameterization: Parameterization, network: Network, weight: Weight, times: Times
) -> LossFn:
    """`(params, key, batch) -> (loss, metrics)`: the mean over the batch, and "mse", its unweighted error."""

    def loss_fn(params, key, batch):
        key_t, key_eps, key_net = jax.random.split(key, 3)
        x_0 = batch.x_0
        t = times(key_t, x_0.shape[0])
        x_t, eps = perturb(process, key_eps, x_0, t)
        scaled = expand(parameterization.input_scale(process, t), x_t) * x_t
        out = network(params, scaled, parameterization.time_input(process, t), batch.condition, key_net)
        error = jnp.square(out - target(process, parameterization, x_0, eps, t)).reshape(x_0.shape[0], -1).mean(axis=1)
        return jnp.mean(weight(process, parameterization, t) * error), {"mse": jnp.mean(error)}

    return loss_fn
