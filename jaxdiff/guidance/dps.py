"""DPS: diffusion posterior sampling, each step corrected by the gradient of the misfit (Chung et al. 2023)."""

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.process import Process, require_white
from jaxdiff.samplers.base import Sampler
from jaxdiff.types import Array, Denoiser, Operator

__all__ = ["dps"]


def dps(
    process: Process, denoiser: Denoiser, sampler: Sampler, operator: Operator, y: Array, scale: float | Array = 1.0
) -> Sampler:
    """Each step of `sampler`, then `scale` along the gradient of |y - A x̂_0(x_t)| (Chung et al. 2023, algorithm 1)."""
    require_white(process, "DPS")

    def step(key, state, t, s):
        def distance(x):
            return jnp.sum(_norm(y - operator(denoiser(x, t))))

        gradient = jax.grad(distance)(state.x)
        moved = sampler.step(key, state, t, s)
        return moved._replace(x=moved.x - scale * process.space.project(gradient))

    return sampler._replace(step=step)


def _norm(x: Array) -> Array:
    """The norm of each example; its gradient is 0 where it is 0."""
    square = jnp.sum(x.reshape(x.shape[0], -1) ** 2, axis=1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
