"""Classifier-free guidance: a conditional and an unconditional denoiser, extrapolated.

As x̂_0 = (x_t + sigma² ∇ log q(x_t)) / alpha, factors on a density are terms in its denoiser:

    q(x_t | c)^w q(x_t)^(1 - w)        w x̂_c + (1 - w) x̂                        (Ho and Salimans 2022)

At w = 1 this is the conditional model and at w = 0 the unconditional one, bit for bit. Scales and bounds may be
traced. A negative condition takes the place of no condition; a worse model guides a better one likewise (Karras et al.
2024, autoguidance). (The guided densities are those of single times: their diffusion is another one's, so that samples
for w other than 0 and 1 are not draws of the product.)
"""

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.process import Process
from jaxdiff.gaussian.space import Space, everywhere
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Denoiser, as_time, expand

__all__ = ["cfg_pp", "classifier_free", "within"]


def classifier_free(
    conditional: Denoiser,
    unconditional: Denoiser,
    scale: float | Array,
    rescale: float | Array = 0.0,
    space: Space = everywhere,
) -> Denoiser:
    """`scale x̂_c + (1 - scale) x̂`.

    Args:
      unconditional: without the condition; with a negative one; or a worse model with the same condition.
      scale: 1 for the conditional model; the larger, the further from the unconditional one.
      rescale: from 0 to 1, how far the standard deviation of each guided x̂_0 is brought back to that of x̂_c (Lin et al.
        2024, section 3.4, who do so to the network's output). One that is flat has none, and stays as it is.
      space: that of the process, in which that deviation is taken.
    """

    def denoise(x_t, t):
        towards, away = conditional(x_t, t), unconditional(x_t, t)
        guided = scale * towards + (1 - scale) * away
        spread, size = _spread(space, guided)
        flat = spread <= 1e-5 * size  # what is left is rounding
        factor = jnp.where(flat, 1, _spread(space, towards)[0] / jnp.where(flat, 1, spread))
        # At 0 the factor is exactly 1.
        return guided * expand(1 + rescale * (factor - 1), guided)

    return denoise


def within(
    process: Process, guided: Denoiser, otherwise: Denoiser, low: float | Array, high: float | Array
) -> Denoiser:
    """`guided` at noise levels sigma / alpha from `low` to `high`, `otherwise` elsewhere (Kynkäänniemi et al. 2024).

    At a scalar time only the one that counts is computed.
    """

    def denoise(x_t, t):
        t = as_time(t, x_t)
        alpha, sigma = process.alpha(t), process.sigma(t)
        inside = (sigma >= low * alpha) & (jnp.isinf(high) | (sigma <= high * alpha))
        if t.ndim == 0:
            return jax.lax.cond(inside, guided, otherwise, x_t, t)
        return jnp.where(expand(inside, x_t), guided(x_t, t), otherwise(x_t, t))

    return denoise


def cfg_pp(process: Process, conditional: Denoiser, unconditional: Denoiser, scale: float | Array) -> Sampler:
    """DDIM that moves towards the guided x̂_0 and adds the unconditional eps (Chung et al. 2024, CFG++).

    Args:
      scale: from 0, unconditional, to 1, the conditional x̂_0.
    """

    def step(key, state, t, s):
        away = unconditional(state.x, t)
        guided = scale * conditional(state.x, t) + (1 - scale) * away
        eps = (state.x - process.alpha(t) * away) / process.sigma(t)
        return State(process.alpha(s) * guided + process.sigma(s) * eps)

    return Sampler(State, step)


def _spread(space: Space, x: Array) -> tuple[Array, Array]:
    """The deviation of each example from its mean, and from 0: root mean squares over the dimensions of a space."""
    inside, ones = space.project(x), space.project(jnp.ones_like(x))
    total = lambda a: jnp.sum(a.reshape(a.shape[0], -1), axis=1)
    mean = total(inside * ones) / jnp.maximum(total(ones * ones), 1)
    root = lambda a: jnp.sqrt(total(a**2) / space.dimension(x))
    return root(inside - expand(mean, x) * ones), root(inside)
