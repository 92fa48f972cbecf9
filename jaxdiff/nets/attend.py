"""Attention: the weighted sum that all attending layers share."""

import jax
import jax.numpy as jnp

__all__ = ["LEAST", "attend"]

LEAST = -1e30
"""The logit of a key that is not there; finite, so that a row without any has gradients."""


def attend(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """`softmax(query keyᵀ / sqrt(channels)) value`, each (batch, pixels, heads, channels); the softmax in float32.

    As `jax.nn.dot_product_attention`, which on CPU takes 1.5 times as long for one head.

    Args:
      mask: which keys there are, (batch, keys), or which there are for each query, (batch or 1, queries, keys); all by
        default. Where there is none, the result is zero.
    """
    batch, pixels, heads, channels = query.shape
    query, key, value = (
        a.swapaxes(1, 2).reshape(batch * heads, -1, channels) for a in (query * channels**-0.5, key, value)
    )
    logits = jnp.einsum("btc,bsc->bts", query, key, preferred_element_type=jnp.float32)
    if mask is None:
        weights = jax.nn.softmax(logits)
    else:
        mask = mask[:, None] if mask.ndim == 2 else mask
        mask = jnp.broadcast_to(mask[:, None], (batch, heads, *mask.shape[1:])).reshape(batch * heads, *mask.shape[1:])
        weights = jnp.where(mask, jax.nn.softmax(jnp.where(mask, logits, LEAST)), 0)
    out = jnp.einsum("bts,bsc->btc", weights.astype(value.dtype), value)
    return out.reshape(batch, heads, pixels, channels).swapaxes(1, 2)
