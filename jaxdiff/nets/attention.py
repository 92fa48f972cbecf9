"""Attention of pixels to each other and to a sequence, by heads, with masks."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.nets.layers import INIT, ZERO, GroupNorm

__all__ = ["LEAST", "Attention", "CrossAttention", "attend"]


class Attention(nn.Module):
    """Self-attention over all pixels, added to its input.

    Attributes:
      heads: into how many parts the channels are divided, each with weights of its own.
      kernel: "xla", or "cudnn" for the fused kernel of `jax.nn.dot_product_attention`, which never holds the weights of
        all pairs of pixels: NVIDIA GPUs, bfloat16, 128 channels a head (256 from Hopper on).
      epsilon: of the norm.
    """

    groups: int = 32
    dtype: jnp.dtype = jnp.float32
    heads: int = 1
    kernel: str = "xla"
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: jax.Array, there: jax.Array | None = None) -> jax.Array:
        """Attend.

        Args:
          there: which pixels there are, (batch, height * width), by `attend`; the others must be zeros.
        """
        batch, height, width, channels = x.shape
        share = None if there is None else there.mean(1)
        h = GroupNorm(self.groups, self.dtype, epsilon=self.epsilon, name="norm")(x, share)
        h = h.reshape(batch, height * width, channels)
        query, key, value = (
            nn.Dense(channels, kernel_init=INIT, dtype=self.dtype, name=name)(h).reshape(*h.shape[:2], self.heads, -1)
            for name in ("query", "key", "value")
        )
        if self.kernel == "cudnn":
            h = jax.nn.dot_product_attention(query, key, value, implementation="cudnn")
        else:
            h = attend(query, key, value, None if there is None else there > 0)
        return x + nn.Dense(channels, kernel_init=ZERO, dtype=self.dtype, name="out")(h.reshape(x.shape))


class CrossAttention(nn.Module):
    """Attention of all pixels to a sequence (batch, length, width), added to the image.

    A token of zeros is padding, which nothing attends to; where all are, the image stays as it is.
    """

    groups: int = 32
    dtype: jnp.dtype = jnp.float32
    heads: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, sequence: jax.Array) -> jax.Array:
        channels = x.shape[-1]

        def dense(name, h, init=INIT):
            return nn.Dense(channels, use_bias=False, kernel_init=init, dtype=self.dtype, name=name)(h)

        h = GroupNorm(self.groups, self.dtype, name="norm")(x).reshape(x.shape[0], -1, channels)
        parts = dense("query", h), dense("key", sequence), dense("value", sequence)
        query, key, value = (part.reshape(*part.shape[:2], self.heads, -1) for part in parts)
        h = attend(query, key, value, jnp.any(sequence != 0, axis=-1))
        return x + dense("out", h.reshape(x.shape), ZERO)


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array | None = None,
    added: jax.Array | None = None,
) -> jax.Array:
    """`softmax(query keyᵀ / sqrt(channels)) value`, each (batch, pixels, heads, channels); the softmax in float32.

    As `jax.nn.dot_product_attention`, which on CPU takes 1.5 times as long for one head.

    Args:
      mask: which keys there are, (batch, keys), or which there are for each query, (batch or 1, queries, keys); all by
        default. Where there is none, the result is zero.
      added: to what the softmax is of, (batch, heads, queries, keys).
    """
    batch, pixels, heads, channels = query.shape
    query, key, value = (
        a.swapaxes(1, 2).reshape(batch * heads, -1, channels) for a in (query * channels**-0.5, key, value)
    )
    logits = jnp.einsum("btc,bsc->bts", query, key, preferred_element_type=jnp.float32)
    if added is not None:
        logits = logits + added.reshape(logits.shape)
    if mask is None:
        weights = jax.nn.softmax(logits)
    else:
        mask = mask[:, None] if mask.ndim == 2 else mask
        mask = jnp.broadcast_to(mask[:, None], (batch, heads, *mask.shape[1:])).reshape(batch * heads, *mask.shape[1:])
        weights = jnp.where(mask, jax.nn.softmax(jnp.where(mask, logits, LEAST)), 0)
    out = jnp.einsum("bts,bsc->btc", weights.astype(value.dtype), value)
    return out.reshape(batch, heads, pixels, channels).swapaxes(1, 2)


LEAST = -1e30
"""The logit of a key that is not there; finite, so that a row without any has gradients."""
