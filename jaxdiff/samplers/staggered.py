"""Staggered sampling: each frame of a sequence at a time of its own (Chen et al. 2024, diffusion forcing).

The sampler's clock u falls from 1 to 0 along its grid, and frame f of F, in units of the time that one frame takes,
begins `delay * f` after the first:

    t_f(u) = clip(1 + delay f - (1 - u) (1 + delay (F - 1)), 0, 1)

Row by row this is the matrix of times of a grid, `frame_times`: with `delay` 0 the full sequence at once, with 1 frame
after frame (autoregressive), and between the two a pyramid, where earlier frames are always less noisy. A frame moves
from t to s < t as in DDIM, and stays where its time does. The denoiser is asked at times (batch, frames), so that of a
network that was trained with them (`jaxdiff.losses.frames`) the joint law is kept: the marginal at every row of the
matrix is that of data noised to these times.
"""

import jax.numpy as jnp

from jaxdiff.gaussian.process import Process, log_snr_drop
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Denoiser, expand

__all__ = ["frame_times", "staggered"]


def frame_times(u: Array, frames: int, delay: float | Array) -> Array:
    """The times of all frames, (..., frames), at the clock's u (...).

    >>> frame_times(jnp.array([1.0, 0.75, 0.5, 0.25, 0.0]), 2, 1.0).tolist()
    [[1.0, 1.0], [0.5, 1.0], [0.0, 1.0], [0.0, 0.5], [0.0, 0.0]]
    """
    whole = 1 + delay * (frames - 1)
    return jnp.clip(1 + delay * jnp.arange(frames) - (1 - jnp.asarray(u)[..., None]) * whole, 0, 1)


def staggered(process: Process, denoiser: Denoiser, delay: float | Array = 0.0, eta: float | Array = 0.0) -> Sampler:
    """The sampler of sequences x (batch, frames, ...), along a grid from 1 to 0.

    Args:
      denoiser: of times (batch, frames).
      delay: from 0, all frames at once, to 1, one after the other.
      eta: in [0, 1], how much of the ancestral step's noise is drawn anew.
    """

    def step(key, state, u, below):
        x = state.x
        frames = x.shape[1]
        t, s = (jnp.broadcast_to(frame_times(v, frames, delay), x.shape[:2]) for v in (u, below))
        moves = t > s
        x_0 = denoiser(x, t)
        # Frames that stay are given any times that differ, and left out afterwards.
        t, s = jnp.where(moves, t, 1), jnp.where(moves, s, 0.5)
        alpha_t, sigma_t, alpha_s, sigma_s = (expand(c(v), x) for v in (t, s) for c in (process.alpha, process.sigma))
        eps = (x - alpha_t * x_0) / sigma_t
        fresh = expand(eta**2 * -jnp.expm1(-log_snr_drop(process, s, t)), x)
        noise = jnp.sqrt(1 - fresh) * eps + jnp.sqrt(fresh) * process.noise(key, x)
        return State(jnp.where(expand(moves, x), alpha_s * x_0 + sigma_s * noise, x))

    return Sampler(State, step)
