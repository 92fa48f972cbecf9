"""Linear operators of images, for inverse problems: `(batch, ...) -> (batch, ...)`, each example alone."""

import jax
import jax.numpy as jnp

from jaxdiff.types import Array, Operator


def masked(mask: Array) -> Operator:
    """Pixels that are known, where the mask is 1, and zeros elsewhere."""
    return lambda x: mask * x


def blurred(kernel: Array) -> Operator:
    """Each channel convolved with an odd square kernel, (size, size), and cut to the size of the image.

    What lies beyond the border is taken to be the mirror of what is inside.
    """
    margin = kernel.shape[0] // 2

    def operator(x):
        padded = jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
        planes = jnp.moveaxis(padded, -1, 1).reshape(-1, *padded.shape[1:3], 1)
        flipped = kernel[::-1, ::-1, None, None].astype(x.dtype)
        out = jax.lax.conv_general_dilated(planes, flipped, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jnp.moveaxis(out.reshape(x.shape[0], x.shape[-1], *x.shape[1:3]), 1, -1)

    return operator


def shrunk(factor: int) -> Operator:
    """The mean of each square of `factor` by `factor` pixels."""

    def operator(x):
        n, height, width, channels = x.shape
        return x.reshape(n, height // factor, factor, width // factor, factor, channels).mean((2, 4))

    return operator


def grey() -> Operator:
    """The mean of the channels."""
    return lambda x: x.mean(-1, keepdims=True)
