"""States of a sequence that are known beforehand: the start and the goal of a plan, frames that were seen.

    held       the network is shown them free of noise, as in Diffuser (Janner et al. 2022); for one that was trained so
               (`jaxdiff.losses.frames.held_loss`)
    context    whole frames lie at a small time of their own (Chen et al. 2024), for one that was trained with a time
               for each frame (`frames_loss`): at time 0 exact, and a little above it forgiving of frames that the
               network itself drew

Both are denoiser -> denoiser, and whatever sampler follows leads to the known states. Those of any other network are
put in their place with noise, `jaxdiff.guidance.inpainting.replace`, which is approximate.
"""

import jax.numpy as jnp

from jaxdiff.gaussian.process import Process
from jaxdiff.guidance.inpainting import keep
from jaxdiff.types import Array, Denoiser, as_time, expand

__all__ = ["context", "held"]


def held(denoiser: Denoiser, known: Array, mask: Array) -> Denoiser:
    """Show the denoiser the known states as they are, and keep them in x̂_0.

    Args:
      known, mask: (batch, ...) as x: the states, and 1 where they are known.
    """
    return lambda x_t, t: keep(denoiser(keep(x_t, known, mask), t), known, mask)


def context(
    process: Process, denoiser: Denoiser, known: Array, mask: Array, level: float | Array, eps: Array
) -> Denoiser:
    """Show the denoiser known frames at time `level`, whatever the time of the others, and keep them in x̂_0.

    Args:
      denoiser: of times (batch, frames).
      known, eps: (batch, frames, ...), the frames, and the noise that they are shown with at all times.
      mask: (batch, frames), 1 where a frame is known.
    """
    level = as_time(level, known)
    shown, frames = process.alpha(level) * known + process.sigma(level) * eps, expand(mask, known)

    def denoise(x_t, t):
        t = as_time(t, x_t)
        t = jnp.broadcast_to(t if t.ndim > 1 else jnp.reshape(t, (-1, 1)), mask.shape)
        return keep(denoiser(keep(x_t, shown, frames), jnp.where(mask > 0, level, t)), known, frames)

    return denoise
