"""Linear operators of images, for inverse problems: `(batch, ...) -> (batch, ...)`, each example alone."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.types import Array, Operator

__all__ = ["blurred", "downsampled", "gaussian_kernel", "grey", "masked"]


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


def gaussian_kernel(std: float) -> np.ndarray:
    """The kernel of a Gaussian blur, (size, size): three standard deviations, in pixels, wide to each side."""
    if not 0 < std <= 10:
        raise InputError(f"blur={std}: must be above 0 and at most 10 pixels")
    reach = int(np.ceil(3 * std))
    row = np.exp(-0.5 * (np.arange(-reach, reach + 1) / std) ** 2)
    return np.outer(row, row) / row.sum() ** 2


def downsampled(factor: int) -> Operator:
    """The mean of each square of `factor` by `factor` pixels."""

    def operator(x):
        n, height, width, channels = x.shape
        return x.reshape(n, height // factor, factor, width // factor, factor, channels).mean((2, 4))

    return operator


def grey() -> Operator:
    """The mean of the channels."""
    return lambda x: x.mean(-1, keepdims=True)
