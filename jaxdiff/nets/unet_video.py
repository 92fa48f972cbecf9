"""A U-Net over space and time (Ho et al. 2022, "Video Diffusion Models"; the factors of Singer et al. 2023).

The U-Net of `jaxdiff.nets.unet`, run on each frame by itself, with two layers after each of its blocks that see one
place of all frames: a convolution over three frames in a row, and attention over all of them,

    x <- x + W conv(silu(norm(x)))          x <- x + W attention(norm(x) + position of the frame)

Both W start at zero. So a fresh network is the U-Net of images, exactly, frame by frame, and its parameters have the
names of that one's: with `train.init`, a model of images becomes one of videos. In training, a share `alone` of the
videos is taken as so many images: the layers over time are left out for them, so that the model learns images and
videos at once.

Nothing ties the network to a number of frames. Each frame may have a time of its own: t is then (batch, frames).
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from jaxdiff.errors import InputError
from jaxdiff.nets.attention import Attention, attend
from jaxdiff.nets.layers import (
    INIT,
    ZERO,
    Downsample,
    GroupNorm,
    ResidualBlock,
    Upsample,
    conv,
    sinusoidal,
    to_depth,
    to_space,
)
from jaxdiff.nets.told import check_given, embed, specs
from jaxdiff.types import Condition, ConditionSpec, Spec

__all__ = ["TimeLayers", "UNetVideo"]


class TimeLayers(nn.Module):
    """A convolution and attention over frames, added to their input, (batch x frames, height, width, channels).

    Attributes:
      frames: that follow each other along the first axis.
      heads: of the attention.
    """

    frames: int
    groups: int
    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, gate: jax.Array | None) -> jax.Array:
        """Run both; gate is (batch,), 0 for videos whose frames are images, or None for 1."""
        shape, channels = x.shape, x.shape[-1]
        x = x.reshape(-1, self.frames, *shape[1:3], channels)
        scale = 1 if gate is None else gate[:, None, None, None, None].astype(x.dtype)

        h = jnp.pad(GroupNorm(self.groups, self.dtype, silu=True, name="norm1")(x), ((0, 0), (1, 1), *[(0, 0)] * 3))
        h = jnp.concatenate([h[:, i : i + self.frames] for i in range(3)], axis=-1)
        x = x + scale * nn.Dense(channels, kernel_init=ZERO, dtype=self.dtype, name="conv")(h)

        def dense(name, h, init=INIT):
            return nn.Dense(channels, kernel_init=init, dtype=self.dtype, name=name)(h)

        h = GroupNorm(self.groups, self.dtype, name="norm2")(x)
        h = h + dense("position", sinusoidal(jnp.arange(self.frames), channels))[:, None, None]
        rows = h.reshape(*h.shape[:2], -1, channels).swapaxes(1, 2).reshape(-1, self.frames, channels)
        parts = (dense(name, rows).reshape(*rows.shape[:2], self.heads, -1) for name in ("query", "key", "value"))
        seen = attend(*parts).reshape(len(x), -1, self.frames, channels).swapaxes(1, 2)
        return (x + scale * dense("out", seen.reshape(x.shape), ZERO)).reshape(shape)


class UNetVideo(nn.Module):
    """`(x, t, condition) -> out`, shaped like x, (batch, frames, height, width, channels), or `outputs` times as deep.

    Attributes:
      channels, multipliers, blocks, dropout, num_classes, vectors, patch, groups, outputs, dtype, heads: as of
        `jaxdiff.nets.unet.UNet`.
      attention: the heights (in pixels, or patches) of the levels that attend in space.
      alone: share of the videos of training whose frames are taken as images, each alone.
    """

    channels: int = 64
    multipliers: Sequence[int] = (1, 2, 4)
    blocks: int = 2
    attention: Sequence[int] = ()
    dropout: float = 0.0
    num_classes: int = 0
    vectors: Mapping[str, int] = FrozenDict()
    patch: int = 1
    groups: int = 8
    outputs: int = 1
    dtype: jnp.dtype = jnp.float32
    heads: int = 4
    alone: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "vectors", FrozenDict(self.vectors))  # so that a module can be hashed
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition | None = None, train: bool = False
    ) -> jax.Array:
        """Run the network.

        Args:
          x: (batch, frames, height, width, channels); height and width divisible by `patch * 2 ** (levels - 1)`.
          t: (batch,), or (batch, frames), in steps of a 1000-step chain.
          condition: what is known; initialize with all that the network is made for, see `condition_spec`.
          train: apply dropout, and take videos as images; both need an rng named "dropout".

        Raises:
          InputError: the video or the condition does not fit the network, or its settings do not fit each other.
        """
        given = condition or {}
        self._check(x.shape, t.shape, given)
        batch, frames = x.shape[:2]
        embedding = self._embed(t, given, batch, frames)
        gate = None
        if train and self.alone:
            gate = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.alone, (batch,))

        def plain(h, channels, name):
            block = ResidualBlock(channels, self.dropout, self.groups, self.dtype, name=name)
            return block(h, embedding, train)

        def spatial(h, name):
            return Attention(self.groups, self.dtype, self.heads, name=f"{name}_attention")(h)

        def over_time(h, name):
            return TimeLayers(frames, self.groups, self.heads, self.dtype, name=f"{name}_time")(h, gate)

        def block(h, channels, name):
            h = plain(h, channels, name)
            return over_time(spatial(h, name) if h.shape[1] in self.attention else h, name)

        widths, last = [self.channels * m for m in self.multipliers], len(self.multipliers) - 1
        h = to_depth(x.reshape(-1, *x.shape[2:]), self.patch)
        skips = [conv(self.channels, dtype=self.dtype, name="conv_in")(h)]
        for level, width in enumerate(widths):
            if level:
                skips.append(Downsample(self.dtype, name=f"downsample{level - 1}")(skips[-1]))
            for i in range(self.blocks):
                skips.append(block(skips[-1], width, f"down{level}_{i}"))
        h = over_time(spatial(plain(skips[-1], widths[-1], "middle_0"), "middle"), "middle")
        h = plain(h, widths[-1], "middle_1")
        for level in range(last, -1, -1):
            for i in range(self.blocks + 1):
                h = block(jnp.concatenate([h, skips.pop()], axis=-1), widths[level], f"up{level}_{i}")
            if level:
                h = Upsample(self.dtype, name=f"upsample{level}")(h)
        h = GroupNorm(self.groups, self.dtype, silu=True, name="norm_out")(h).astype(jnp.float32)
        out = conv(self.outputs * x.shape[-1] * self.patch**2, init=ZERO, name="conv_out")(h)
        return to_space(out, self.patch).reshape(*x.shape[:-1], -1)

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The conditions it takes for such videos."""
        return specs(spec, self.num_classes, self.vectors)

    def _embed(self, t: jax.Array, given: Condition, batch: int, frames: int) -> jax.Array:
        """What is said of time and condition to each frame, (batch x frames, width)."""
        width, times = 4 * self.channels, t if t.ndim == 2 else t[:, None]
        h = embed(times, given, width, self.channels, self.num_classes, self.vectors, self.dtype)
        return jnp.broadcast_to(h, (batch, frames, width)).reshape(-1, width)

    def _check(self, shape: tuple[int, ...], times: tuple[int, ...], given: Condition) -> None:
        if len(shape) != 5:
            raise InputError(f"net 'unet_video' takes (batch, frames, height, width, channels), not shape {shape}")
        side = self.patch * 2 ** (len(self.multipliers) - 1)
        if not self.multipliers or shape[2] % side or shape[3] % side:
            raise InputError(
                f"frames of {shape[2]}x{shape[3]}: net 'unet_video' with {len(self.multipliers)} multipliers and patch "
                f"{self.patch} takes sides that {side} divides, and at least one multiplier"
            )
        if bad := [self.channels * m for m in self.multipliers if self.channels * m % self.groups]:
            raise InputError(f"widths {bad} are no multiples of net.groups={self.groups}: choose other net.channels")
        if bad := [self.channels * m for m in self.multipliers if self.channels * m % self.heads]:
            raise InputError(f"widths {bad} are no multiples of net.heads={self.heads}: choose other net.channels")
        heights = [shape[2] // self.patch // 2**level for level in range(len(self.multipliers))]
        if absent := sorted(set(self.attention) - set(heights)):
            raise InputError(f"attention at {absent} never happens: the levels of these frames are {heights} high")
        if len(times) > 1 and times[1:] != shape[1:2]:
            raise InputError(f"t of shape {times}: must be (batch,) or {shape[:2]}, a time for each frame")
        check_given("unet_video", given, self.condition_spec(Spec(shape[1:], "video")))
