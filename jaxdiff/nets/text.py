"""The text transformer of CLIP (Radford et al. 2021), which reads a caption.

A caption is a row of ids: one for the start, those of its pieces, one for the end, and padding up to a fixed length.
Each id and each position has a learned vector; blocks

    x <- x + attention(norm(x)),   x <- x + feed_forward(norm(x))

let every token see those before it, and a last norm gives the sequence. The vector at the end, which has seen all of
the caption, stands for the whole. What comes after the end is never seen, so that padding changes nothing before it.

As part of another network it is trained with that from scratch; its parameters may come from CLIP
(`jaxdiff.interop.clip`) and stay frozen, `train.freeze="text"`.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError, unknown
from jaxdiff.nets.transformer import ACTIVATIONS, SMALL, Attention, FeedForward
from jaxdiff.types import Condition, ConditionSpec

__all__ = ["TextTransformer", "caption_spec", "empty_caption", "read_caption"]


class TextTransformer(nn.Module):
    """`ids -> (sequence, pooled)`, (batch, length, width) and (batch, width).

    Attributes:
      vocabulary: how many ids there are.
      length: of a caption with its start and end, and of the learned positions.
      width, depth, heads: of the blocks.
      hidden: of their feed-forward layers; 0 for four times the width.
      activation: "quick_gelu", `x sigmoid(1.702 x)`, of OpenAI's CLIP; "gelu" of OpenCLIP's; or "gelu_tanh".
      causal: whether a token sees only those before it; if not, it sees all up to the end of the caption.
      start, end, pad: the ids of these.
      legacy_pool: take the vector for the whole at the largest id, as CLIP's old files have it (their `eos_token_id`
        is 2), in place of the first end.
      skip: blocks at the end that the sequence does not go through, as for "clip skip" and in XL; the vector for the
        whole goes through all.
      plain: whether the sequence is left without the last norm, as in XL.
      projection: width to which a last layer, without a bias, brings the vector for the whole; 0 for none.
      dtype: of the computation.

    The defaults are those of CLIP ViT-L/14: 123,060,480 parameters.
    """

    vocabulary: int = 49_408
    length: int = 77
    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 0
    activation: str = "quick_gelu"
    causal: bool = True
    start: int = 49_406
    end: int = 49_407
    pad: int = 49_407
    legacy_pool: bool = False
    skip: int = 0
    plain: bool = False
    projection: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, ids: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Read captions.

        Args:
          ids: (batch, up to `length`), integers.

        Raises:
          InputError: a longer caption, an unknown activation, heads that do not divide the width, or more blocks to be
            skipped than there are.
        """
        self._check(ids)
        length = ids.shape[1]
        positions = self.param("positions", SMALL, (self.length, self.width))
        x = nn.Embed(self.vocabulary, self.width, embedding_init=SMALL, dtype=self.dtype, name="tokens")(ids)
        x = x + positions[:length].astype(self.dtype)
        last = jnp.argmax(ids if self.legacy_pool else ids == self.end, axis=1)
        before = jnp.arange(length) <= jnp.arange(length)[:, None]
        mask = before[None] if self.causal else jnp.arange(length) <= last[:, None]
        norm = lambda name, h: nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name=name)(h)
        sequence = x
        for i in range(self.depth):
            attention = Attention(self.heads, dtype=self.dtype, name=f"block{i}_attention")
            x = x + attention(norm(f"block{i}_norm1", x), mask=mask)
            hidden = self.hidden or 4 * self.width
            forward = FeedForward(hidden, dtype=self.dtype, activation=self.activation, name=f"block{i}_feed_forward")
            x = x + forward(norm(f"block{i}_norm2", x))
            sequence = x if i < self.depth - self.skip else sequence
        norm_out = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm_out")
        pooled = norm_out(jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0])
        if self.projection:
            pooled = nn.Dense(self.projection, use_bias=False, dtype=self.dtype, name="project")(pooled)
        return sequence if self.plain else norm_out(sequence), pooled

    def _check(self, ids: jax.Array) -> None:
        if ids.shape[1] > self.length:
            raise InputError(f"a caption of {ids.shape[1]} ids was given to a network that reads {self.length}")
        if self.activation not in ACTIVATIONS:
            raise unknown("net.text.activation", self.activation, ACTIVATIONS)
        if self.width % self.heads:
            raise InputError(f"net.text.width={self.width} is not a multiple of net.text.heads={self.heads}")
        if not 0 <= self.skip < self.depth:
            raise InputError(f"net.text.skip={self.skip}: must be from 0 to {self.depth - 1}, to leave a block")


def empty_caption(length: int, start: int, end: int, pad: int) -> tuple[int, ...]:
    """The ids of the caption "", which stands for a caption that is missing."""
    return (start, end, *[pad] * (length - 2))


def caption_spec(text: Mapping) -> ConditionSpec:
    """The condition "text" of a network with these options of `TextTransformer`."""
    net = TextTransformer(**text, parent=None)
    missing = empty_caption(net.length, net.start, net.end, net.pad)
    return ConditionSpec((net.length,), jnp.int32, missing, net.vocabulary)


def read_caption(text: Mapping, given: Condition, batch: int, dtype: jnp.dtype) -> tuple[jax.Array, jax.Array]:
    """The sequence, zero after the end of the caption, and the vector for the whole; of "" where none is given.

    Within a compact module, of which the text transformer becomes the part "text".
    """
    net = TextTransformer(**{**text, "dtype": dtype}, name="text")
    ids = given.get("text", jnp.asarray([empty_caption(net.length, net.start, net.end, net.pad)]))
    sequence, pooled = net(jnp.broadcast_to(ids, (batch, ids.shape[1])))
    there = jnp.cumsum(ids == net.end, axis=1) - (ids == net.end) == 0
    return sequence * there[..., None].astype(sequence.dtype), pooled
