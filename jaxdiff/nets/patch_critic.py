"""The critic of parts of pictures (Isola et al. 2017, PatchGAN), by which an autoencoder's pictures become sharp.

Convolutions of 4x4 that halve the picture `layers` times and twice do not, padded by one pixel, each but the first and
the last normed, with leaky ReLU between them. A logit stands, but for the norms, for a square of the picture, of
70 pixels with three layers. The norms are over groups of an example's channels, where the paper's are over the batch:
so a logit depends on its own picture alone, and nothing is kept beside the parameters.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.nets.layers import GroupNorm

__all__ = ["PatchCritic"]

START = nn.initializers.normal(0.02)


class PatchCritic(nn.Module):
    """Pictures (batch, height, width, channels) to logits (batch, height', width').

    Attributes:
      width: channels after the first layer; each further one has twice as many, up to eight times.
      layers: that halve the picture.
      groups: of channels, of the norms.
    """

    width: int = 64
    layers: int = 3
    groups: int = 8
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Judge pictures.

        Raises:
          InputError: pictures that are too small for so many layers; or channels that the groups do not divide.
        """
        least = 3 * 2**self.layers
        if min(x.shape[1:3]) < least:
            raise InputError(
                f"critic 'patches' of {self.layers} layers: takes pictures of {least}x{least} at least, and these are "
                f"{x.shape[1]}x{x.shape[2]}: set loss.critic.layers lower"
            )
        if self.width % self.groups:
            raise InputError(f"critic 'patches': groups={self.groups} must divide width={self.width}")
        for i in range(self.layers + 1):
            stride = 2 if i < self.layers else 1
            x = self._convolved(x, self.width * min(2**i, 8), stride, f"conv{i}")
            x = GroupNorm(self.groups, self.dtype, name=f"norm{i}")(x) if i else x
            x = nn.leaky_relu(x, 0.2)
        return self._convolved(x, 1, 1, "conv_out")[..., 0].astype(jnp.float32)

    def _convolved(self, x: jax.Array, channels: int, stride: int, name: str) -> jax.Array:
        each = nn.Conv(channels, (4, 4), stride, padding=1, kernel_init=START, dtype=self.dtype, name=name)
        return each(x)
