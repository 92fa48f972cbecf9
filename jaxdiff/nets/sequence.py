"""A transformer over symbols: logits of the symbol at each position, from all positions.

    x <- x + attention(norm(x))        x <- x + feed_forward(norm(x))

with positions by rotation (Su et al. 2021), RMSNorm (Zhang and Sennrich 2019), and time and class added to each
symbol's embedding. The last layer of each branch, and the one that makes the logits, start at zero. `causal`,
position i sees those before it and itself alone: the same network as an autoregressive model.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.nets.layers import INIT, ZERO, sinusoidal
from jaxdiff.nets.told import check_given, embed_label, specs
from jaxdiff.nets.transformer import Attention, FeedForward, rotary_angles, tensor_axis
from jaxdiff.types import Condition, ConditionSpec, Spec

__all__ = ["Sequence"]


class Sequence(nn.Module):
    """`(x, t, condition) -> logits`, (batch, positions, symbols), of x (batch, positions), whole numbers.

    Attributes:
      symbols: of the data; x may also hold one more, [MASK].
      width: of the stream, divisible by twice the number of heads.
      blocks: one after the other.
      heads: of each attention.
      hidden: width of the layer within each feed-forward part, as a multiple of `width`.
      dropout: rate at the end of each branch, active while training.
      num_classes: of labels; 0 for none.
      causal: whether a position sees only those before it, and itself.
    """

    symbols: int
    width: int = 128
    blocks: int = 4
    heads: int = 4
    hidden: int = 4
    dropout: float = 0.0
    num_classes: int = 0
    causal: bool = False

    tensor_axis = staticmethod(tensor_axis)

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition | None = None, train: bool = False
    ) -> jax.Array:
        """Run the network.

        Args:
          x: (batch, positions), whole numbers of any type.
          t: (batch,), in steps of a 1000-step chain; or (1,), for the whole batch.
          condition: a label, -1 for none; initialize with one, if the network is made for it.
          train: apply dropout, which needs an rng named "dropout".

        Raises:
          InputError: x or the condition does not fit the network, or its width its heads.
        """
        given = condition or {}
        self._check(x.shape, given)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        h = nn.Embed(self.symbols + 1, self.width, name="embed")(jnp.asarray(x, jnp.int32))
        h = h + self._told(t, given)[:, None]
        positions = np.arange(x.shape[1])
        angles = jnp.asarray(rotary_angles([positions], self.width // self.heads))
        mask = jnp.asarray(positions <= positions[:, None])[None] if self.causal else None
        for i in range(self.blocks):
            attention = Attention(self.heads, bias=False, out_init=ZERO, name=f"block{i}_attention")
            h = h + drop(attention(nn.RMSNorm(name=f"block{i}_norm1")(h), mask=mask, angles=angles))
            forward = FeedForward(self.hidden * self.width, out_init=ZERO, name=f"block{i}_feed_forward")
            h = h + drop(forward(nn.RMSNorm(name=f"block{i}_norm2")(h)))
        return nn.Dense(self.symbols, kernel_init=ZERO, name="out")(nn.RMSNorm(name="norm_out")(h))

    def _told(self, t: jax.Array, given: Condition) -> jax.Array:
        """What is added to every position: of the time and the class, (batch, width)."""
        h = nn.Dense(self.width, kernel_init=INIT, name="time")(sinusoidal(t, self.width))
        return h + embed_label(given["label"], self.num_classes, self.width) if "label" in given else h

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The conditions it takes: a class, if it is made for classes."""
        return specs(spec, self.num_classes)

    def _check(self, shape: tuple[int, ...], given: Condition) -> None:
        if len(shape) != 2:
            raise InputError(f"net 'sequence' takes symbols, (batch, positions), not an array of shape {shape}")
        if self.width % (2 * self.heads):
            raise InputError(f"net.width={self.width}, net.heads={self.heads}: twice the heads must divide the width")
        check_given("sequence", given, self.condition_spec(Spec(shape[1:], "text")))
