"""Sliced score matching (Song et al. 2019): learn a score from its own divergence, without knowing the noise.

    L = E_t sigma(t)² E_x [ u · J u + |s|² / 2 ],        s = s(x_t, t),  J = ds/dx,  u random signs

up to a constant the squared error of the score. Denoising score matching is `jaxdiff.losses.diffusion.diffusion_loss`
with parameterization `score` and weight `eps`: it is cheaper, and exact for the noise that a process adds.
"""

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.denoiser import make_denoiser, to_score
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process, on, perturb, require_white
from jaxdiff.losses.times import Times
from jaxdiff.types import LossFn, Network

__all__ = ["sliced_loss"]


def sliced_loss(process: Process, parameterization: Parameterization, network: Network, times: Times) -> LossFn:
    """The variance-reduced form, one projection an example; the score is what the network's output means.

    Raises:
      InputError: the process has noise other than `normal`, with which a score is not what samplers ask of a network.
    """
    require_white(process, "sliced score matching")

    def loss_fn(params, key, batch):
        key_t, key_eps, key_slice, key_net = jax.random.split(key, 4)
        bound = on(process, batch.condition)
        x_0 = bound.space.project(batch.x_0)
        t = times(bound, key_t, x_0.shape[0])
        x_t, _ = perturb(bound, key_eps, x_0, t)
        denoiser = make_denoiser(bound, parameterization, network, params, batch.condition, key_net)
        u = bound.space.project(jax.random.rademacher(key_slice, x_t.shape, x_t.dtype))
        score, along = jax.jvp(lambda x: to_score(bound, denoiser)(x, t), (x_t,), (u,))
        value = (u * along + 0.5 * score**2).reshape(x_0.shape[0], -1).sum(1) / bound.space.dimension(x_0)
        loss = jnp.mean(bound.sigma(t) ** 2 * value)
        return loss, {"sliced": loss}

    return loss_fn
