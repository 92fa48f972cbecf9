"""The U-Net of "Denoising Diffusion Probabilistic Models" (Ho, Jain and Abbeel 2020, appendix B).

Going down, each level runs `blocks` residual blocks (with attention at the chosen resolutions) and halves the image;
two blocks with attention between them sit at the bottom; going up, each level runs `blocks + 1` residual blocks, each
on the concatenation of its input with the matching output of the way down, and doubles the image. Time enters every
residual block through a two-layer embedding.

A condition (`jaxdiff.types.Condition`) enters where its kind does: a label and a vector are added to that embedding, an
image is concatenated to x, and a sequence is attended to wherever there is attention. What is missing, None or zeros or
a label of -1, leaves the network as if it did not know of conditions.

From one time to the next the deeper levels change little: what they hand up to the first level can be remembered and
given again, `deep`, so that only the first level is computed (Ma et al. 2024, "DeepCache").

With `patch`, squares of pixels become the channels of one (space to depth) before all this and after it, which spares
the costly computation at full size (Hoogeboom et al. 2023, "simple diffusion", section 3.3).

A picture to be followed, such as edges, is read by a copy of the way down and the middle, which sees x, too; what it
makes at each layer goes through a layer that starts at zero and is added to what the network hands to its way up, times
a strength (Zhang, Rao and Agrawala 2023, ControlNet). So a strength of 0 leaves the network as it was.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from jaxdiff.errors import InputError, unknown
from jaxdiff.nets.attention import Attention, CrossAttention
from jaxdiff.nets.layers import (
    CHEAP,
    INIT,
    ZERO,
    Downsample,
    GroupNorm,
    ResidualBlock,
    Upsample,
    conv,
    to_depth,
    to_space,
)
from jaxdiff.nets.text import read_caption
from jaxdiff.nets.told import check_given, embed, specs
from jaxdiff.types import Condition, ConditionSpec, Spec, expand

__all__ = ["KERNELS", "REMAT", "UNet"]

REMAT = ("none", "cheap", "full")
KERNELS = ("xla", "cudnn")


class Layers(NamedTuple):
    """The layers of a U-Net at one time and condition: `(h, channels, name) -> h`, attention without the channels."""

    plain: Callable[..., jax.Array]
    attention: Callable[..., jax.Array]
    block: Callable[..., jax.Array]


class UNet(nn.Module):
    """`(x, t, condition) -> out`, shaped like x, (batch, height, width, channels), or `outputs` times as deep.

    Attributes:
      channels: width of the first level; a multiple of `groups`.
      multipliers: width of each level as a multiple of `channels`; one level more halves the image once more.
      blocks: residual blocks a level on the way down (one more on the way up).
      attention: the heights (in pixels, or patches) of the levels that attend.
      dropout: rate inside each residual block, active while training.
      num_classes: of labels; 0 for none.
      vectors: conditions (batch, width) that are added to the embedding of the time, their widths by name.
      images: conditions (batch, height, width, channels) that are concatenated with x, their channels by name.
      sequences: conditions (batch, length, width) to which each attention is followed by one, their widths by name.
      text: options of `jaxdiff.nets.text.TextTransformer`, which reads the condition "text": its sequence is attended
        to likewise, and the vector of the whole caption added to the embedding; empty for no captions.
      control: channels of the condition "control", (batch, height, width, channels), a picture that the network follows
        by a copy of its way down (`Branch`), with the condition "strength", (batch,); 0 for none.
      fourier: exponents n of the features sin(2^n 2 pi x) and cos(2^n 2 pi x), channels added to the input, which
        let a network see the last bits of its input (Kingma et al. 2021, appendix C: 6 and 7 for 8-bit images).
      patch: side of the squares of pixels that become one, with more channels; 1 to leave them.
      groups: of every GroupNorm.
      outputs: how many times the channels of x come out: 2 for a learned variance.
      second_time: whether it is told the time at which a step ends, as the condition "until": a flow map's network.
      dtype: of the computation; parameters, normalization statistics and the output stay float32.
      heads: of every attention; a divisor of the channels.
      head_channels: instead, the channels of each head; 0 to count heads.
      scale_shift: time and condition scale and shift each residual block's second norm.
      resample_blocks: residual blocks change the size, in place of single convolutions (with `scale_shift`, 64
        `head_channels`, and 3 blocks: ADM, Dhariwal and Nichol 2021).
      attention_kernel: "xla" or "cudnn", see `jaxdiff.nets.layers.Attention`.
      remat: what each block computes again on the way back, to use less memory: "none"; "cheap", all but convolutions
        and matrix products; or "full", everything, for about a third more time.

    The defaults are the CIFAR-10 network of the paper: 35,746,307 parameters.
    """

    channels: int = 128
    multipliers: Sequence[int] = (1, 2, 2, 2)
    blocks: int = 2
    attention: Sequence[int] = (16,)
    dropout: float = 0.1
    num_classes: int = 0
    vectors: Mapping[str, int] = FrozenDict()
    images: Mapping[str, int] = FrozenDict()
    sequences: Mapping[str, int] = FrozenDict()
    text: Mapping[str, Any] = FrozenDict()
    control: int = 0
    fourier: Sequence[int] = ()
    patch: int = 1
    groups: int = 32
    outputs: int = 1
    second_time: bool = False
    dtype: jnp.dtype = jnp.float32
    heads: int = 1
    head_channels: int = 0
    scale_shift: bool = False
    resample_blocks: bool = False
    attention_kernel: str = "xla"
    remat: str = "none"

    def __post_init__(self):
        for kind in ("vectors", "images", "sequences", "text"):  # so that a module can be hashed
            object.__setattr__(self, kind, FrozenDict(getattr(self, kind)))
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        t: jax.Array,
        condition: Condition | None = None,
        train: bool = False,
        deep: jax.Array | None = None,
    ) -> jax.Array:
        """Run the network.

        Args:
          x: (batch, height, width, channels); height and width divisible by `patch * 2 ** (levels - 1)`.
          t: (batch,), in steps of a 1000-step chain.
          condition: what is known; initialize with all that the network is made for, see `condition_spec`.
          train: apply dropout; needs an rng named "dropout".
          deep: what the levels below the first gave at another time, which is sown into the collection "intermediates"
            under this name; computed if None.

        Raises:
          InputError: the image, the attention resolutions or the condition do not fit the network.
        """
        given = dict(condition or {})
        self._check(x.shape, given)
        added = self._followed(x, t, given, train)
        layers = self._layers(x.shape[0], t, given, train)
        skips, h = self._descend(x, given, layers, deep is not None)
        skips = [skip + more for skip, more in zip(skips, added, strict=False)] if added else skips
        _, _, block = layers

        def up(h, level):
            for i in range(self.blocks + 1):
                h = block(jnp.concatenate([h, skips.pop()], axis=-1), self._widths[level], f"up{level}_{i}")
            return h

        if deep is None:
            h = h + added[-1] if added else h
            for level in range(len(self._widths) - 1, 0, -1):
                h = self._resampled(up(h, level), level, layers, "up")
            self.sow("intermediates", "deep", h)
            deep = h

        h = GroupNorm(self.groups, self.dtype, silu=True, name="norm_out")(up(deep, 0))
        channels = self.outputs * x.shape[-1] * self.patch**2
        return to_space(conv(channels, init=ZERO, name="conv_out")(h.astype(jnp.float32)), self.patch)

    @property
    def _widths(self) -> list[int]:
        return [self.channels * m for m in self.multipliers]

    def _layers(self, batch: int, t: jax.Array, given: Condition, train: bool) -> Layers:
        """The layers that hear of the time and of the condition."""
        residual, attend = ResidualBlock, Attention
        if self.remat != "none":
            policy = CHEAP if self.remat == "cheap" else None
            residual = nn.remat(ResidualBlock, static_argnums=(3,), policy=policy)
            attend = nn.remat(Attention, policy=policy)
        sequences, embedding = self._read(given, self._embed(t, given), batch)

        def attention(h, name):
            heads = h.shape[-1] // self.head_channels if self.head_channels else self.heads
            h = attend(self.groups, self.dtype, heads, self.attention_kernel, name=name)(h)
            for part, sequence in sequences.items():
                h = CrossAttention(self.groups, self.dtype, heads, name=f"{name}_to_{part}")(h, sequence)
            return h

        def plain(h, channels, name, resample=""):
            options = (self.dropout, self.groups, self.dtype, self.scale_shift, resample)
            return residual(channels, *options, name=name)(h, embedding, train)

        def block(h, channels, name):
            h = plain(h, channels, name)
            return attention(h, f"{name}_attention") if h.shape[1] in self.attention else h

        return Layers(plain, attention, block)

    def _descend(
        self, x: jax.Array, given: Condition, layers: Layers, first: bool = False, hint: jax.Array | float = 0.0
    ) -> tuple[list[jax.Array], jax.Array]:
        """What each layer of the way down leaves, and the middle; of the first level alone, if asked for.

        Args:
          hint: what is added to the first layer's output.
        """
        plain, attention, block = layers

        def down(h, level):
            outputs = []
            for i in range(self.blocks):
                h = block(h, self._widths[level], f"down{level}_{i}")
                outputs.append(h)
            return outputs

        waves = [f(2.0**n * 2 * jnp.pi * x) for n in self.fourier for f in (jnp.sin, jnp.cos)]
        beside = [given.get(part, jnp.zeros((*x.shape[:-1], n))) for part, n in sorted(self.images.items())]
        h = to_depth(jnp.concatenate([x, *waves, *beside], axis=-1), self.patch)
        h = conv(self.channels, dtype=self.dtype, name="conv_in")(h) + hint
        skips = [h, *down(h, 0)]
        if first:
            return skips, h
        for level in range(1, len(self._widths)):
            skips.append(self._resampled(skips[-1], level - 1, layers, "down"))
            skips.extend(down(skips[-1], level))
        h = attention(plain(skips[-1], self._widths[-1], "middle_0"), "middle_attention")
        return skips, plain(h, self._widths[-1], "middle_1")

    def _resampled(self, h: jax.Array, level: int, layers: Layers, way: str) -> jax.Array:
        """The array at half the size, or at twice."""
        name = f"{way}sample{level}"
        if self.resample_blocks:
            return layers.plain(h, h.shape[-1], name, way)
        return (Downsample if way == "down" else Upsample)(self.dtype, name=name)(h)

    def _followed(self, x: jax.Array, t: jax.Array, given: dict[str, Any], train: bool) -> list[jax.Array]:
        """What a picture that is to be followed adds to each skip, and last to the middle; nothing without one."""
        picture, strength = given.pop("control", None), given.pop("strength", None)
        if not self.control or picture is None:
            return []
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(UNet) if field.init}
        found = Branch(**{**own, "parent": self, "name": "control"})(x, t, given, train, picture)
        strength = jnp.ones(len(x)) if strength is None else strength
        return [(expand(strength, one) * one).astype(one.dtype) for one in found]

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The conditions it takes for such images."""
        told = specs(spec, self.num_classes, self.vectors, self.images, self.sequences, self.text, self.second_time)
        if self.control:
            told["control"] = ConditionSpec((*spec.shape[:-1], self.control), missing=None)
            told["strength"] = ConditionSpec((), missing=None)
        return told

    def _embed(self, t: jax.Array, given: Condition) -> jax.Array:
        return embed(t, given, 4 * self.channels, self.channels, self.num_classes, self.vectors, self.dtype)

    def _read(self, given: Condition, embedding: jax.Array, batch: int) -> tuple[dict[str, jax.Array], jax.Array]:
        """The sequences to attend to, with that of the caption, and the embedding with the caption's vector."""
        sequences = {part: given[part] for part in sorted(self.sequences.keys() & given.keys())}
        if not self.text:
            return sequences, embedding
        sequences["text"], pooled = read_caption(self.text, given, batch, self.dtype)
        caption = nn.Dense(4 * self.channels, kernel_init=INIT, dtype=self.dtype, name="caption")
        return sequences, embedding + caption(pooled)

    def _check(self, shape: tuple[int, ...], given: Condition) -> None:
        _, height, width, _ = shape
        if not self.multipliers:
            raise InputError("net.multipliers is empty: give at least one, the width of the first level")
        halvings = len(self.multipliers) - 1
        if height % self.patch or width % self.patch:
            raise InputError(f"an image of {height}x{width} cannot be cut into patches of {self.patch}x{self.patch}")
        height, width = height // self.patch, width // self.patch
        if height % 2**halvings or width % 2**halvings:
            raise InputError(
                f"an image of {height}x{width} cannot be halved {halvings} times, as a U-Net with "
                f"{halvings + 1} multipliers does: use a size divisible by {2**halvings}, or fewer multipliers"
            )
        if bad := [m for m in self.multipliers if (m * self.channels) % self.groups]:
            raise InputError(
                f"channels={self.channels} times multipliers {bad} is not a multiple of groups={self.groups}: "
                "choose channels divisible by groups, or fewer groups"
            )
        heights = [height // 2**level for level in range(halvings + 1)]
        if absent := sorted(set(self.attention) - set(heights)):
            raise InputError(f"attention at {absent} never happens: the levels of this image are {heights} pixels high")
        name = "head_channels" if self.head_channels else "heads"
        if bad := [m for m in self.multipliers if (m * self.channels) % getattr(self, name)]:
            raise InputError(
                f"channels={self.channels} times multipliers {bad} is not a multiple of {name}={getattr(self, name)}: "
                f"choose channels divisible by {name}, or fewer {name.replace('_', ' ')}"
            )
        for option, allowed in (("remat", REMAT), ("attention_kernel", KERNELS)):
            if getattr(self, option) not in allowed:
                raise unknown(f"net.{option}", getattr(self, option), allowed)
        half = jnp.dtype(self.dtype) == jnp.bfloat16
        if self.attention_kernel == "cudnn" and not (half and jax.default_backend() == "gpu"):
            raise InputError("net.attention_kernel='cudnn' needs an NVIDIA GPU and net.dtype='bfloat16': choose 'xla'")
        check_given("unet", given, self.condition_spec(Spec(shape[1:], "images")))


class Branch(UNet):
    """`(x, t, condition, train, picture) -> added`: an array for each skip of a U-Net, and one for its middle."""

    @nn.compact
    def __call__(  # type: ignore[override]
        self, x: jax.Array, t: jax.Array, condition: Condition, train: bool, picture: jax.Array
    ) -> list[jax.Array]:
        """Run the copy of the way down, with the picture beside its first layer."""
        h = nn.silu(conv(self.channels, dtype=self.dtype, name="picture_in")(to_depth(picture, self.patch)))
        hint = conv(self.channels, init=ZERO, dtype=self.dtype, name="picture_out")(h)
        layers = self._layers(x.shape[0], t, condition, train)
        skips, h = self._descend(x, condition, layers, hint=hint)

        def zero(name, h):
            return nn.Dense(h.shape[-1], kernel_init=ZERO, dtype=self.dtype, name=name)(h)

        return [*(zero(f"zero{i}", skip) for i, skip in enumerate(skips)), zero("zero_middle", h)]
