"""Players: two networks that are trained against each other, in one tree, `{"generator": ..., "critic": ...}`."""

from typing import Any

import jax

from jaxdiff.config.build.network import Start, linen_network, make_start
from jaxdiff.config.sampling import Bind, Bound
from jaxdiff.distill.ddgan import make_posterior
from jaxdiff.errors import InputError
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process
from jaxdiff.types import Spec

__all__ = ["make_players"]


def make_players(
    kind: str, process: Process, parameterization: Parameterization, module: Any, spec: Spec, bind: Bind
) -> tuple[Start, Bind]:
    """`(start, bind)` of two players with the same network; the model is the generator.

    Args:
      kind: see `jaxdiff.losses.needs.Needs.players`.
      bind: of one network that takes x.
    """
    *sides, channels = spec.shape
    wide = spec._replace(shape=(*sides, 2 * channels)) if kind == "adversary" else spec
    one = make_start(module, wide)

    def start(key):
        key_generator, key_critic = jax.random.split(key)
        params, out = one(key_generator)
        critic = one(key_critic)[0]
        if kind == "judged":
            critic = {"score": critic, "judge": one(jax.random.fold_in(key_critic, 1))[0]}
        return {"generator": params, "critic": critic}, out[..., : out.shape[-1] * channels // wide.shape[-1]]

    def bind_generator(params, condition):
        return bind(params["generator"], condition)

    def bind_adversary(params, condition):
        def denoiser(x_t, t):
            raise InputError("this model draws from its posterior, and has no denoiser: take sampler posterior_jumps")

        posterior = lambda noise: make_posterior(
            process, parameterization, linen_network(module), params["generator"], condition, noise
        )
        return Bound(process, denoiser, posterior=posterior)

    return start, bind_adversary if kind == "adversary" else bind_generator
