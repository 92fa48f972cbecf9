"""A network that also says how uncertain each reverse step is (Improved DDPM, Nichol and Dhariwal 2021, section 3.1).

Its output has twice the channels of x: the first half means what the parameterization says, the second half v sets the
variance of the step between its two bounds,

    log variance = f log(fixed_large) + (1 - f) log(fixed_small),        f = (v + 1) / 2

trained by `L_hybrid = L_simple + 0.001 L_vlb`, where the bound's gradient goes to the variance alone.
"""

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.parameterization import Parameterization, evaluate, target, to_x0
from jaxdiff.gaussian.process import Process, perturb, posterior, require_white
from jaxdiff.likelihood import bits_per_dim, discretized_normal, normal_kl
from jaxdiff.losses.needs import needs
from jaxdiff.samplers.ancestral import between
from jaxdiff.types import Array, Condition, LossFn, Network, Params, expand, per_example

__all__ = ["hybrid_loss", "make_fraction", "mean_network", "step_bound"]


def mean_network(network: Network) -> Network:
    """The network with the first half of its channels."""

    def mean(params, x, t, condition=None, key=None):
        return jnp.split(network(params, x, t, condition, key), 2, axis=-1)[0]

    return mean


def make_fraction(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    params: Params,
    condition: Condition | None = None,
):
    """`(x_t, t) -> f`, shaped like x_t: for `jaxdiff.samplers.learned_range`."""

    def fraction(x_t, t):
        t = per_example(t, x_t)
        out = evaluate(process, parameterization, network, params, x_t, t, condition)
        return (jnp.split(out, 2, axis=-1)[1] + 1) / 2

    return fraction


@needs(outputs=2)
def hybrid_loss(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    steps: int = 1000,
    levels: int = 256,
    bound_weight: float = 1e-3,
) -> LossFn:
    """`L_simple + bound_weight L_vlb` at uniform times of a chain of `steps`; the bound is in bits per dimension.

    Args:
      levels: of the data in [-1, 1], for the decoder at the chain's first step.

    Raises:
      InputError: a process with noise other than `normal`, whose bound is another.
    """
    require_white(process, "the hybrid loss's bound")

    def loss_fn(params, key, batch):
        key_t, key_eps, key_net = jax.random.split(key, 3)
        x_0 = batch.x_0
        index = jax.random.randint(key_t, x_0.shape[:1], 0, steps)
        t, s = (index + 1) / steps, index / steps
        x_t, eps = perturb(process, key_eps, x_0, t)
        out = evaluate(process, parameterization, network, params, x_t, t, batch.condition, key_net)
        mean, v = jnp.split(out, 2, axis=-1)
        error = _mean(jnp.square(mean - target(process, parameterization, x_0, eps, t)))
        x_hat = jax.lax.stop_gradient(to_x0(process, parameterization, mean, x_t, t))
        bound = steps * step_bound(process, x_0, x_hat, (v + 1) / 2, s, t, levels)
        metrics = {"mse": jnp.mean(error), "bits_per_dim": jnp.mean(bound)}
        return jnp.mean(error + bound_weight * bound), metrics

    return loss_fn


def step_bound(process: Process, x_0: Array, x_hat: Array, fraction: Array, s: Array, t: Array, levels: int) -> Array:
    """The bound's term of the step from t to s, (batch,) in bits per dimension; of the decoder where s = 0."""
    _, of_x_0, small = (expand(c, x_0) for c in posterior(process, s, t))
    to_data = expand(s == 0, x_0)
    variance = between(process, fraction, s, t)
    kl = normal_kl(of_x_0 * x_0, jnp.where(to_data, 1.0, small), of_x_0 * x_hat, variance)
    decoder = -discretized_normal(x_0, x_hat, jnp.sqrt(variance), levels)
    return bits_per_dim(_mean(jnp.where(to_data, decoder, kl)), 1)


def _mean(terms: Array) -> Array:
    return terms.reshape(terms.shape[0], -1).mean(1)
