"""Players: two networks that are trained against each other, in one tree, `{"generator": ..., "critic": ...}`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxdiff.config.build.network import Start, linen_network, make_start
from jaxdiff.config.sampling import Bind, Bound
from jaxdiff.distill.ddgan import make_posterior
from jaxdiff.errors import InputError
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.gaussian.process import Process
from jaxdiff.types import Spec

__all__ = ["make_players"]


def make_players(
    kind: str,
    process: Process,
    parameterization: Parameterization,
    module: Any,
    spec: Spec,
    bind: Bind,
    critic: Callable[[], Any],
) -> tuple[Start, Bind]:
    """`(start, bind)` of two players; the model is the generator.

    Args:
      kind: see `jaxdiff.losses.needs.Needs.players`.
      bind: of one network that takes x.
      critic: makes that of "patches".
    """
    if kind == "patches":
        return beside(make_start(module, spec), critic(), spec), bind
    *sides, channels = spec.shape
    wide = spec._replace(shape=(*sides, 2 * channels)) if kind == "adversary" else spec
    one = make_start(module, wide)

    def start(key):
        key_generator, key_critic = jax.random.split(key)
        params, out = one(key_generator)
        other = one(key_critic)[0]
        if kind == "judged":
            other = {"score": other, "judge": one(jax.random.fold_in(key_critic, 1))[0]}
        return {"generator": params, "critic": other}, out[..., : out.shape[-1] * channels // wide.shape[-1]]

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


def beside(start: Start, critic: Any, spec: Spec) -> Start:
    """The start of a network and of its critic, another network."""

    def both(key):
        key_generator, key_critic = jax.random.split(key)
        params, out = start(key_generator)
        judge = critic.init(key_critic, jnp.zeros((1, *spec.shape)))
        return {"generator": params, "critic": judge["params"]}, out

    return both
