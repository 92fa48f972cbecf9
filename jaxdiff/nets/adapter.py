"""T2I-Adapter (Mou et al. 2024): a picture, such as a sketch or depth, that a U-Net has to follow, seen once.

A few convolutions, which see neither latents nor time nor caption, make features of the picture, one array for each
level of the U-Net's way down, to which they are added (`jaxdiff.nets.control`). The names are those of diffusers'
`T2IAdapter`.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.nets.layers import INIT, conv
from jaxdiff.nets.resize import halve

__all__ = ["Adapter"]


class Adapter(nn.Module):
    """`picture -> features`: (batch, height, width, channels) with values in [0, 1] to an array for each level.

    Attributes:
      widths: channels of each level's features.
      halved: whether a level begins with half the height and width of the one before.
      blocks: residual blocks a level.
      patch: sides of the squares of pixels that become channels at the beginning.
      picture: channels of the picture.
      light: compute at a quarter of each level's channels, without a first convolution of the picture.
    """

    widths: Sequence[int] = (320, 640, 1280, 1280)
    halved: Sequence[bool] = (False, True, True, True)
    blocks: int = 2
    patch: int = 8
    picture: int = 3
    light: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, picture: jax.Array) -> list[jax.Array]:
        """Run the network.

        Raises:
          InputError: sides that the patches and the levels do not divide.
        """
        side = self.patch * 2 ** sum(self.halved)
        if picture.shape[1] % side or picture.shape[2] % side:
            raise InputError(f"a picture of {picture.shape[1:3]}: the sides for this adapter are multiples of {side}")
        h, features = _squares(picture, self.patch), []
        h = h if self.light else conv(self.widths[0], dtype=self.dtype, name="conv_in")(h)
        for level, (width, halved) in enumerate(zip(self.widths, self.halved, strict=True)):
            h = halve(h) if halved else h
            inner = width // 4 if self.light else width
            if self.light or h.shape[-1] != inner:
                h = self._mix(inner, f"level{level}_in", h)
            for i in range(self.blocks):
                h = self._residual(h, f"level{level}_residual{i}")
            h = self._mix(width, f"level{level}_out", h) if self.light else h
            features.append(h)
        return features

    def _mix(self, width: int, name: str, h: jax.Array) -> jax.Array:
        return nn.Dense(width, kernel_init=INIT, dtype=self.dtype, name=name)(h)

    def _residual(self, h: jax.Array, name: str) -> jax.Array:
        inner = nn.relu(conv(h.shape[-1], dtype=self.dtype, name=f"{name}_conv1")(h))
        if self.light:
            return h + conv(h.shape[-1], dtype=self.dtype, name=f"{name}_conv2")(inner)
        return h + self._mix(h.shape[-1], f"{name}_conv2", inner)


def _squares(x: jax.Array, patch: int) -> jax.Array:
    """Squares of pixels as channels, all pixels of a channel side by side, as PyTorch's PixelUnshuffle has them."""
    n, height, width, channels = x.shape
    squares = x.reshape(n, height // patch, patch, width // patch, patch, channels)
    return squares.transpose(0, 1, 3, 5, 2, 4).reshape(n, height // patch, width // patch, -1)
