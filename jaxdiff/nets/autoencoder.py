"""The autoencoder of latent diffusion (Rombach et al. 2022): pictures to latents an eighth as wide, and back.

The encoder halves the picture between its levels and gives the mean and the log-variance of a normal distribution over
latents; the decoder mirrors it, with one residual block more a level:

    z = scale (mean + e^(log-variance / 2) noise - shift)          picture = decoder(z / scale + shift)

with one scale and shift for all channels or one a channel, so that z has a standard deviation near 1. There is neither
time nor condition. Both ends are fully convolutional but for one attention in the middle.
"""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.nets.attention import Attention
from jaxdiff.nets.layers import INIT, Downsample, GroupNorm, ResidualBlock, Upsample, conv

__all__ = ["Autoencoder", "in_tiles"]

LOWEST, HIGHEST = -30.0, 20.0
"""Between which a log-variance is kept."""


class Encoder(nn.Module):
    """Pictures (batch, height, width, channels) to `outputs` channels at the last level's size."""

    widths: Sequence[int]
    blocks: int
    outputs: int
    attention: bool
    groups: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        h = conv(self.widths[0], dtype=self.dtype, name="conv_in")(x)
        for level, width in enumerate(self.widths):
            for i in range(self.blocks):
                h = ResidualBlock(width, 0.0, self.groups, self.dtype, name=f"down{level}_residual{i}")(h, None, False)
            if level < len(self.widths) - 1:
                h = Downsample(self.dtype, name=f"down{level}_downsample")(h)
        h = _middle(self, h)
        h = GroupNorm(self.groups, self.dtype, silu=True, name="norm_out")(h)
        return conv(self.outputs, dtype=self.dtype, name="conv_out")(h)


class Decoder(nn.Module):
    """Latents to pictures of `outputs` channels."""

    widths: Sequence[int]
    blocks: int
    outputs: int
    attention: bool
    groups: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        h = _middle(self, conv(self.widths[-1], dtype=self.dtype, name="conv_in")(z))
        for level, width in enumerate(reversed(self.widths)):
            for i in range(self.blocks + 1):
                h = ResidualBlock(width, 0.0, self.groups, self.dtype, name=f"up{level}_residual{i}")(h, None, False)
            if level < len(self.widths) - 1:
                h = Upsample(self.dtype, name=f"up{level}_upsample")(h)
        h = GroupNorm(self.groups, self.dtype, silu=True, name="norm_out")(h)
        return conv(self.outputs, dtype=self.dtype, name="conv_out")(h)


def _middle(net: Encoder | Decoder, h: jax.Array) -> jax.Array:
    """Two residual blocks, and attention between them."""
    width = net.widths[-1]
    h = ResidualBlock(width, 0.0, net.groups, net.dtype, name="middle_residual0")(h, None, False)
    h = Attention(net.groups, net.dtype, name="middle_attention0")(h) if net.attention else h
    return ResidualBlock(width, 0.0, net.groups, net.dtype, name="middle_residual1")(h, None, False)


