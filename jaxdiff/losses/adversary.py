"""Adversary: the whole loss of an autoencoder of latent diffusion (Rombach et al. 2022, after Esser et al. 2021).

A critic D, told pictures alone, gives logits of many parts of each (Isola et al. 2017), and learns which are real:

    E   = 1/n Σ |x - x̂| + perceptual d(x, x̂)                      `jaxdiff.losses.reconstruction`
    G   = - mean D(x̂)
    L_D = (mean max(0, 1 - D(x)) + mean max(0, 1 + D(x̂))) / 2     the hinge loss (Lim and Ye 2017)
    L_A = E + kl / n Σ KL + adversary w G,        w = |∇_K E| / (|∇_K G| + 1e-4), cut off at 1e4, and held fixed

K is the decoder's last kernel: there both gradients are equally long, whatever the scales of E and of D. Before `start`
examples were seen, w and L_D count as 0. The two players are `params["generator"]`, which is the autoencoder, and
`params["critic"]`; each has the gradient of its own loss alone, L_A or L_D, and both step at once, where the paper's
code lets the critic see x̂ after the autoencoder's step. Adam has no state that parameters share, so that one optimizer
for both is two; `train.rates` gives the critic a rate of its own.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.losses.needs import needs
from jaxdiff.losses.perceptual import Features
from jaxdiff.losses.reconstruction import divergence, figures, make_error
from jaxdiff.types import Array, Batch, Params, StatefulLoss

__all__ = ["Critic", "Memory", "adversarial_reconstruction", "balance", "hinge"]

MOST = 1e4
still = jax.lax.stop_gradient


class Critic(Protocol):
    """A Flax module of pictures (n, height, width, channels), that gives logits (n, ...)."""

    def apply(self, variables: Any, x: Array, /) -> Any: ...


class Memory(NamedTuple):
    """What the loss remembers: how many examples were seen."""

    seen: Array


def hinge(real: Array, fake: Array) -> Array:
    """The critic's loss, from its logits of real pictures and of others."""
    return 0.5 * (jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake)))


def balance(of_error: Array, of_critic: Array) -> Array:
    """The weight w, from the gradients of the error and of the critic's mean at the decoder's last kernel."""
    length = lambda g: jnp.sqrt(jnp.sum(g**2))
    return still(jnp.clip(length(of_error) / (length(of_critic) + 1e-4), 0, MOST))


@needs(autoencoder=True, players="patches")
def adversarial_reconstruction(
    network,
    critic: Critic,
    kl: float = 1e-6,
    perceptual: float = 0.0,
    features: Features | None = None,
    adversary: float = 0.5,
    start: int = 0,
    last: str = "decoder/conv_out/kernel",
) -> StatefulLoss:
    """The loss of both players.

    Its metrics are those of `reconstruction_loss`, "critic", which is L_D, "fooled", the critic's mean of what the
    autoencoder makes, and "balance", which is w.

    Args:
      network: `(params, x, key) -> (x̂, mean, log_variance)`.
      critic: the adversary's network.
      kl, perceptual, features: as of `reconstruction_loss`.
      adversary: weight of the adversary, beside w.
      start: examples that the autoencoder sees before the adversary counts.
      last: path of the decoder's last kernel.

    Raises:
      InputError: features without their weight, or a weight without features.
    """
    error = make_error(perceptual, features)
    place = last.split("/")

    def loss_fn(params: Params, memory: Memory, key, batch: Batch):
        x, own = batch.x_0, params["generator"]

        def made(kernel):
            seen, mean, log_variance = network(_with(own, place, kernel), x, key)
            return seen, (mean, log_variance)

        judged = lambda params, x: critic.apply({"params": params}, x)
        fooling = lambda seen: -jnp.mean(judged(still(params["critic"]), seen))
        seen, back, (mean, log_variance) = jax.vjp(made, _at(own, place, last), has_aux=True)
        (value, metrics), of_error = jax.value_and_grad(error, has_aux=True)(seen, x)
        fooled, of_critic = jax.value_and_grad(fooling)(seen)
        w = balance(back(of_error)[0], back(of_critic)[0])

        nats, on = divergence(mean, log_variance), (memory.seen >= start).astype(jnp.float32)
        of_autoencoder = value + kl * jnp.sum(nats) / x.size + on * adversary * w * fooled
        of_players = hinge(judged(params["critic"], x), judged(params["critic"], still(seen)))
        metrics |= {**figures(seen, x, nats), "critic": of_players, "fooled": -fooled, "balance": w}
        return of_autoencoder + on * of_players, (metrics, Memory(memory.seen + x.shape[0]))

    return StatefulLoss(lambda: Memory(jnp.zeros((), jnp.int32)), loss_fn)


def _at(params: Params, place: Sequence[str], last: str) -> Array:
    """The leaf at a place of a tree.

    Raises:
      InputError: there is none.
    """
    for name in place:
        if not (hasattr(params, "keys") and name in params):
            there = ", ".join(sorted(params)) if hasattr(params, "keys") else "an array"
            raise InputError(f"loss.last={last!r}: the network has no such kernel: at {name!r} there are {there}")
        params = params[name]
    if hasattr(params, "keys"):
        raise InputError(f"loss.last={last!r}: must be the path of a kernel: there are {', '.join(sorted(params))}")
    return params


def _with(params: Params, place: Sequence[str], leaf: Array) -> Params:
    """The tree with another leaf at a place."""
    first, *rest = place
    return {**params, first: _with(params[first], rest, leaf) if rest else leaf}
