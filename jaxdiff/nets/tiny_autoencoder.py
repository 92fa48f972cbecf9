"""The tiny autoencoder for Stable Diffusion (Bohan 2023, TAESD): latents to previews in a few small convolutions.

Without norms and attention: residual blocks of three convolutions and ReLU. Pictures are in [0, 1] inside, latents are
bent into [-3, 3] before they are decoded:

    z = encoder((x + 1) / 2)          x = 2 decoder(3 tanh(z / 3)) - 1
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.nets.layers import conv, enlarge

__all__ = ["TinyAutoencoder"]


class Block(nn.Module):
    """conv, ReLU, conv, ReLU, conv, + input, ReLU."""

    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        h = nn.relu(conv(self.width, dtype=self.dtype, name="conv0")(x))
        h = nn.relu(conv(self.width, dtype=self.dtype, name="conv1")(h))
        return nn.relu(conv(self.width, dtype=self.dtype, name="conv2")(h) + x)


class TinyEncoder(nn.Module):
    """Pictures in [0, 1] to latents; the layers are numbered as they are run."""

    widths: Sequence[int]
    blocks: Sequence[int]
    latents: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        h, layer = conv(self.widths[0], dtype=self.dtype, name="layer0")(x), 1
        for level, (width, blocks) in enumerate(zip(self.widths, self.blocks, strict=True)):
            if level:
                h = _halved(h, width, self.dtype, f"layer{layer}")
                layer += 1
            for i in range(blocks):
                h = Block(width, self.dtype, name=f"layer{layer + i}")(h)
            layer += blocks
        return conv(self.latents, dtype=self.dtype, name=f"layer{layer}")(h)


class TinyDecoder(nn.Module):
    """Latents to pictures in [0, 1]; the layers are numbered as they are run, activations and enlargements included."""

    widths: Sequence[int]
    blocks: Sequence[int]
    channels: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        h, layer = nn.relu(conv(self.widths[0], dtype=self.dtype, name="layer0")(z)), 2
        for level, (width, blocks) in enumerate(zip(self.widths, self.blocks, strict=True)):
            for i in range(blocks):
                h = Block(width, self.dtype, name=f"layer{layer + i}")(h)
            layer += blocks
            if level < len(self.widths) - 1:
                h = nn.Conv(width, (3, 3), use_bias=False, dtype=self.dtype, name=f"layer{layer + 1}")(enlarge(h))
                layer += 2
        return conv(self.channels, dtype=self.dtype, name=f"layer{layer}")(h)


def _halved(h: jax.Array, width: int, dtype: jnp.dtype, name: str) -> jax.Array:
    h = jnp.pad(h, ((0, 0), (1, 0), (1, 0), (0, 0)))
    return nn.Conv(width, (3, 3), 2, "VALID", use_bias=False, dtype=dtype, name=name)(h)


class TinyAutoencoder(nn.Module):
    """Both ends; the methods are `encode` and `decode`; latents are not drawn.

    Attributes:
      widths: channels of each level of the encoder.
      blocks: of each level of the encoder.
      decoder_widths, decoder_blocks: those of the decoder, in the order in which they are run.
      latents, channels: of a latent and of a picture.
      scale, shift: of the latents.
    """

    widths: Sequence[int] = (64, 64, 64, 64)
    blocks: Sequence[int] = (1, 3, 3, 3)
    decoder_widths: Sequence[int] = (64, 64, 64, 64)
    decoder_blocks: Sequence[int] = (3, 3, 3, 1)
    latents: int = 4
    channels: int = 3
    scale: float = 1.0
    shift: float = 0.0
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        """Name the parts."""
        self.encoder = TinyEncoder(self.widths, self.blocks, self.latents, self.dtype)
        self.decoder = TinyDecoder(self.decoder_widths, self.decoder_blocks, self.channels, self.dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Pictures through their latents: what initializes all parameters."""
        return self.decode(self.encode(x))

    @property
    def factor(self) -> int:
        """How many times smaller a latent's sides are than its picture's."""
        return 2 ** (len(self.widths) - 1)

    def encode(self, x: jax.Array) -> jax.Array:
        """The latents of pictures in [-1, 1].

        Raises:
          InputError: sides that cannot be halved as often as the encoder does.
        """
        if x.shape[1] % self.factor or x.shape[2] % self.factor:
            raise InputError(f"a picture of {x.shape[1]}x{x.shape[2]}: the sides must be multiples of {self.factor}")
        return (self.encoder((x + 1) / 2).astype(jnp.float32) - self.shift) * self.scale

    def decode(self, z: jax.Array) -> jax.Array:
        """Pictures of latents; not cut off at -1 and 1."""
        z = z / self.scale + self.shift
        return 2 * self.decoder(3 * jnp.tanh(z / 3)).astype(jnp.float32) - 1
