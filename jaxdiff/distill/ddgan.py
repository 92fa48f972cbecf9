"""Denoising diffusion GAN (Xiao et al. 2022): a few long steps whose posterior is not Gaussian, drawn by a generator.

    x_0' = G(x_t, t, z),   x_s' ~ q(x_s | x_t, x_0')           a fake pair (x_s', x_t), beside a real one (x_s, x_t)
    L_D = softplus(-D(x_s, x_t, t)) + softplus(D(x_s', x_t, t)) + gamma/2 |∇_{x_s} D(x_s, x_t, t)|²
    L_G = softplus(-D(x_s', x_t, t))

The two players are `params["generator"]` and `params["critic"]`, each a network of twice the channels of x: G sees x_t
and noise z beside it, and the first half of its output counts; D sees x_s and x_t, and its logit is the sum of its
output over the root of its size. Each player has the gradient of its own loss alone.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.grids import nested
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.posterior import Posterior
from jaxdiff.gaussian.process import Process, perturb, posterior, transition
from jaxdiff.losses.needs import needs
from jaxdiff.types import Array, Condition, LossFn, Network, Noise, Params, expand

__all__ = ["adversarial_loss", "make_posterior"]


def make_posterior(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    params: Params,
    condition: Condition | None = None,
    noise: Noise | None = None,
    dropout: Array | None = None,
) -> Posterior:
    """The posterior that a generator draws from, with z by the process's noise, or another one like it."""

    def draw(key, x_t, t):
        z = (noise or process.noise)(key, x_t)

        def beside(params, x, t, condition=None, key=None):
            out = network(params, jnp.concatenate([x, z], axis=-1), t, condition, key)
            return jnp.split(out, 2, axis=-1)[0]

        return make_denoiser(process, parameterization, beside, params, condition, dropout)(x_t, t)

    return draw


@needs(players="adversary", samplers=("posterior_jumps",))
def adversarial_loss(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    steps: int = 4,
    gamma: float = 0.05,
) -> LossFn:
    """`(params, key, batch) -> (loss, metrics)`, the sum of both players' losses.

    Args:
      steps: of the chain, whose times are those of `jaxdiff.gaussian.grids.nested`; the model draws in as many.
      gamma: of the penalty on the critic's slope at real pairs.
    """
    times = jnp.asarray(nested(process, steps, steps)[::-1])

    def loss_fn(params, key, batch):
        key_i, key_s, key_t, key_z, key_fake, key_net = jax.random.split(key, 6)
        x_0, told = batch.x_0, batch.condition
        i = jax.random.randint(key_i, x_0.shape[:1], 1, steps + 1)
        t, s = times[i], times[i - 1]
        x_s, _ = perturb(process, key_s, x_0, s)
        scale, variance = transition(process, s, t)
        x_t = expand(scale, x_0) * x_s + expand(jnp.sqrt(variance), x_0) * process.noise(key_t, x_0)

        draw = make_posterior(process, parameterization, network, params["generator"], told, dropout=key_net)
        of_x_t, of_x_0, variance = (expand(c, x_0) for c in posterior(process, s, t))
        fresh = jnp.sqrt(variance) * process.noise(key_fake, x_0)
        fake = of_x_t * x_t + of_x_0 * draw(key_z, x_t, t) + fresh

        def logit(player, x_s):
            both = jnp.concatenate([x_s, x_t], axis=-1)
            out = network(player, both, parameterization.time_input(process, t), told, None)
            return out.reshape(out.shape[0], -1).sum(1) / np.sqrt(out[0].size)

        critic, still = params["critic"], jax.lax.stop_gradient
        real, slope = jax.vjp(lambda x: logit(critic, x), x_s)
        penalty = jnp.square(slope(jnp.ones_like(real))[0]).reshape(x_0.shape[0], -1).sum(1)
        of_critic = jax.nn.softplus(-real) + jax.nn.softplus(logit(critic, still(fake))) + gamma / 2 * penalty
        of_generator = jax.nn.softplus(-logit(still(critic), fake))
        metrics = {"generator": jnp.mean(of_generator), "critic": jnp.mean(of_critic)}
        return jnp.mean(of_critic + of_generator), metrics

    return loss_fn
