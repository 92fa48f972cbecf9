"""A residual network for vectors, such as the rows of a table.

The network of the DDPM for tables in "On Diffusion Modeling for Anomaly Detection" (Livernoche et al. 2024), a ResNet
of Gorishniy et al. 2021 that knows the time: x is brought to the width of the stream, where time is added once; each
block adds norm, dense, ReLU, dropout, dense, dropout; norm, ReLU and dense lead out.

The paper's norm is over the batch in training and a fixed scale and shift after it, so that what the network says of x
grows with x; a norm over the features of an example hides how large they are, which not every score of anomalies bears
(docs/tasks.md). As in the U-Net the last layer of each branch starts at zero.
"""

from collections.abc import Sequence

import chex
import flax.linen as nn
import jax

from jaxdiff.errors import InputError, unknown
from jaxdiff.nets.layers import INIT, ZERO
from jaxdiff.nets.told import check_given, embed, specs
from jaxdiff.types import Condition, ConditionSpec, Spec

__all__ = ["MLP", "NORMS"]

NORMS = ("layer", "batch", "none")


class MLP(nn.Module):
    """`(x, t, condition) -> out`, shaped like x, (batch, features).

    Attributes:
      widths: along a block, from the stream, through what is hidden, back to the stream: the ends are the same.
      blocks: one after the other.
      embedding: width of the time embedding.
      dropout: rate after each hidden layer, active while training.
      dropout_out: rate at the end of each block, active while training.
      norm: "layer", over the features; "batch", whose running statistics are in the collection "batch_stats", to be
        remembered by a `jaxdiff.types.StatefulLoss`; or "none".
      num_classes: of labels; 0 for none.
      second_time: whether it is told the time at which a step ends, as the condition "until": a flow map's network.

    The defaults are the paper's, but for the norm, which is "batch" there.
    """

    widths: Sequence[int] = (128, 256, 128)
    blocks: int = 3
    embedding: int = 256
    dropout: float = 0.4
    dropout_out: float = 0.1
    norm: str = "layer"
    num_classes: int = 0
    second_time: bool = False

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition | None = None, train: bool = False
    ) -> jax.Array:
        """Run the network.

        Args:
          x: (batch, features).
          t: (batch,), in steps of a 1000-step chain; or (1,), for the whole batch.
          condition: a label, -1 for none; initialize with one, if the network is made for it.
          train: apply dropout, which needs an rng named "dropout", and a norm over the batch.

        Raises:
          InputError: x or the condition does not fit the network, or its widths do not fit each other.
        """
        chex.assert_rank(t, 1)
        given = condition or {}
        self._check(x.shape, given)

        def norm(h, name):
            if self.norm == "batch":
                return nn.BatchNorm(use_running_average=not train, momentum=0.9, name=name)(h)
            return nn.LayerNorm(name=name)(h) if self.norm == "layer" else h

        def block(h, i):
            h = norm(h, f"block{i}_norm")
            for j, width in enumerate(self.widths[1:-1]):
                h = nn.relu(nn.Dense(width, kernel_init=INIT, name=f"block{i}_dense{j}")(h))
                h = nn.Dropout(self.dropout, deterministic=not train)(h)
            h = nn.Dense(self.widths[-1], kernel_init=ZERO, name=f"block{i}_out")(h)
            return nn.Dropout(self.dropout_out, deterministic=not train)(h)

        h = nn.Dense(self.widths[0], kernel_init=INIT, name="into")(x)
        h = h + nn.Dense(self.widths[0], kernel_init=INIT, name="embed")(nn.silu(self._embed(t, given)))
        for i in range(self.blocks):
            h = h + block(h, i)
        return nn.Dense(x.shape[-1], kernel_init=ZERO, name="out")(nn.relu(norm(h, "norm_out")))

    def _embed(self, t: jax.Array, given: Condition) -> jax.Array:
        return embed(t, given, self.embedding, self.embedding, self.num_classes)

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The conditions it takes: a class, if it is made for classes, and a second time."""
        return specs(spec, self.num_classes, second_time=self.second_time)

    def _check(self, shape: tuple[int, ...], given: Condition) -> None:
        if len(shape) != 2:
            raise InputError(f"an MLP takes vectors, (batch, features), not an array of shape {shape}")
        if len(self.widths) < 3 or self.widths[0] != self.widths[-1]:
            raise InputError(f"net.widths={tuple(self.widths)}: give three or more, of which the ends are the same")
        if self.norm not in NORMS:
            raise unknown("net.norm", self.norm, NORMS)
        check_given("mlp", given, self.condition_spec(Spec(shape[1:], "tables")))