class Autoencoder(nn.Module):
    """The two ends, and what lies between them; the methods are `moments`, `encode` and `decode`.

    Attributes:
      widths: channels of each level of the encoder; the decoder's are the same, the other way round.
      blocks: residual blocks a level of the encoder.
      latents: channels of a latent.
      channels: of a picture.
      scale, shift: of the latents, one number or one a channel.
      attention: whether there is attention in the middle.
      quantized, unquantized: whether the encoder ends, and the decoder begins, with a layer that mixes channels alone.
    """

    widths: Sequence[int] = (128, 256, 512, 512)
    blocks: int = 2
    latents: int = 4
    channels: int = 3
    scale: float | Sequence[float] = 0.18215
    shift: float | Sequence[float] = 0.0
    attention: bool = True
    quantized: bool = True
    unquantized: bool = True
    groups: int = 32
    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        """Name the parts."""
        shared = (self.attention, self.groups, self.dtype)
        self.encoder = Encoder(self.widths, self.blocks, 2 * self.latents, *shared)
        self.decoder = Decoder(self.widths, self.blocks, self.channels, *shared)
        if self.quantized:
            self.quant = nn.Dense(2 * self.latents, kernel_init=INIT, dtype=self.dtype)
        if self.unquantized:
            self.post_quant = nn.Dense(self.latents, kernel_init=INIT, dtype=self.dtype)

    def __call__(self, x: jax.Array, t=None, condition=None, train: bool = False) -> jax.Array:
        """Pictures through the means of their latents: what initializes all parameters. There is nothing to tell it."""
        return self.decode(self.encode(x))

    def through(self, x: jax.Array, key: jax.Array | None = None) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Pictures through latents that are drawn with a key, or their means; with the moments of the latents."""
        mean, log_variance = self.moments(x)
        z = mean if key is None else mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
        return self.decode(self.scaled(z)), mean, log_variance

    @property
    def factor(self) -> int:
        """How many times smaller a latent's sides are than its picture's."""
        return 2 ** (len(self.widths) - 1)

    def moments(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The mean and the log-variance of the latents of pictures in [-1, 1], before scale and shift.

        Raises:
          InputError: sides that cannot be halved as often as the encoder does.
        """
        if x.shape[1] % self.factor or x.shape[2] % self.factor:
            raise InputError(f"a picture of {x.shape[1]}x{x.shape[2]}: the sides must be multiples of {self.factor}")
        h = self.encoder(x)
        h = self.quant(h) if self.quantized else h
        mean, log_variance = jnp.split(h.astype(jnp.float32), 2, axis=-1)
        return mean, jnp.clip(log_variance, LOWEST, HIGHEST)

    def encode(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """The latents of pictures in [-1, 1]: drawn with a key, their means without one."""
        z, log_variance = self.moments(x)
        if key is not None:
            z = z + jnp.exp(0.5 * log_variance) * jax.random.normal(key, z.shape, z.dtype)
        return self.scaled(z)

    def decode(self, z: jax.Array) -> jax.Array:
        """Pictures of latents; not cut off at -1 and 1."""
        z = z / jnp.asarray(self.scale) + jnp.asarray(self.shift)
        return self.decoder(self.post_quant(z) if self.unquantized else z).astype(jnp.float32)

    def scaled(self, z: jax.Array) -> jax.Array:
        """Latents as a diffusion model sees them."""
        return (z - jnp.asarray(self.shift)) * jnp.asarray(self.scale)


def in_tiles(decode: Callable[[jax.Array], jax.Array], z: jax.Array, tile: int = 64, overlap: int = 16) -> jax.Array:
    """Decode large latents in overlapping squares, which fade into each other: memory is that of one square.

    Args:
      decode: (batch, tile, tile, channels) to pictures whose sides are some whole number of times larger.
      tile: side of a square, in latents; a smaller latent is decoded as it is.
      overlap: of two neighbors, in which their weights go evenly from one to the other.

    Raises:
      InputError: an overlap that is negative, or more than half a square.
    """
    if not 0 <= overlap <= tile // 2:
        raise InputError(f"overlap={overlap}: must be from 0 to half of tile={tile}")
    height, width = z.shape[1:3]
    size = min(tile, height), min(tile, width)
    rows, columns = (_starts(length, side, overlap) for length, side in zip((height, width), size, strict=True))
    total = weights = jnp.zeros(())
    for y in rows:
        for x in columns:
            part = decode(z[:, y : y + size[0], x : x + size[1]])
            factor = part.shape[1] // size[0]
            if not total.ndim:
                total = jnp.zeros((z.shape[0], factor * height, factor * width, part.shape[-1]), part.dtype)
                weights = jnp.zeros((factor * height, factor * width, 1), part.dtype)
            ramps = _ramp(factor * size[0], factor * overlap), _ramp(factor * size[1], factor * overlap)
            weight = (ramps[0][:, None] * ramps[1])[..., None]
            place = np.s_[factor * y : factor * (y + size[0]), factor * x : factor * (x + size[1])]
            total = total.at[:, *place].add(weight * part)
            weights = weights.at[place].add(weight)
    return total / weights


def _starts(length: int, side: int, overlap: int) -> list[int]:
    """Where squares begin that cover a length; the last one ends where the length does."""
    if length <= side:
        return [0]
    return [*range(0, length - side, side - overlap), length - side]


def _ramp(length: int, overlap: int) -> np.ndarray:
    """Weights that rise from one end and fall to the other over the overlap, above 0 everywhere."""
    place = np.arange(length) + 0.5
    return np.minimum(1, np.minimum(place, length - place) / max(overlap, 0.5)).astype(np.float32)
