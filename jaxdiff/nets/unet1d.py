"""A U-Net over time, for trajectories and sound: the temporal U-Net of Diffuser (Janner et al. 2022), with FiLM.

Going down, each level runs `blocks` residual blocks and divides the number of steps by `stride`; two blocks, with
attention between them if wished, sit at the bottom; going up, each level multiplies the steps, and runs `blocks` more
on the concatenation with what the same level made on the way down. A block is

    h = silu(norm(conv(x)))      h = (1 + scale) h + shift      h = silu(norm(conv(h)))      x + h

where scale and shift come of the time and the condition (FiLM, Perez et al. 2018, as in Diffusion Policy, Chi et al.
2023). Diffuser has a shift alone, Mish for SiLU, and no concatenation at the first level. The layer that makes scale
and shift, and the network's last one, start at zero. Nothing but the strides ties the network to a length: it runs on
longer arrays than it was trained on.

Sequences of several lengths are padded with zeros, and a mask says which steps there are. Convolutions see zeros beyond
the end, whatever was made there, norms and attention see nothing, and at the lower levels there is a step where there
is any of those that it stands for: so padding changes nothing.

Each step may have a time of its own (diffusion forcing, Chen et al. 2024): t is then (batch, steps), and reaches the
lower levels as the mean of what is said of the steps that they stand for.

A convolution is one product of matrices here: on CPU, XLA's gradient of the usual form is 25 times slower in a loop.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from jaxdiff.errors import InputError
from jaxdiff.nets.attention import Attention
from jaxdiff.nets.layers import INIT, ZERO, Convolution, GroupNorm
from jaxdiff.nets.resize import to_steps
from jaxdiff.nets.told import check_given, embed, specs
from jaxdiff.types import Condition, ConditionSpec, Spec

__all__ = ["UNet1D"]


def among(h: jax.Array, there: jax.Array | None) -> jax.Array:
    """h (batch, steps, channels) with zeros where there is no step, by `there` (batch, steps, 1), or as it is."""
    return h if there is None else h * there.astype(h.dtype)


class Block(nn.Module):
    """conv, norm, SiLU, FiLM, conv, norm, SiLU, + input; the embedding is (batch, width) or (batch, steps, width)."""

    channels: int
    kernel: int
    groups: int
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array, train: bool, there: jax.Array | None = None) -> jax.Array:
        share = None if there is None else there.mean((1, 2))

        def convolved(h, i):
            h = Convolution(self.channels, self.kernel, dtype=self.dtype, name=f"conv{i}")(among(h, there))
            return GroupNorm(self.groups, self.dtype, silu=True, name=f"norm{i}")(among(h, there), share)

        film = nn.Dense(2 * self.channels, kernel_init=ZERO, dtype=self.dtype, name="embed")(nn.silu(embedding))
        scale, shift = jnp.split(film if film.ndim == 3 else film[:, None], 2, axis=-1)
        h = (1 + scale) * convolved(x, 1) + shift
        h = convolved(nn.Dropout(self.dropout, deterministic=not train)(h), 2)
        if x.shape[-1] != self.channels:
            x = nn.Dense(self.channels, kernel_init=INIT, dtype=self.dtype, name="shortcut")(x)
        return x + h


class UNet1D(nn.Module):
    """`(x, t, condition) -> out`, shaped like x, (batch, steps, channels), or `outputs` times as deep.

    Attributes:
      channels: width of the first level; a multiple of `groups`.
      multipliers: width of each level as a multiple of `channels`; one level more divides the steps once more.
      blocks: residual blocks a level, on each way.
      kernel: steps that a convolution sees, odd.
      patch: steps that become the channels of one before all this and after it, as for sound; 1 to leave them.
      stride: by which each level but the last divides the number of steps.
      groups: of every normalization.
      attention: whether the steps of the lowest level attend to each other.
      heads: of that attention.
      dropout: rate inside each residual block, active while training.
      num_classes: of labels; 0 for none.
      vectors: conditions (batch, width) that are told beside the time, their widths by name.
      images: conditions (batch, steps, channels) that are concatenated with x, their channels by name.
      outputs: how many times the channels of x come out: 2 for a learned variance.
      second_time: whether it is told the time at which a step ends, as the condition "until": a flow map's network.
      dtype: of the computation; parameters, normalization statistics and the output stay float32.
    """

    channels: int = 32
    multipliers: Sequence[int] = (1, 4, 8)
    blocks: int = 2
    kernel: int = 5
    patch: int = 1
    stride: int = 2
    groups: int = 8
    attention: bool = False
    heads: int = 4
    dropout: float = 0.0
    num_classes: int = 0
    vectors: Mapping[str, int] = FrozenDict()
    images: Mapping[str, int] = FrozenDict()
    outputs: int = 1
    second_time: bool = False
    dtype: jnp.dtype = jnp.float32

    def __post_init__(self):
        for kind in ("vectors", "images"):  # so that a module can be hashed
            object.__setattr__(self, kind, FrozenDict(getattr(self, kind)))
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition | None = None, train: bool = False
    ) -> jax.Array:
        """Run the network.

        Args:
          x: (batch, steps, channels); the steps divisible by `patch * stride ** (levels - 1)`.
          t: (batch,), or (batch, steps), in steps of a 1000-step chain.
          condition: what is known; initialize with all that the network is made for, see `condition_spec`. Of sequences
            of several lengths "mask", (batch, steps), 1 where there is a step.
          train: apply dropout; needs an rng named "dropout".

        Raises:
          InputError: x, t or the condition does not fit the network, or its settings do not fit each other.
        """
        given = condition or {}
        self._check(x.shape, t.shape, given)
        widths, last = [self.channels * m for m in self.multipliers], len(self.multipliers) - 1
        embedding = self._embed(t, given)
        there = self._there(given)

        def block(h, level, name):
            told = embedding
            if told.ndim == 3:
                told = told.reshape(told.shape[0], h.shape[1], -1, told.shape[-1]).mean(2)
            options = (self.kernel, self.groups, self.dropout, self.dtype)
            return Block(widths[level], *options, name=name)(h, told, train, there[level])

        beside = [given.get(part, jnp.zeros((*x.shape[:-1], n))) for part, n in sorted(self.images.items())]
        h, skips = among(jnp.concatenate([x, *beside], axis=-1), self._steps(given)), []
        h = h.reshape(h.shape[0], h.shape[1] // self.patch, -1)
        for level in range(last + 1):
            for i in range(self.blocks):
                h = block(h, level, f"down{level}_{i}")
            if level < last:
                skips.append(h)
                size = 2 * self.stride - 1
                h = among(h, there[level])
                h = Convolution(h.shape[-1], size, self.stride, dtype=self.dtype, name=f"downsample{level}")(h)

        h = block(h, last, "middle_0")
        if self.attention:
            lowest = there[last]
            seen = None if lowest is None else lowest[..., 0]
            h = among(h, lowest)[:, None]
            h = Attention(self.groups, self.dtype, self.heads, name="middle_attention")(h, seen)[:, 0]
        h = block(h, last, "middle_1")

        for level in range(last - 1, -1, -1):
            h = among(jnp.repeat(h, self.stride, axis=1), there[level])
            h = Convolution(widths[level], 2 * self.stride - 1, dtype=self.dtype, name=f"upsample{level}")(h)
            h = jnp.concatenate([h, skips.pop()], axis=-1)
            for i in range(self.blocks):
                h = block(h, level, f"up{level}_{i}")

        h = Convolution(self.channels, self.kernel, dtype=self.dtype, name="conv_last")(among(h, there[0]))
        share = None if there[0] is None else there[0].mean((1, 2))
        h = GroupNorm(self.groups, self.dtype, silu=True, name="norm_last")(among(h, there[0]), share)
        channels = self.outputs * self.patch * x.shape[-1]
        out = nn.Dense(channels, kernel_init=ZERO, name="conv_out")(h.astype(jnp.float32))
        return among(to_steps(out, self.patch, self.outputs), self._steps(given))

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The conditions it takes for such examples."""
        mask = {"mask": ConditionSpec(spec.shape[:1], missing=None)} if "lengths" in spec.details else {}
        return mask | specs(spec, self.num_classes, self.vectors, self.images, second_time=self.second_time)

    @staticmethod
    def _steps(given: Condition) -> jax.Array | None:
        """Which steps there are, (batch, steps, 1); None where all are."""
        return jnp.asarray(given["mask"])[..., None] if "mask" in given else None

    def _there(self, given: Condition) -> list[jax.Array | None]:
        """Which steps there are at each level."""
        found, there, stride = [], self._steps(given), self.patch
        for _ in self.multipliers:
            if there is not None:
                there = there.reshape(there.shape[0], -1, stride, 1).max(2)
            found, stride = [*found, there], self.stride
        return found

    def _embed(self, t: jax.Array, given: Condition) -> jax.Array:
        """What is said of the time and the condition: (batch, width), or (batch, steps, width)."""
        return embed(t, given, 4 * self.channels, self.channels, self.num_classes, self.vectors, self.dtype)

    def _check(self, shape: tuple[int, ...], times: tuple[int, ...], given: Condition) -> None:
        if len(shape) != 3:
            raise InputError(f"net 'unet1d' takes (batch, steps, channels), not an array of shape {shape}")
        if not self.multipliers or not self.kernel % 2:
            raise InputError(
                f"net.multipliers={tuple(self.multipliers)}, net.kernel={self.kernel}: give at least one multiplier, "
                "and an odd kernel"
            )
        total = self.patch * self.stride ** (len(self.multipliers) - 1)
        if shape[1] % total:
            raise InputError(
                f"{shape[1]} steps: net 'unet1d' with {len(self.multipliers)} multipliers, stride {self.stride} and "
                f"patch {self.patch} takes a multiple of {total}: use such a length, or fewer multipliers"
            )
        if self.channels % self.groups:
            raise InputError(f"net.channels={self.channels}: must be a multiple of net.groups={self.groups}")
        if self.attention and self.channels * self.multipliers[-1] % self.heads:
            raise InputError(
                f"net.heads={self.heads}: must divide the channels, {self.channels * self.multipliers[-1]}"
            )
        if len(times) > 1 and times[1:] != shape[1:2]:
            raise InputError(f"t of shape {times}: must be (batch,) or {shape[:2]}, a time for each step")
        check_given("unet1d", given, self.condition_spec(Spec(shape[1:], "trajectories", details={"lengths": ()})))
