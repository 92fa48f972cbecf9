"""Reconstruction: the loss of an autoencoder of latent diffusion (Rombach et al. 2022), without its adversary.

With z drawn from the encoder's N(m, v) and x̂ decoded from it,

    L = 1/n Σ |x - x̂| + kl / n Σ KL(N(m, v) || N(0, 1)),        KL = (m² + v - 1 - log v) / 2

the first sum over the n values of x, the second over those of z. The paper's kl, 1e-6, keeps latents from growing and
next to no noise in them; it has features of a classifier beside |x - x̂|, whose weights come with no package.
"""

import jax.numpy as jnp

from jaxdiff.losses.needs import needs
from jaxdiff.types import Array, Batch, Key, LossFn, Params

__all__ = ["divergence", "reconstruction_loss"]


def divergence(mean: Array, log_variance: Array) -> Array:
    """KL(N(mean, variance) || N(0, 1)) in nats, elementwise."""
    return 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance)


@needs(autoencoder=True)
def reconstruction_loss(network, kl: float = 1e-6) -> LossFn:
    """`(params, key, batch) -> (loss, metrics)`, with "psnr", in dB of values from -1 to 1, and "kl" a latent's value.

    Args:
      network: `(params, x, key) -> (x̂, mean, log_variance)`.
      kl: weight of the divergence, as of sums over an example.
    """

    def loss_fn(params: Params, key: Key, batch: Batch):
        x = batch.x_0
        seen, mean, log_variance = network(params, x, key)
        nats = divergence(mean, log_variance)
        loss = jnp.mean(jnp.abs(seen - x)) + kl * jnp.sum(nats) / x.size
        squared = jnp.mean((seen - x) ** 2, axis=range(1, x.ndim))
        return loss, {"psnr": jnp.mean(10 * jnp.log10(4 / squared)), "kl": jnp.mean(nats)}

    return loss_fn
