"""The unconditional U-Net of published weights (diffusers' `UNet2DModel`), in all its variants.

It is the network of `jaxdiff.nets.unet` where each detail is said apart, so that weights trained elsewhere give the
same numbers: which levels attend on the way down and up, how windows lie when the image is halved, the order and the
frequencies of the time's sines, the epsilon of the norms. Levels and blocks are numbered as they are run: `down0` is
the first, `up0` the one below all others.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.nets.attention import Attention
from jaxdiff.nets.layers import ZERO, Downsample, GroupNorm, ResidualBlock, Upsample, conv, sinusoidal
from jaxdiff.nets.told import embed_label, embed_time
from jaxdiff.types import Condition, ConditionSpec, Spec, class_label

__all__ = ["UNet2D"]


class UNet2D(nn.Module):
    """`(x, t, condition) -> out`, of images (batch, height, width, channels), with `outputs` channels.

    Attributes:
      widths: channels of each level.
      blocks: residual blocks a level on the way down; one more on the way up.
      down, up: which levels attend, in the order in which they are run.
      middle: whether there is attention between the two blocks in the middle.
      head_channels: of each head of attention; 0 for one head.
      outputs: channels that come out; 0 for those of x.
      num_classes: of labels, which are then always to be given; 0 for none.
      centered: see `jaxdiff.nets.layers.Downsample`.
      shift, cosine_first: of the time's sines, see `jaxdiff.nets.layers.sinusoidal`.
      time_width: of the embedding; 0 for four times the first level's channels.
      from_unit: the network was trained on images in [0, 1]: it sees `2 x - 1`.

    The defaults are the CIFAR-10 network of Ho et al. 2020.
    """

    widths: Sequence[int] = (128, 256, 256, 256)
    blocks: int = 2
    down: Sequence[bool] = (False, True, False, False)
    up: Sequence[bool] = (False, False, True, False)
    middle: bool = True
    head_channels: int = 0
    outputs: int = 0
    num_classes: int = 0
    groups: int = 32
    epsilon: float = 1e-6
    centered: bool = False
    shift: float = 1.0
    cosine_first: bool = False
    time_width: int = 0
    from_unit: bool = False
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition | None = None, train: bool = False
    ) -> jax.Array:
        """Run the network on images at times t (batch,), in steps of its chain.

        Raises:
          InputError: the image cannot be halved as often as it has to be.
        """
        _check(x.shape, len(self.widths))
        embedding = self._embed(t, condition or {})

        def residual(h, width, name):
            block = ResidualBlock(width, self.dropout, self.groups, self.dtype, epsilon=self.epsilon, name=name)
            return block(h, embedding, train)

        def attend(h, name):
            heads = h.shape[-1] // self.head_channels if self.head_channels else 1
            return Attention(self.groups, self.dtype, heads, epsilon=self.epsilon, name=name)(h)

        h = conv(self.widths[0], dtype=self.dtype, name="conv_in")(2 * x - 1 if self.from_unit else x)
        skips = [h]
        for level, (width, attends) in enumerate(zip(self.widths, self.down, strict=True)):
            for i in range(self.blocks):
                h = residual(h, width, f"down{level}_residual{i}")
                h = attend(h, f"down{level}_attention{i}") if attends else h
                skips.append(h)
            if level < len(self.widths) - 1:
                h = Downsample(self.dtype, self.centered, name=f"down{level}_downsample")(h)
                skips.append(h)
        h = residual(h, self.widths[-1], "middle_residual0")
        h = attend(h, "middle_attention0") if self.middle else h
        h = residual(h, self.widths[-1], "middle_residual1")
        for level, (width, attends) in enumerate(zip(reversed(self.widths), self.up, strict=True)):
            for i in range(self.blocks + 1):
                h = residual(jnp.concatenate([h, skips.pop()], axis=-1), width, f"up{level}_residual{i}")
                h = attend(h, f"up{level}_attention{i}") if attends else h
            if level < len(self.widths) - 1:
                h = Upsample(self.dtype, name=f"up{level}_upsample")(h)
        h = GroupNorm(self.groups, self.dtype, silu=True, epsilon=self.epsilon, name="norm_out")(h)
        return conv(self.outputs or x.shape[-1], init=ZERO, name="conv_out")(h.astype(jnp.float32))

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The class, if it is told one."""
        return {"label": class_label(self.num_classes)} if self.num_classes else {}

    def _embed(self, t: jax.Array, given: Condition) -> jax.Array:
        width = self.time_width or 4 * self.widths[0]
        h = sinusoidal(t, self.widths[0], self.shift, self.cosine_first)
        h = embed_time(h, width, self.dtype)
        return h + embed_label(given["label"], self.num_classes, width, self.dtype) if "label" in given else h


def _check(shape: tuple[int, ...], levels: int) -> None:
    """Refuse images whose sides cannot be halved as often as a U-Net of so many levels does."""
    side = 2 ** (levels - 1)
    if shape[1] % side or shape[2] % side:
        raise InputError(f"an image of {shape[1]}x{shape[2]}: this network's sides are multiples of {side}")
