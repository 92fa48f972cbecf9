"""The blocks of which transformers are made.

A sequence is (batch, tokens, width). A block of a diffusion transformer (Peebles and Xie 2023, adaLN-zero) is

    x <- x + gate_a * attention((1 + scale_a) norm(x) + shift_a)
    x <- x + attention(norm(x), context)                             for each context that it attends to
    x <- x + gate_f * feed_forward((1 + scale_f) norm(x) + shift_f)

where the shifts, scales and gates are one linear function, zero at first, of the SiLU of an embedding of time and
condition: a fresh block is the identity. The embedding may be one for each token, or for each frame. Of a set of tokens
of which something is known pair by pair, a linear function of that is added, head by head, to what the softmax of
attention is of (as in AlphaFold 3, Abramson et al. 2024, algorithm 24).

Positions enter by rotation (Su et al. 2021): the pair (a, b) of a query's or a key's channels becomes
(a cos - b sin, b cos + a sin) at an angle proportional to the token's position, so that a product of a query with a key
depends on the difference of their positions alone. In two dimensions half of the pairs turn with the row, half with
the column (as in EVA-02, Fang et al. 2023). In videos all pairs turn with the frame, too, those slowly that turn fast
in space: an angle of several positions at once, as in RoPE-Mixed (Heo et al. 2024), which is that of images in frame 0.

A token of a context that is zero is padding: nothing attends to it.
"""

import math
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.nets.attention import attend
from jaxdiff.nets.layers import CHEAP, INIT, ZERO, save_for_backward

__all__ = [
    "FEED_FORWARDS",
    "NORMS",
    "SMALL",
    "Attention",
    "Block",
    "FeedForward",
    "frame_positions",
    "listed",
    "make_norm",
    "present",
    "rotary_angles",
    "rotate",
    "run_blocks",
    "sincos_positions",
    "spread",
    "stacked",
    "tensor_axis",
]

SMALL = nn.initializers.normal(0.02)
NORMS = ("layer", "rms")
FEED_FORWARDS = ("gelu", "swiglu")
COLUMNS, ROWS = ("query", "key", "value", "up", "gate"), ("out", "down")


def tensor_axis(names: tuple[str, ...], shape: tuple[int, ...]) -> int | None:
    """The axis along which to cut a parameter of a block, listed or stacked (Shoeybi et al. 2019)."""
    if len(names) < 2 or not any(name.startswith("block") for name in names):
        return None
    if names[-2] in COLUMNS:
        return len(shape) - 1
    return len(shape) - 2 if names[-2] in ROWS and names[-1] == "kernel" else None


def rotary_angles(
    positions: Sequence[np.ndarray], channels: int, base: float = 10_000.0, frames: np.ndarray | None = None
) -> np.ndarray:
    """The angles of each pair of channels of a head, (tokens, channels / 2).

    Args:
      positions: of the tokens along each axis, (tokens,) each; the pairs are shared out among the axes.
      channels: of a head, divisible by twice the number of axes.
      frames: (tokens,), with which all pairs turn, at the frequencies of each axis in the opposite order.
    """
    pairs = channels // (2 * len(positions))
    frequencies = base ** (-np.arange(pairs) / pairs)
    later = 0 if frames is None else np.outer(frames, frequencies[::-1])
    return np.concatenate([np.outer(p, frequencies) + later for p in positions], axis=1).astype(np.float32)


def rotate(x: jax.Array, angles: jax.Array) -> jax.Array:
    """Turn each pair (2i, 2i + 1) of the channels of x (batch, tokens, heads, channels) by its angle."""
    cos, sin = (f(angles)[:, None].astype(x.dtype) for f in (jnp.cos, jnp.sin))
    a, b = x[..., 0::2], x[..., 1::2]
    return jnp.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)


