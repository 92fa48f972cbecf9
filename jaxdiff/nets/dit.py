"""The diffusion transformer (DiT, Peebles and Xie 2023), and what others made of it.

Squares of pixels become tokens, with fixed positions added; blocks (`jaxdiff.nets.transformer`) that are shifted,
scaled and gated by an embedding of time and condition follow; a norm, shifted and scaled likewise, and a linear map,
zero at first, lead back to squares of pixels.

    DiT, SiT (Ma et al. 2024)          the defaults, with the sizes of `SIZES`
    LightningDiT (Yao et al. 2025)     norm="rms", feed_forward="swiglu", rotary=True
    JiT (Li and He 2025)               these, qk_norm=True, bottleneck=128, class_tokens=32 from block 4 on
    Sora (Brooks et al. 2024)          of videos: patches of `patch_frames` frames, all attending to each other

A video is (batch, frames, height, width, channels), of any length and size that the patches divide. Positions in time
are zero in the first frame, and each frame may have a time of its own, whose embedding then shifts, scales and gates
its tokens alone (diffusion forcing, Chen et al. 2024). So a video of one frame is an image, exactly, to the same
parameters.

A condition enters where its kind does: labels, vectors and the vector of a whole caption are added to the embedding,
an image is laid beside x, and a sequence or a caption is attended to in each block ("cross"), or its tokens are put
before those of the image ("context"). The missing label has a row of the table of its own, the last; the missing
caption is ""; other missing conditions are zeros.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict

from jaxdiff.errors import InputError, unknown
from jaxdiff.nets.layers import INIT, ZERO
from jaxdiff.nets.resize import from_cubes, to_cubes
from jaxdiff.nets.text import read_caption
from jaxdiff.nets.told import check_given, embed_vector, specs
from jaxdiff.nets.transformer import (
    FEED_FORWARDS,
    NORMS,
    SMALL,
    frame_positions,
    make_norm,
    present,
    rotary_angles,
    run_blocks,
    sincos_positions,
    spread,
    tensor_axis,
)
from jaxdiff.types import Condition, ConditionSpec, Spec

__all__ = ["JOINS", "REMAT", "SIZES", "DiT", "time_features"]

SIZES = {
    "S": {"depth": 12, "width": 384, "heads": 6},
    "B": {"depth": 12, "width": 768, "heads": 12},
    "L": {"depth": 24, "width": 1024, "heads": 16},
    "XL": {"depth": 28, "width": 1152, "heads": 16},
}
"""Of the paper, table 1."""
JOINS = ("cross", "context")
REMAT = ("none", "cheap", "full")
FREQUENCIES = 256


def time_features(t: jax.Array, shift: int = 0) -> jax.Array:
    """Cosines, then sines, of t (batch,) or (batch, frames) at 128 frequencies from 1 down: (..., 256).

    Args:
      shift: 0 for frequencies `10000^(-i / 128)`, as in the paper's code; 1 for `10000^(-i / 127)`, as in diffusers'.
    """
    half = FREQUENCIES // 2
    frequencies = 10_000.0 ** (-np.arange(half) / (half - shift))
    angles = t.astype(jnp.float32)[..., None] * jnp.asarray(frequencies, jnp.float32)
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


class DiT(nn.Module):
    """`(x, t, condition) -> out`, shaped like x, an image or a video, or `outputs` times as deep.

    Attributes:
      depth, width, heads: of the blocks; the width is a multiple of 4 and of the heads.
      patch: side of the squares of pixels that become tokens.
      patch_frames: frames of them, of videos.
      ratio: the hidden width of a feed-forward layer, as a multiple of the width; of "swiglu" two thirds of that.
      num_classes: of labels; 0 for none.
      vectors: conditions (batch, width) that are added to the embedding of the time, their widths by name.
      images: conditions beside x, shaped like it but for their channels, by name.
      sequences: conditions (batch, length, width), whose tokens of zeros are padding, their widths by name.
      text: options of `jaxdiff.nets.text.TextTransformer`, which reads the condition "text"; empty for no captions.
      joins: how sequences and captions are seen: "cross", by attention of their own in each block, or "context", as
        tokens before those of the image.
      class_tokens: so many tokens of the label before those of the image.
      context_from: the first block that sees the tokens before those of the image.
      norm: "layer" or "rms".
      feed_forward: "gelu" or "swiglu".
      qk_norm: normalize queries and keys.
      rotary: turn queries and keys by their places, too.
      bottleneck: width of a linear map between pixels and tokens (Li and He 2025); 0 for none.
      base: side of the grid of patches that the positions are scaled to; 0 to count patches.
      shift: of the frequencies of time, see `time_features`.
      epsilons: of the two norms of a block, see `jaxdiff.nets.transformer.Block`.
      dropout: rate in each block, active while training.
      outputs: how many times the channels of x come out: 2 for a learned variance.
      dtype: of the computation; parameters, softmax and the output stay float32.
      scan: compile one block for all equal ones: their parameters are stacked (`jaxdiff.nets.transformer.stacked`).
      remat: what each block computes again on the way back: "none", "cheap" or "full".

    The defaults are DiT-S/2.
    """

    depth: int = 12
    width: int = 384
    heads: int = 6
    patch: int = 2
    patch_frames: int = 1
    ratio: float = 4.0
    num_classes: int = 0
    vectors: Mapping[str, int] = FrozenDict()
    images: Mapping[str, int] = FrozenDict()
    sequences: Mapping[str, int] = FrozenDict()
    text: Mapping[str, Any] = FrozenDict()
    joins: str = "cross"
    class_tokens: int = 0
    context_from: int = 0
    norm: str = "layer"
    feed_forward: str = "gelu"
    qk_norm: bool = False
    rotary: bool = False
    bottleneck: int = 0
    base: int = 0
    shift: int = 0
    epsilons: Sequence[float] = (1e-6, 1e-6)
    dropout: float = 0.0
    outputs: int = 1
    dtype: jnp.dtype = jnp.float32
    scan: bool = False
    remat: str = "none"

    def __post_init__(self):
        for kind in ("vectors", "images", "sequences", "text"):  # so that a module can be hashed
            object.__setattr__(self, kind, FrozenDict(getattr(self, kind)))
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition | None = None, train: bool = False
    ) -> jax.Array:
        """Run the network.

        Args:
          x: (batch, height, width, channels), or (batch, frames, height, width, channels); height and width divisible
            by `patch`, frames by `patch_frames`.
          t: (batch,), or, of videos, (batch, frames), in steps of a 1000-step chain.
          condition: what is known; initialize with all that the network is made for, see `condition_spec`.
          train: apply dropout, which needs an rng named "dropout".

        Raises:
          InputError: the image, the times, the options or the condition do not fit the network.
        """
        given = dict(condition or {})
        self._check(x.shape, t.shape, given)
        batch = x.shape[0]
        frames = x.shape[1] // self.patch_frames if x.ndim == 5 else 1
        grid = (frames, x.shape[-3] // self.patch, x.shape[-2] // self.patch)

        label = self._label(given, batch) if self.num_classes else None
        sequences = {name: given[name] for name in self.sequences.keys() & given.keys()}
        pooled = None
        if self.text:
            sequences["text"], pooled = read_caption(self.text, given, batch, self.dtype)
        embedding = self._embed(t, given, label, pooled)
        sequences = {name: self._dense(f"from_{name}", value, False) for name, value in sorted(sequences.items())}
        h = self._patches(x, given) + self._positions(grid).astype(self.dtype)

        contexts, context = (sequences, {}) if self.joins == "cross" else ({}, sequences)
        run = lambda first, end, *inputs: self._run(first, end, train, *inputs, contexts)
        alone = self.context_from if self._takes_tokens() else self.depth
        h = run(0, alone, h, embedding, self._angles(grid, 0), None)
        if before := self._tokens_before(label, context):
            tokens, there = before
            count, told = tokens.shape[1], embedding
            if told.ndim == 3:  # to what stands before all frames, the mean of what is said to them
                mean = jnp.broadcast_to(told.mean(1, keepdims=True), (batch, count, self.width))
                told = jnp.concatenate([mean, spread(told, h.shape[1])], axis=1)
            mask = jnp.concatenate([there, jnp.ones(h.shape[:2], bool)], axis=1)
            both = jnp.concatenate([tokens, h], axis=1)
            h = run(alone, self.depth, both, told, self._angles(grid, count), mask)[:, count:]
        else:
            h = run(alone, self.depth, h, embedding, self._angles(grid, 0), None)

        m = nn.Dense(2 * self.width, kernel_init=ZERO, dtype=self.dtype, name="modulation")(nn.silu(embedding))
        shift, scale = jnp.split(spread(m, h.shape[1]), 2, axis=-1)
        h = make_norm(self.norm, 1e-6, self.dtype, "norm_out")(h) * (1 + scale) + shift
        channels = self.outputs * x.shape[-1] * self.patch_frames * self.patch**2
        out = nn.Dense(channels, kernel_init=ZERO, name="out")(h.astype(jnp.float32))
        return from_cubes(out, grid, self.patch_frames, self.patch).reshape(*x.shape[:-1], -1)

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The conditions it takes for such images or videos."""
        return specs(spec, self.num_classes, self.vectors, self.images, self.sequences, self.text)

    tensor_axis = staticmethod(tensor_axis)

    def _dense(self, name: str, h: jax.Array, bias: bool = True) -> jax.Array:
        return nn.Dense(self.width, bias, dtype=self.dtype, kernel_init=INIT, name=name)(h)

    def _embed(self, t: jax.Array, given: dict, label: jax.Array | None, pooled: jax.Array | None) -> jax.Array:
        """The embedding of time, label, vectors and caption: (batch, width), or (batch, patches in time, width)."""
        dense = lambda name, h: nn.Dense(self.width, kernel_init=SMALL, dtype=self.dtype, name=name)(h)
        h = dense("time2", nn.silu(dense("time1", time_features(t, self.shift))))
        if h.ndim == 3:
            h = h.reshape(h.shape[0], -1, self.patch_frames, self.width).mean(2)
        told = [] if label is None else [label]
        for name in sorted(self.vectors.keys() & given.keys()):
            told.append(embed_vector(name, given[name], self.width, FREQUENCIES, self.dtype))
        told += [] if pooled is None else [self._dense("caption", pooled)]
        for part in told:
            h = h + (part if h.ndim == 2 else part[:, None])
        return h

    def _label(self, given: dict, batch: int) -> jax.Array:
        """The vector of each label, (batch, width); of the missing one by default."""
        label = jnp.broadcast_to(given.get("label", jnp.full(1, -1)), (batch,))
        table = nn.Embed(self.num_classes + 1, self.width, embedding_init=SMALL, dtype=self.dtype, name="classes")
        return table(jnp.where(label < 0, self.num_classes, label))

    def _patches(self, x: jax.Array, given: dict) -> jax.Array:
        """Patches of pixels, with those of the images beside x, as tokens (batch, tokens, width)."""
        beside = [given.get(name, jnp.zeros((*x.shape[:-1], n))) for name, n in sorted(self.images.items())]
        h = to_cubes(jnp.concatenate([x, *beside], axis=-1), self.patch_frames, self.patch)
        if self.bottleneck:
            h = nn.Dense(self.bottleneck, False, dtype=self.dtype, kernel_init=INIT, name="bottleneck")(h)
        return self._dense("patches", h)

    def _run(self, first: int, end: int, train: bool, *inputs) -> jax.Array:
        """Blocks number `first` up to `end`."""
        options = {
            "heads": self.heads,
            "hidden": int(self.ratio * self.width * (2 / 3 if self.feed_forward == "swiglu" else 1)),
            "norm": self.norm,
            "feed_forward": self.feed_forward,
            "qk_norm": self.qk_norm,
            "epsilons": tuple(self.epsilons),
            "dropout": self.dropout,
            "dtype": self.dtype,
            "train": train,
        }
        return run_blocks(first, end - first, options, self.remat, self.scan, *inputs) if first < end else inputs[0]

    def _positions(self, grid: tuple[int, ...]) -> jax.Array:
        """Fixed positions of the patches, (tokens, width)."""
        places = [np.arange(grid[0]), *(np.arange(n) * (self.base / n if self.base else 1) for n in grid[1:])]
        frame, row, column = (p.ravel() for p in np.meshgrid(*places, indexing="ij"))
        return jnp.asarray(sincos_positions(row, column, self.width) + frame_positions(frame, self.width))

    def _angles(self, grid: tuple[int, ...], before: int) -> jax.Array | None:
        """By which tokens turn, those before the image by 0, (tokens, channels of a head / 2)."""
        if not self.rotary:
            return None
        frame, *places = (p.ravel() for p in np.meshgrid(*map(np.arange, grid), indexing="ij"))
        angles = rotary_angles(places, self.width // self.heads, frames=frame)
        return jnp.asarray(np.pad(angles, ((before, 0), (0, 0))))

    def _takes_tokens(self) -> bool:
        """Whether tokens may come before those of the image, from block `context_from` on."""
        told = self.joins == "context" and (self.sequences or self.text)
        return bool(told or (self.class_tokens and self.num_classes))

    def _tokens_before(self, label: jax.Array | None, sequences: dict) -> tuple[jax.Array, jax.Array] | None:
        """The tokens before those of the image, and which of them there are, (batch, tokens); None if there are none.

        To those of a sequence its own vector is added, to those of a class a vector each.
        """
        kind = lambda name: self.param(f"kind_{name}", SMALL, (self.width,)).astype(self.dtype)
        parts = [(value + kind(name), present(value)) for name, value in sequences.items()]
        if self.class_tokens and label is not None:
            places = self.param("class_places", SMALL, (self.class_tokens, self.width)).astype(self.dtype)
            tokens = label[:, None] + places
            parts.append((tokens, jnp.ones(tokens.shape[:2], bool)))
        if not parts:
            return None
        tokens, there = (jnp.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        return tokens, there

    def _check(self, shape: tuple[int, ...], times: tuple[int, ...], given: dict) -> None:
        if len(shape) not in (4, 5):
            raise InputError(f"net 'dit' takes (batch, [frames,] height, width, channels), not shape {shape}")
        frames, height, width = (1, *shape[1:-1])[-3:]
        if frames % self.patch_frames:
            raise InputError(f"net.patch_frames={self.patch_frames}: does not divide {frames} frame(s): choose another")
        if len(times) > 1 and times[1:] != shape[1:-3]:
            fits = f"(batch,) or {shape[:2]}, a time for each frame" if len(shape) == 5 else "(batch,)"
            raise InputError(f"t of shape {times}: must be {fits}")
        if height % self.patch or width % self.patch:
            raise InputError(
                f"an image of {height}x{width} cannot be cut into patches of {self.patch}x{self.patch}: choose a "
                "net.patch that divides both sides, or another size"
            )
        if self.width % self.heads or self.width % 4:
            raise InputError(
                f"net.width={self.width} is not a multiple of net.heads={self.heads} and of 4: choose one that is"
            )
        if self.rotary and self.width // self.heads % 4:
            raise InputError(
                f"net.rotary=True: the {self.width // self.heads} channels of a head, net.width / net.heads, must be a "
                "multiple of 4"
            )
        if not 0 <= self.context_from < self.depth:
            raise InputError(f"net.context_from={self.context_from}: must be from 0 to {self.depth - 1}")
        if self.class_tokens and not self.num_classes:
            raise InputError(f"net.class_tokens={self.class_tokens}: there are no classes: give net.num_classes, or 0")
        if self.context_from and not self._takes_tokens():
            raise InputError(f"net.context_from={self.context_from}: nothing is told by tokens: leave it 0")
        options = {"norm": NORMS, "feed_forward": FEED_FORWARDS, "joins": JOINS, "remat": REMAT}
        for option, allowed in options.items():
            if getattr(self, option) not in allowed:
                raise unknown(f"net.{option}", getattr(self, option), allowed)
        check_given("dit", given, self.condition_spec(Spec(shape[1:], "images")))
