"""Inpaint: draw what is unknown of an image, and keep what is known. Outpainting is inpainting with a wide margin.

    replace   after each step, the known part is that of the image, noised to the step's level (Song et al. 2021)
    repaint   and each step is done several times, going back up in between, so that the two parts come to agree
              (Lugmayr et al. 2022, algorithm 1, with jumps of one step)

Both are sampler -> sampler, and approximate: the drawn part sees the known one only through its noise. Closer to the
posterior is `jaxdiff.guidance.linear` with `masked`.

Of points whose mean is 0 (`jaxdiff.gaussian.space.centered`), such as the atoms of a molecule, what is known of some is
how they lie to each other, and not where: `keep_shape` puts it in place, and leaves the mean alone. It is a projection
that is orthogonal in that space, so that noise on what is known is independent of that on the rest, as it is of pixels.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.process import Process, transition
from jaxdiff.samplers.base import Sampler
from jaxdiff.types import Array

__all__ = ["Put", "keep", "keep_shape", "repaint", "replace"]

Put = Callable[[Array, Array, Array], Array]
"""`(x, image, mask) -> x` with what is known of the image."""


def keep(x: Array, image: Array, mask: Array) -> Array:
    """The image where it is known, exactly, and x elsewhere."""
    return jnp.where(mask > 0, image, x)


def keep_shape(x: Array, image: Array, mask: Array) -> Array:
    """The known points of an image, moved together to where their mean is in x, and x elsewhere.

    Args:
      x, image: (batch, points, channels), the first three of which are coordinates.
      mask: (batch, points, 1), 1 where a point is known.
    """
    count = jnp.maximum(jnp.sum(mask, 1, keepdims=True), 1)
    shift = jnp.sum(mask * (x - image)[..., :3], 1, keepdims=True) / count
    return keep(x, jnp.concatenate([image[..., :3] + shift, image[..., 3:]], axis=-1), mask)


def replace(process: Process, sampler: Sampler, image: Array, mask: Array, put: Put = keep) -> Sampler:
    """The sampler, with the known part put in its place after each step.

    Args:
      image: (batch, ...); what it holds where it is unknown does not matter.
      mask: broadcast against it: 1 where it is known, 0 where it is to be drawn.
      put: how it is put in its place: `keep`, or `keep_shape`.
    """

    def step(key, state, t, s):
        first, second = jax.random.split(key)
        moved = sampler.step(first, state, t, s)
        noised = process.alpha(s) * image + process.sigma(s) * process.noise(second, image)
        return moved._replace(x=put(moved.x, noised.astype(moved.x.dtype), mask))

    return sampler._replace(step=step)


def repaint(
    process: Process, sampler: Sampler, image: Array, mask: Array, repeats: int | Array = 10, put: Put = keep
) -> Sampler:
    """Replace, with each step taken `repeats` times: after all but the last, noise leads back to t (resampling).

    A sampler remembers what it knew before the step in each of them; with one repeat this is `replace`.
    """
    replaced = replace(process, sampler, image, mask, put)

    def step(key, state, t, s):
        scale, variance = transition(process, s, t)

        def again(i, x):
            up, down = jax.random.split(jax.random.fold_in(key, i))
            moved = replaced.step(down, state._replace(x=x), t, s)
            back = scale * moved.x + jnp.sqrt(variance) * process.noise(up, moved.x)
            return back.astype(x.dtype)

        x = jax.lax.fori_loop(0, repeats - 1, again, state.x)
        return replaced.step(jax.random.fold_in(key, repeats - 1), state._replace(x=x), t, s)

    return sampler._replace(step=step)
