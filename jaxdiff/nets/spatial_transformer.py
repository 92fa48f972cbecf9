"""The transformer between the convolutions of latent diffusion's U-Net (Rombach et al. 2022, section 3.3).

The pixels of a level are its tokens, row by row. Each block attends to all pixels, then to a sequence that is given,
such as the words of a caption, and then mixes the channels of each token by a gated layer (Shazeer 2020, GEGLU):

    h += attention(norm(h))
    h += attention(norm(h), sequence)
    h += mixed(value * gelu(gate)),    (value, gate) = gated(norm(h))

Queries, keys and values have no bias. The norm of the image has its own epsilon, 1e-6, whatever that of the U-Net's
blocks is; GELU is the exact one.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.nets.attention import attend
from jaxdiff.nets.layers import INIT, ZERO, GroupNorm

__all__ = ["SpatialTransformer", "TransformerBlock"]


class Attend(nn.Module):
    """Multi-head attention of tokens (batch, length, width) to a sequence (batch, any, any width), or to themselves."""

    heads: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, h: jax.Array, sequence: jax.Array) -> jax.Array:
        width = h.shape[-1]

        def part(name, x):
            dense = nn.Dense(width, use_bias=False, kernel_init=INIT, dtype=self.dtype, name=name)
            return dense(x).reshape(*x.shape[:2], self.heads, -1)

        out = attend(part("query", h), part("key", sequence), part("value", sequence))
        return nn.Dense(width, kernel_init=INIT, dtype=self.dtype, name="out")(out.reshape(h.shape))


class TransformerBlock(nn.Module):
    """Attention to itself, attention to the sequence, and a gated layer, each added to its input."""

    heads: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, h: jax.Array, sequence: jax.Array) -> jax.Array:
        def norm(name, h):
            return nn.LayerNorm(1e-5, dtype=self.dtype, use_fast_variance=False, name=name)(h)

        normed = norm("norm1", h)
        h = h + Attend(self.heads, self.dtype, name="self")(normed, normed)
        h = h + Attend(self.heads, self.dtype, name="cross")(norm("norm2", h), sequence)
        both = nn.Dense(8 * h.shape[-1], kernel_init=INIT, dtype=self.dtype, name="gated")(norm("norm3", h))
        value, gate = jnp.split(both, 2, axis=-1)
        mixed = value * nn.gelu(gate, approximate=False)
        return h + nn.Dense(h.shape[-1], kernel_init=INIT, dtype=self.dtype, name="mixed")(mixed)


class SpatialTransformer(nn.Module):
    """`depth` blocks on the pixels of an image (batch, height, width, channels), added to it."""

    depth: int
    heads: int
    groups: int = 32
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, sequence: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        h = GroupNorm(self.groups, self.dtype, name="norm")(x).reshape(x.shape[0], -1, channels)
        h = nn.Dense(channels, kernel_init=INIT, dtype=self.dtype, name="proj_in")(h)
        for i in range(self.depth):
            h = TransformerBlock(self.heads, self.dtype, name=f"block{i}")(h, sequence)
        return x + nn.Dense(channels, kernel_init=ZERO, dtype=self.dtype, name="proj_out")(h).reshape(x.shape)
