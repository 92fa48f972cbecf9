"""A residual network for rows of numbers and symbols, such as those of a table of mixed columns.

Numbers enter by a linear map and each column's symbol by an embedding of its own; all are added, with time and class:
the linear map of the numbers beside the one-hot symbols. The blocks are those of Gorishniy et al. 2021 (ResNet), with
SiLU; the last layer of each starts at zero, as does that which returns numbers and logits.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.nets.layers import INIT, ZERO
from jaxdiff.nets.told import check_given, embed, specs
from jaxdiff.types import Condition, ConditionSpec, Spec

__all__ = ["Columns"]


class Columns(nn.Module):
    """`(x, t, condition) -> out`: x (batch, numbers + columns), out (batch, numbers + columns * symbols).

    Attributes:
      numbers: how many of x are numbers; the others count the symbols of as many columns.
      symbols: of each of these at most; x may also hold one more, [MASK].
      width: of the stream.
      hidden: within a block, as a multiple of it.
      blocks: one after the other.
      embedding: width of the time embedding.
      dropout: rate within each block, active while training.
      num_classes: of labels; 0 for none.
    """

    numbers: int
    symbols: int
    width: int = 256
    hidden: int = 2
    blocks: int = 4
    embedding: int = 128
    dropout: float = 0.0
    num_classes: int = 0

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition | None = None, train: bool = False
    ) -> jax.Array:
        """Run the network.

        Args:
          x: (batch, numbers + columns).
          t: (batch,), as the parameterization of the numbers gives it; or (1,), for the whole batch.
          condition: a label, -1 for none; initialize with one, if the network is made for it.
          train: apply dropout, which needs an rng named "dropout".

        Raises:
          InputError: x or the condition does not fit the network.
        """
        given = condition or {}
        self._check(x.shape, given)
        columns, states = x.shape[-1] - self.numbers, self.symbols + 1
        place = jnp.asarray(jnp.round(x[:, self.numbers :]), jnp.int32) + states * jnp.arange(columns)
        h = nn.Embed(columns * states, self.width, name="symbols_into")(place).sum(1)
        if self.numbers:
            h = h + nn.Dense(self.width, kernel_init=INIT, name="into")(x[:, : self.numbers])
        h = h + nn.Dense(self.width, kernel_init=INIT, name="embed")(nn.silu(self._embed(t, given)))
        for i in range(self.blocks):
            up = nn.Dense(self.hidden * self.width, kernel_init=INIT, name=f"block{i}_up")
            down = nn.Dense(self.width, kernel_init=ZERO, name=f"block{i}_down")
            inner = nn.silu(up(nn.LayerNorm(name=f"block{i}_norm")(h)))
            h = h + down(nn.Dropout(self.dropout, deterministic=not train)(inner))
        out = nn.silu(nn.LayerNorm(name="norm_out")(h))
        return nn.Dense(self.numbers + columns * self.symbols, kernel_init=ZERO, name="out")(out)

    def _embed(self, t: jax.Array, given: Condition) -> jax.Array:
        return embed(t, given, self.embedding, self.embedding, self.num_classes)

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The conditions it takes: a class, if it is made for classes."""
        return specs(spec, self.num_classes)

    def _check(self, shape: tuple[int, ...], given: Condition) -> None:
        if len(shape) != 2 or shape[1] <= self.numbers:
            raise InputError(
                f"net 'columns' takes rows of {self.numbers} numbers and one or more columns of symbols, not an array "
                f"of shape {shape}"
            )
        check_given("columns", given, self.condition_spec(Spec(shape[1:], "tables")))