def sincos_positions(rows: np.ndarray, columns: np.ndarray, width: int) -> np.ndarray:
    """Fixed positions, (tokens, width): sines and cosines of the column, then of the row (Peebles and Xie 2023)."""
    quarter = width // 4
    frequencies = 10_000.0 ** (-np.arange(quarter) / quarter)
    parts = [f(np.outer(p, frequencies)) for p in (columns, rows) for f in (np.sin, np.cos)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def frame_positions(frames: np.ndarray, width: int) -> np.ndarray:
    """Fixed positions in time, (tokens, width), to be added to those in space: sines, and cosines less 1.

    Zero for frame 0, so that an image is a video of one frame.
    """
    frequencies = 10_000.0 ** (-np.arange(width // 2) / (width // 2))
    angles = np.outer(frames, frequencies)
    return np.concatenate([np.sin(angles), np.cos(angles) - 1], axis=1).astype(np.float32)


def spread(m: jax.Array, tokens: int) -> jax.Array:
    """What is said to all tokens (batch, width), or to each of as many equal parts of them, (batch, parts, width).

    Returns: (batch, 1 or tokens, width).
    """
    return m[:, None] if m.ndim == 2 else jnp.repeat(m, tokens // m.shape[1], axis=1)


def present(context: jax.Array) -> jax.Array:
    """The tokens of a context (batch, tokens, width) that are not padding: (batch, tokens)."""
    return jnp.any(context != 0, axis=-1)


def make_norm(kind: str, epsilon: float, dtype: jnp.dtype, name: str) -> nn.Module:
    """LayerNorm without scale and bias, as adaLN gives both; or RMSNorm with a scale."""
    if kind == "rms":
        return nn.RMSNorm(epsilon=epsilon, dtype=dtype, name=name)
    return nn.LayerNorm(epsilon=epsilon, use_scale=False, use_bias=False, dtype=dtype, name=name)


class Attention(nn.Module):
    """Attention of a sequence to itself, or to a context (batch, tokens, any width).

    Attributes:
      heads: a divisor of the width.
      qk_norm: queries and keys are normalized by an RMSNorm of each head (Dehghani et al. 2023).
      bias: of the four linear maps.
      out_init: how the last of them begins.
    """

    heads: int
    qk_norm: bool = False
    bias: bool = True
    dtype: jnp.dtype = jnp.float32
    out_init: nn.initializers.Initializer = INIT

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        context: jax.Array | None = None,
        mask: jax.Array | None = None,
        angles: jax.Array | None = None,
        pairs: jax.Array | None = None,
    ) -> jax.Array:
        """Attend.

        Args:
          mask: which keys there are, as for `jaxdiff.nets.layers.attend`.
          angles: by which queries and keys turn, (tokens, channels of a head / 2).
          pairs: what is known of each query and key, (batch, queries, keys, any width).
        """
        width = x.shape[-1]

        def dense(name, h, init=INIT):
            return nn.Dense(width, self.bias, dtype=self.dtype, kernel_init=init, name=name)(h)

        seen = x if context is None else context
        parts = (dense("query", x), dense("key", seen), dense("value", seen))
        query, key, value = (save_for_backward(h).reshape(*h.shape[:2], self.heads, -1) for h in parts)
        if self.qk_norm:
            query, key = (
                nn.RMSNorm(epsilon=1e-6, dtype=self.dtype, name=f"{name}_norm")(h)
                for name, h in (("query", query), ("key", key))
            )
        if angles is not None:
            query, key = rotate(query, angles), rotate(key, angles)
        added = None
        if pairs is not None:
            bias = nn.Dense(self.heads, use_bias=False, dtype=self.dtype, kernel_init=INIT, name="pairs")(pairs)
            added = jnp.moveaxis(bias, -1, 1).astype(jnp.float32)
        return save_for_backward(dense("out", attend(query, key, value, mask, added).reshape(x.shape), self.out_init))


class FeedForward(nn.Module):
    """down(gelu(up(x))), or down(silu(gate(x)) * up(x)) (SwiGLU, Shazeer 2020).

    Attributes:
      hidden: the width between.
      kind: "gelu" or "swiglu".
      activation: in place of the tanh form of GELU.
      out_init: how the last layer begins.
    """

    hidden: int
    kind: str = "gelu"
    dtype: jnp.dtype = jnp.float32
    activation: str = "gelu_tanh"
    out_init: nn.initializers.Initializer = INIT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def dense(name, width, h, init=INIT):
            return save_for_backward(nn.Dense(width, kernel_init=init, dtype=self.dtype, name=name)(h))

        up = dense("up", self.hidden, x)
        gated = self.kind == "swiglu"
        h = nn.silu(dense("gate", self.hidden, x)) * up if gated else ACTIVATIONS[self.activation](up)
        return dense("down", x.shape[-1], h, self.out_init)


ACTIVATIONS = {
    "gelu_tanh": lambda x: nn.gelu(x, approximate=True),
    "gelu": lambda x: nn.gelu(x, approximate=False),
    "quick_gelu": lambda x: x * nn.sigmoid(1.702 * x),
}


class Block(nn.Module):
    """A block of a diffusion transformer, as above.

    Attributes:
      heads: of all its attentions.
      hidden: width of the feed-forward layer.
      norm, feed_forward, qk_norm: see `NORMS`, `FEED_FORWARDS` and `Attention`.
      epsilons: of the norm before attention, and of that before the feed-forward layer.
      dropout: rate after attention and the feed-forward layer.
      train: whether that acts.
    """

    heads: int
    hidden: int
    norm: str = "layer"
    feed_forward: str = "gelu"
    qk_norm: bool = False
    epsilons: tuple[float, float] = (1e-6, 1e-6)
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    train: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        embedding: jax.Array,
        angles: jax.Array | None,
        mask: jax.Array | None,
        contexts: Mapping[str, jax.Array],
        pairs: jax.Array | None = None,
    ) -> tuple[jax.Array, None]:
        """One step of a scan over blocks: x is the carry.

        Args:
          embedding: (batch, width), or one for each token or frame, see `spread`.
          angles, mask, pairs: see `Attention`.
          contexts: by name, (batch, length, any width).
        """
        m = nn.Dense(6 * x.shape[-1], kernel_init=ZERO, dtype=self.dtype, name="modulation")(nn.silu(embedding))
        m = spread(m, x.shape[1])
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = jnp.split(m, 6, axis=-1)
        drop = nn.Dropout(self.dropout, deterministic=not self.train)

        h = make_norm(self.norm, self.epsilons[0], self.dtype, "norm1")(x) * (1 + scale_a) + shift_a
        attention = Attention(self.heads, self.qk_norm, dtype=self.dtype, name="attention")
        x = x + gate_a * drop(attention(h, mask=mask, angles=angles, pairs=pairs))
        for name, context in sorted(contexts.items()):
            h = make_norm(self.norm, self.epsilons[0], self.dtype, f"norm_{name}")(x)
            cross = Attention(self.heads, self.qk_norm, False, self.dtype, ZERO, name=f"attention_{name}")
            x = x + cross(h, context, present(context))
        h = make_norm(self.norm, self.epsilons[1], self.dtype, "norm2")(x) * (1 + scale_f) + shift_f
        x = x + gate_f * drop(FeedForward(self.hidden, self.feed_forward, self.dtype, name="feed_forward")(h))
        return x.astype(self.dtype), None


def run_blocks(first: int, count: int, options: Mapping, remat: str, scan: bool, *given) -> jax.Array:
    """Run blocks number `first` to `first + count - 1`; within a compact module, whose parameters they become.

    Args:
      options: of `Block`.
      remat: what each computes again on the way back: "none", "cheap", all but matrix products, or "full".
      scan: whether the blocks are one body of a loop, compiled once, with stacked parameters "blocks<first>"; otherwise
        each is compiled, and they are "block0", "block1" ...
      given: x and the other arguments of `Block`.
    """
    block = Block if remat == "none" else nn.remat(Block, policy=CHEAP if remat == "cheap" else None)
    x, *rest = given
    if not scan:
        for i in range(first, first + count):
            x, _ = block(**options, name=f"block{i}")(x, *rest)
        return x
    loop = nn.scan(
        block,
        variable_axes={"params": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
        length=count,
    )
    return loop(**options, name=f"blocks{first}")(x, *rest)[0]


def stacked(params: Mapping, first: int = 0, count: int | None = None) -> dict:
    """The parameters of a net whose blocks are listed, as those of the same net with `scan`.

    Args:
      first, count: the blocks of one stack, all by default.
    """
    there = sorted((name for name in params if _number(name) >= first), key=_number)[:count]
    rest = {name: value for name, value in params.items() if name not in there}
    return rest | {f"blocks{first}": jax.tree.map(lambda *leaves: jnp.stack(leaves), *(params[name] for name in there))}


def listed(params: Mapping) -> dict:
    """The parameters of a net with `scan` as those of the same net whose blocks are listed."""
    out = {}
    for name, value in params.items():
        if not name.startswith("blocks"):
            out[name] = value
            continue
        first = int(name.removeprefix("blocks"))
        for i in range(len(jax.tree.leaves(value)[0])):
            out[f"block{first + i}"] = jax.tree.map(lambda leaf, i=i: leaf[i], value)
    return out


def _number(name: str) -> float:
    """Of a block's name; below all numbers for any other."""
    digits = name.removeprefix("block")
    return int(digits) if name.startswith("block") and digits.isdecimal() else -math.inf
