"""A learned log-SNR that falls from t = 0 to t = 1 (Kingma et al. 2021, appendix H)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

__all__ = ["MonotoneLogSNR"]


class MonotoneLogSNR(nn.Module):
    """`t -> lambda(t)`, elementwise: `start` at t = 0, `end` at t = 1, both learned, with a monotone network between.

    The network is l1 + l3(sigmoid(l2(l1))) with positive weights, scaled to run from 0 to 1.
    """

    start: float = 13.3
    end: float = -5.0
    width: int = 1024

    @nn.compact
    def __call__(self, t: jax.Array) -> jax.Array:
        first = self.param("start", nn.initializers.constant(self.start), ())
        last = self.param("end", nn.initializers.constant(self.end), ())
        slope = self.param("slope", nn.initializers.constant(self.start - self.end), ())
        into = self.param("into", nn.initializers.normal(1.0), (self.width,))
        bias = self.param("bias", nn.initializers.normal(1.0), (self.width,))
        out = self.param("out", nn.initializers.normal(1.0), (self.width,))

        def rise(t):
            straight = jnp.abs(slope) * t
            bent = jnp.abs(out) * nn.sigmoid(jnp.abs(into) * straight[..., None] + bias)
            return straight + bent.mean(-1)

        low, high = rise(jnp.zeros_like(t)), rise(jnp.ones_like(t))
        return first + (last - first) * (rise(t) - low) / (high - low)
