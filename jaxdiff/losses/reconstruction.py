"""Reconstruction: the loss of an autoencoder of latent diffusion (Rombach et al. 2022), without its adversary.

With z drawn from the encoder's N(m, v), x̂ decoded from it, and d the distance of `jaxdiff.losses.perceptual`,

    L = 1/n Σ |x - x̂| + perceptual d(x, x̂) + kl / n Σ KL(N(m, v) || N(0, 1)),        KL = (m² + v - 1 - log v) / 2

the first sum over the n values of x, the last over those of z. The paper's kl, 1e-6, keeps latents from growing and
next to no noise in them. Its likelihood has a scale as well, a parameter that its code never trains: it stays 1. The
adversary is `jaxdiff.losses.adversary`.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.losses.needs import needs
from jaxdiff.losses.perceptual import Features, perceptual_distance
from jaxdiff.types import Array, Batch, Key, LossFn, Params

__all__ = ["divergence", "figures", "make_error", "reconstruction_loss"]


def divergence(mean: Array, log_variance: Array) -> Array:
    """KL(N(mean, variance) || N(0, 1)) in nats, elementwise."""
    return 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance)


def make_error(perceptual: float, features: Features | None) -> Callable[[Array, Array], tuple[Array, dict]]:
    """`(x̂, x) -> (error, metrics)`: the absolute error, and the distance of features where there are some.

    Raises:
      InputError: features without their weight, or a weight without features.
    """
    if (features is None) != (perceptual == 0):
        raise InputError(
            f"loss.perceptual={perceptual}: is the weight of loss.features, which are "
            f"{'not ' if features is None else ''}there: give both or neither"
        )

    def error(seen: Array, x: Array) -> tuple[Array, dict]:
        plain = jnp.mean(jnp.abs(seen - x))
        if features is None:
            return plain, {}
        distance = jnp.mean(perceptual_distance(features, seen, x))
        return plain + perceptual * distance, {"perceptual": distance}

    return error


def figures(seen: Array, x: Array, nats: Array) -> dict[str, Array]:
    """ "psnr", in dB of values from -1 to 1, and "kl", a latent's value."""
    squared = jnp.mean((seen - x) ** 2, axis=range(1, x.ndim))
    return {"psnr": jnp.mean(10 * jnp.log10(4 / squared)), "kl": jnp.mean(nats)}


@needs(autoencoder=True)
def reconstruction_loss(network, kl: float = 1e-6, perceptual: float = 0.0, features: Features | None = None) -> LossFn:
    """`(params, key, batch) -> (loss, metrics)`: those of `figures`, and "perceptual" where there are features.

    Args:
      network: `(params, x, key) -> (x̂, mean, log_variance)`.
      kl: weight of the divergence, as of sums over an example.
      perceptual: weight of the distance of features.
      features: of images, see `jaxdiff.losses.perceptual`.

    Raises:
      InputError: features without their weight, or a weight without features.
    """
    error = make_error(perceptual, features)

    def loss_fn(params: Params, key: Key, batch: Batch):
        x = batch.x_0
        seen, mean, log_variance = network(params, x, key)
        nats = divergence(mean, log_variance)
        value, metrics = error(seen, x)
        return value + kl * jnp.sum(nats) / x.size, {**figures(seen, x, nats), **metrics}

    return loss_fn
