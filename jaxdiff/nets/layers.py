"""The layers of which the image networks are made.

Images are `(batch, height, width, channels)`. Every layer computes in `dtype` and keeps its parameters in float32.
Kernels start as in Ho et al. 2020: uniform with variance `scale / fan_avg`, and exactly zero for the last layer of
each residual branch, so that a fresh network is the identity on its residual stream and predicts zero.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

INIT = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
ZERO = nn.initializers.zeros_init()


def sinusoidal(t: jax.Array, channels: int) -> jax.Array:
    """Sines, then cosines, of `t` (batch,) at frequencies from 1 down to 1e-4: (batch, channels).

    The time embedding of Ho et al. 2020 (after Vaswani et al. 2017), whose `t` counts steps, 0 to 999.
    """
    half = channels // 2
    frequencies = jnp.exp(-math.log(10_000) / max(half - 1, 1) * jnp.arange(half, dtype=jnp.float32))
    angles = t.astype(jnp.float32)[:, None] * frequencies
    embedding = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return jnp.pad(embedding, ((0, 0), (0, channels % 2)))


def conv(channels: int, *, size: int = 3, stride: int = 1, init=INIT, dtype=jnp.float32, name: str | None = None):
    """A square convolution that pads so that height and width are divided by `stride`."""
    return nn.Conv(channels, (size, size), stride, padding="SAME", kernel_init=init, dtype=dtype, name=name)


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, + embedding, norm, SiLU, dropout, conv, + input (Ho et al. 2020, appendix B)."""

    channels: int
    dropout: float = 0.0
    groups: int = 32
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array, train: bool) -> jax.Array:
        h = nn.silu(nn.GroupNorm(self.groups, dtype=self.dtype, name="norm1")(x))
        h = conv(self.channels, dtype=self.dtype, name="conv1")(h)
        shift = nn.Dense(self.channels, kernel_init=INIT, dtype=self.dtype, name="embed")(nn.silu(embedding))
        h = h + shift[:, None, None, :]
        h = nn.silu(nn.GroupNorm(self.groups, dtype=self.dtype, name="norm2")(h))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = conv(self.channels, init=ZERO, dtype=self.dtype, name="conv2")(h)
        if x.shape[-1] != self.channels:
            x = nn.Dense(self.channels, kernel_init=INIT, dtype=self.dtype, name="shortcut")(x)
        return x + h


class Attention(nn.Module):
    """Self-attention over all pixels, one head, added to its input."""

    groups: int = 32
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, height, width, channels = x.shape
        h = nn.GroupNorm(self.groups, dtype=self.dtype, name="norm")(x).reshape(batch, height * width, channels)
        query, key, value = (
            nn.Dense(channels, kernel_init=INIT, dtype=self.dtype, name=name)(h)[:, :, None, :]
            for name in ("query", "key", "value")
        )
        h = jax.nn.dot_product_attention(query, key, value).reshape(x.shape)
        return x + nn.Dense(channels, kernel_init=ZERO, dtype=self.dtype, name="out")(h)


class Downsample(nn.Module):
    """A learned 3x3 convolution of stride 2: half the height, half the width."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return conv(x.shape[-1], stride=2, dtype=self.dtype, name="conv")(x)


class Upsample(nn.Module):
    """Each pixel four times, then a learned 3x3 convolution: twice the height, twice the width."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.repeat(2, axis=1).repeat(2, axis=2)
        return conv(x.shape[-1], dtype=self.dtype, name="conv")(x)
