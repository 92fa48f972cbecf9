"""The sampler of AlphaFold 3: DDIM with churn, steps that overshoot, and a random turn before each.

    x <- R x, R a random rotation                                                              (with `turned`)
    x̂ <- x with noise, from level l(t) to (1 + churn) l(t)                                 (where l(s) > churn_min)
    y <- y + step_scale (l(s) - l̂) (y - x̂_0) / l̂,       y = x̂ / alpha                                (DDIM for 1)

with the noise level l = sigma / alpha (Abramson et al. 2024, algorithm 18; Karras et al. 2022, algorithm 2). With a
step_scale above 1 and noise of factor above 1, which cancel in part, it does not draw from the law that the denoiser
has: structures come out sharper, and less diverse. For a step_scale of 1, noise of factor 1 and a churn that falls as
1 / steps it is exact in the limit of many steps; a churn that stays, as AlphaFold 3's does, leaves an error in
proportion to it.
"""

import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.gaussian.noise import Projected
from jaxdiff.gaussian.process import Process
from jaxdiff.geometry.rigid import turns
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.samplers.ode import raised
from jaxdiff.types import Array, Denoiser, Key

__all__ = ["churned"]


def churned(
    process: Process,
    denoiser: Denoiser,
    churn: float | Array = 0.8,
    churn_noise: float | Array = 1.003,
    churn_min: float | Array = 1.0,
    step_scale: float | Array = 1.5,
    turned: bool = False,
) -> Sampler:
    """Order 1, one evaluation a step.

    Args:
      churn: by which share the noise level sigma / alpha is raised before a step; never beyond t = 1.
      churn_noise: factor on that noise.
      churn_min: there is churn where a step leads to a noise level above it; AlphaFold 3's is 1 Å, for a sigma_data of
        16 Å.
      step_scale: factor on the length of a step; for others than 1 the grid has to begin where alpha > 0.
      turned: whether x, points (batch, points, 3), is turned at random before each step, for a network that knows no
        symmetry.

    Raises:
      InputError: `turned`, and x is not of points.
    """

    def step(key, state, t, s):
        key_turn, key_noise = jax.random.split(key)
        x = _turn(process, key_turn, state.x) if turned else state.x
        alpha, sigma = process.alpha(s), process.sigma(s)
        x, higher = raised(process, key_noise, x, t, jnp.where(sigma > churn_min * alpha, churn, 0), churn_noise)
        x_0 = denoiser(x, higher)
        before = process.alpha(higher)
        rest = jnp.where(step_scale == 1, 0, (1 - step_scale) * alpha / before)
        return State(alpha * x_0 + (rest + step_scale * sigma / process.sigma(higher)) * (x - before * x_0))

    return Sampler(State, step)


def _turn(process: Process, key: Key, x: Array) -> Array:
    """Turn each example by a rotation of its own, drawn by example as the noise is."""
    if x.ndim != 3 or x.shape[-1] != 3:
        raise InputError(f"turned: is for points (batch, points, 3), and x is {x.shape}: leave it out")
    noise = process.noise.noise if isinstance(process.noise, Projected) else process.noise
    return process.space.project(x @ turns(noise(key, jnp.zeros((x.shape[0], 4), x.dtype))).mT)
