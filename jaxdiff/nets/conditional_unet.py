"""The U-Net of latent diffusion (Rombach et al. 2022; diffusers' `UNet2DConditionModel`), as Stable Diffusion has it.

A U-Net whose levels have a `jaxdiff.nets.spatial_transformer` after each residual block, which attends to a sequence,
the words of the caption. The variants differ in numbers alone: Stable Diffusion 1 and 2 in the width of the words and
of the heads; XL (Podell et al. 2023) in the depth of the transformers, none on its first level, and in two things that
are added to the time, a vector that stands for the caption and six numbers that say how large the picture was and how
it was cropped. Models that fill in, see depth or follow instructions have further channels beside x.

`Branch` is what a control network shares with it: the way down and the middle (`jaxdiff.nets.control`).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.nets.layers import INIT, ZERO, Downsample, GroupNorm, ResidualBlock, Upsample, conv, sinusoidal
from jaxdiff.nets.spatial_transformer import SpatialTransformer
from jaxdiff.types import Condition, ConditionSpec, Spec

__all__ = ["Branch", "ConditionalUNet"]

SIZES = 6
"""Numbers that XL is told: the height and width before scaling, top and left of the crop, height and width wanted."""


class Branch(nn.Module):
    """What the U-Net and a network that controls it have in common.

    Attributes:
      widths: channels of each level.
      blocks: residual blocks a level on the way down; one more on the way up.
      depths: blocks of the transformer after each of them, a level; 0 for none.
      middle_depth: of the transformer in the middle.
      heads: of attention, a level.
      context: width of the sequence that is attended to, `condition["context"]`.
      pooled: width of the vector `condition["pooled"]`, which goes with `condition["sizes"]`; 0 for neither.
      size_width: channels for each of the six sizes.
      beside: conditions that are concatenated with x, each a name and its channels, in this order.
      epsilon: of the norms of residual blocks.
      centered, shift, cosine_first: see `jaxdiff.nets.unet2d.UNet2D`.
    """

    widths: Sequence[int] = (320, 640, 1280, 1280)
    blocks: int = 2
    depths: Sequence[int] = (1, 1, 1, 0)
    middle_depth: int = 1
    heads: Sequence[int] = (8, 8, 8, 8)
    context: int = 768
    pooled: int = 0
    size_width: int = 256
    beside: Sequence[tuple[str, int]] = ()
    groups: int = 32
    epsilon: float = 1e-5
    centered: bool = True
    shift: float = 0.0
    cosine_first: bool = True
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """What it has to be told of such latents."""
        shapes: dict[str, tuple[int | None, ...]] = {"context": (None, self.context)}
        shapes |= {"pooled": (self.pooled,), "sizes": (SIZES,)} if self.pooled else {}
        shapes |= {name: (*spec.shape[:-1], channels) for name, channels in self.beside}
        return {name: ConditionSpec(shape, missing=None) for name, shape in shapes.items()}

    def embed(self, t: jax.Array, given: Condition) -> jax.Array:
        """The embedding of the time, and of what else is said of the whole picture."""
        h = self._two("time", sinusoidal(t, self.widths[0], self.shift, self.cosine_first))
        if not self.pooled:
            return h
        sizes = sinusoidal(given["sizes"].reshape(-1), self.size_width, self.shift, self.cosine_first)
        return h + self._two("added", jnp.concatenate([given["pooled"], sizes.reshape(len(t), -1)], axis=-1))

    def _two(self, name: str, h: jax.Array) -> jax.Array:
        width = 4 * self.widths[0]
        h = nn.Dense(width, kernel_init=INIT, dtype=self.dtype, name=f"{name}1")(h)
        return nn.Dense(width, kernel_init=INIT, dtype=self.dtype, name=f"{name}2")(nn.silu(h))

    def residual(self, h: jax.Array, width: int, embedding: jax.Array, train: bool, name: str) -> jax.Array:
        """A residual block."""
        block = ResidualBlock(width, self.dropout, self.groups, self.dtype, epsilon=self.epsilon, name=name)
        return block(h, embedding, train)

    def transform(self, h: jax.Array, depth: int, heads: int, context: jax.Array, name: str) -> jax.Array:
        """A transformer, or nothing where its depth is 0."""
        return SpatialTransformer(depth, heads, self.groups, self.dtype, name=name)(h, context) if depth else h

    def descend(
        self,
        h: jax.Array,
        embedding: jax.Array,
        context: jax.Array,
        train: bool,
        features: Sequence[jax.Array] = (),
    ) -> tuple[jax.Array, list[jax.Array]]:
        """The way down: its end, and all that the way up is given.

        Args:
          features: of a picture, added to the levels: before a level with transformers is halved, and after any other
            is, so that the way up is given the sums.
        """
        skips = [h]
        for level, (width, depth, heads) in enumerate(zip(self.widths, self.depths, self.heads, strict=True)):
            for i in range(self.blocks):
                h = self.residual(h, width, embedding, train, f"down{level}_residual{i}")
                h = self.transform(h, depth, heads, context, f"down{level}_attention{i}")
                skips.append(h)
            if depth:
                h = skips[-1] = met(h, features, level)
            if level < len(self.widths) - 1:
                h = Downsample(self.dtype, self.centered, name=f"down{level}_downsample")(h)
                skips.append(h)
            if not depth:
                h = skips[-1] = met(h, features, level)
        return h, skips

    def turn(self, h: jax.Array, embedding: jax.Array, context: jax.Array, train: bool) -> jax.Array:
        """The middle."""
        h = self.residual(h, self.widths[-1], embedding, train, "middle_residual0")
        h = self.transform(h, self.middle_depth, self.heads[-1], context, "middle_attention0")
        return self.residual(h, self.widths[-1], embedding, train, "middle_residual1")

    def check(self, shape: tuple[int, ...], given: Condition) -> None:
        """Refuse latents or conditions that do not fit.

        Raises:
          InputError: a condition is missing or has another shape; or sides that cannot be halved often enough.
        """
        side = 2 ** (len(self.widths) - 1)
        if shape[1] % side or shape[2] % side:
            raise InputError(f"latents of {shape[1]}x{shape[2]}: this network's sides are multiples of {side}")
        for name, spec in self.condition_spec(Spec(shape[1:], "images")).items():
            if name not in given:
                raise InputError(f"condition: this network is always told {name!r}: give it")
            there = given[name].shape[1:]
            if len(there) != len(spec.shape) or any(a not in (None, b) for a, b in zip(spec.shape, there, strict=True)):
                raise InputError(f"condition: {name!r} of shape {there} an example: it must be {spec.shape}")


class ConditionalUNet(Branch):
    """`(x, t, condition) -> out`, of latents (batch, height, width, channels); see `Branch` for what it is told.

    Attributes:
      up_depths: of the transformers on the way up, in the order in which they are run.
      outputs: channels that come out; 0 for those of x.
    """

    up_depths: Sequence[int] = (0, 1, 1, 1)
    outputs: int = 0

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        t: jax.Array,
        condition: Condition | None = None,
        train: bool = False,
        added: Sequence[jax.Array] = (),
        features: Sequence[jax.Array] = (),
    ) -> jax.Array:
        """Run the network on latents at times t (batch,), in steps of its chain.

        Args:
          added: what is added to each of the skips and, the last of them, to the middle (`jaxdiff.nets.control`).
          features: what is added to each level on the way down and, if there is one more, to the middle
            (`jaxdiff.nets.adapter`).

        Raises:
          InputError: features of other shapes than the levels, or more of them.
        """
        given = condition or {}
        self.check(x.shape, given)
        context, embedding = given["context"], self.embed(t, given)
        h = jnp.concatenate([x, *(given[name] for name, _ in self.beside)], axis=-1)
        h = conv(self.widths[0], dtype=self.dtype, name="conv_in")(h)
        if len(features) > len(self.widths) + 1:
            raise InputError(f"an adapter of {len(features)} levels: this network has {len(self.widths)} and a middle")
        h, skips = self.descend(h, embedding, context, train, features)
        h = met(self.turn(h, embedding, context, train), features, len(self.widths))
        if added:
            skips = [skip + more for skip, more in zip(skips, added[:-1], strict=True)]
            h = h + added[-1]
        for level, depth in enumerate(self.up_depths):
            width, heads = self.widths[-1 - level], self.heads[-1 - level]
            for i in range(self.blocks + 1):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = self.residual(h, width, embedding, train, f"up{level}_residual{i}")
                h = self.transform(h, depth, heads, context, f"up{level}_attention{i}")
            if level < len(self.widths) - 1:
                h = Upsample(self.dtype, name=f"up{level}_upsample")(h)
        h = GroupNorm(self.groups, self.dtype, silu=True, epsilon=self.epsilon, name="norm_out")(h)
        return conv(self.outputs or x.shape[-1], init=ZERO, name="conv_out")(h.astype(jnp.float32))


def met(h: jax.Array, features: Sequence[jax.Array], level: int) -> jax.Array:
    """What a level made, and the features for it, if there are any.

    Raises:
      InputError: they have other shapes.
    """
    if level >= len(features):
        return h
    if features[level].shape != h.shape:
        raise InputError(
            f"an adapter whose level {level} makes {features[level].shape[1:]} of its picture: this network has "
            f"{h.shape[1:]} there: take an adapter that was trained for it"
        )
    return h + features[level]
