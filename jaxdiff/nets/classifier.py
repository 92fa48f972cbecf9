"""A classifier of noisy images: the way down of the U-Net, and a head (Dhariwal and Nichol 2021, section 4)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.nets.attention import Attention
from jaxdiff.nets.layers import ZERO, Downsample, GroupNorm, ResidualBlock, conv, sinusoidal, to_depth
from jaxdiff.nets.told import embed_time
from jaxdiff.types import ConditionSpec, Spec

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """`(x, t) -> logits`, (batch, num_classes), of images (batch, height, width, channels).

    Attributes: as of `jaxdiff.nets.UNet`. A fresh one finds all classes equally probable.
    """

    num_classes: int
    channels: int = 128
    multipliers: Sequence[int] = (1, 2, 2, 2)
    blocks: int = 2
    attention: Sequence[int] = (16,)
    dropout: float = 0.1
    patch: int = 1
    groups: int = 32
    heads: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, t: jax.Array, condition: None = None, train: bool = False) -> jax.Array:
        """Run the network; t is (batch,), in steps of a 1000-step chain.

        Raises:
          InputError: the image does not fit the network.
        """
        widths = [self.channels * m for m in self.multipliers]
        side = self.patch * 2 ** (len(widths) - 1)
        if not widths or any(size % side for size in x.shape[1:3]):
            raise InputError(f"an image of {x.shape[1]}x{x.shape[2]}: its sides must be divisible by {side}")
        if bad := [width for width in widths if width % self.groups or width % self.heads]:
            raise InputError(f"widths {bad} are not multiples of groups={self.groups} and heads={self.heads}")
        heights = [x.shape[1] // self.patch // 2**level for level in range(len(widths))]
        if absent := sorted(set(self.attention) - set(heights)):
            raise InputError(f"attention at {absent} never happens: the levels of this image are {heights} high")

        embedding = embed_time(sinusoidal(t, self.channels), 4 * self.channels, self.dtype)
        h = conv(self.channels, dtype=self.dtype, name="conv_in")(to_depth(x, self.patch))
        for level, width in enumerate(widths):
            if level:
                h = Downsample(self.dtype, name=f"downsample{level - 1}")(h)
            for i in range(self.blocks):
                name = f"down{level}_{i}"
                h = ResidualBlock(width, self.dropout, self.groups, self.dtype, name=name)(h, embedding, train)
                if h.shape[1] in self.attention:
                    h = Attention(self.groups, self.dtype, self.heads, name=f"{name}_attention")(h)
        h = GroupNorm(self.groups, self.dtype, silu=True, name="norm_out")(h).mean((1, 2))
        return nn.Dense(self.num_classes, kernel_init=ZERO, name="logits")(h.astype(jnp.float32))

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The conditions it takes: none."""
        return {}
