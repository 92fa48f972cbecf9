"""An equivariant network for sets of points in space, such as atoms (EGNN, Satorras et al. 2021).

    m_ij  = phi_e(h_i, h_j, d_ij, d_ij of the input),       d_ij = |x_i - x_j|
    x_i  <- x_i + sum_j (x_i - x_j) / (d_ij + 1) reach tanh(linear(m_ij))
    h_i  <- h_i + phi_h(h_i, sum_j sigmoid(linear(m_ij)) m_ij)

with the gates, the bounded moves and the distances of the input of Hoogeboom et al. 2022, whose second network for the
moves is left out; distances enter as their square and as bumps along them, which resolve the lengths of bonds.

All pairs of nodes that are there are neighbors. It sees distances alone, so the coordinates that it returns turn,
mirror and move with those of its input, and the features stay; the nodes may come in any order, and padding has no
influence. A molecule and its mirror image are the same to it.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.nets.layers import INIT, ZERO, sinusoidal
from jaxdiff.nets.told import check_given, embed_vector, specs
from jaxdiff.types import Condition, ConditionSpec, Spec

__all__ = ["EGNN"]

FAINT = nn.initializers.variance_scaling(1e-6, "fan_avg", "uniform")
"""For the layer that moves the nodes, which starts nearly at rest."""


BUMPS = np.linspace(0, 4.5, 16, dtype=np.float32)
"""Where the bumps are, in the units of x: bonds are 1 to 2 Angstrom long, and second neighbors 2 to 3 apart."""


class EGNN(nn.Module):
    """`(x, t, condition) -> out`, shaped like x, (batch, nodes, 3 + features): coordinates, then features or none.

    Attributes:
      width: of all hidden layers.
      blocks: one after the other; each moves the nodes once.
      reach: the most that a pair moves a node in one block, in the units of x.
      vectors: widths of what is known of a whole example, by name, such as a property of the molecule.
    """

    width: int = 64
    blocks: int = 4
    reach: float = 15.0
    vectors: Mapping[str, int] = nn.FrozenDict()

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition | None = None, train: bool = False
    ) -> jax.Array:
        """Run the network.

        Args:
          x: (batch, nodes, 3 + features).
          t: (batch,), in steps of a 1000-step chain; or (1,), for the whole batch.
          condition: "mask" (batch, nodes), 1 where there is a node; by default all are there. And the vectors.
          train: has no influence; there is no dropout.

        Raises:
          InputError: x or the condition does not fit the network.
        """
        given = condition or {}
        self._check(x.shape, given)
        mask = jnp.asarray(given.get("mask", jnp.ones(x.shape[:2])), x.dtype)
        pairs = (mask[:, :, None] * mask[:, None, :] * (1 - jnp.eye(x.shape[1])))[..., None]
        into = lambda value, name: nn.Dense(self.width, kernel_init=INIT, name=name)(value)
        told = into(sinusoidal(t, self.width), "time")
        for name, width in sorted(self.vectors.items()):
            vector = given.get(name, jnp.zeros((x.shape[0], width)))
            if name == "guidance":
                told = told + embed_vector(name, vector, self.width, self.width)
            else:
                told = told + into(nn.silu(into(vector, f"{name}_1")), f"{name}_2")
        place, h = x[..., :3], jnp.broadcast_to(told[:, None], (*x.shape[:2], self.width))
        h = h + into(x[..., 3:], "into") if x.shape[-1] > 3 else h
        first = _radial(_between(place)[1])
        for i in range(self.blocks):
            place, h = Block(self.width, self.reach, name=f"block{i}")(place, h, first, pairs)
        moved = place - x[..., :3]
        if x.shape[-1] > 3:
            moved = jnp.concatenate([moved, nn.Dense(x.shape[-1] - 3, kernel_init=ZERO, name="out")(h)], axis=-1)
        there = mask[..., None]
        center = jnp.sum(moved[..., :3] * there, 1, keepdims=True) / jnp.maximum(there.sum(1, keepdims=True), 1)
        return (moved - jnp.pad(center, ((0, 0), (0, 0), (0, x.shape[-1] - 3)))) * there

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The conditions it takes: which nodes there are, and what is known of all."""
        return {"mask": ConditionSpec((spec.shape[0],), missing=None), **specs(spec, vectors=self.vectors)}

    def _check(self, shape: tuple[int, ...], given: Condition) -> None:
        if len(shape) != 3 or shape[-1] < 3:
            raise InputError(f"net 'egnn' takes points of space, (batch, nodes, 3 + features), not shape {shape}")
        check_given("egnn", given, self.condition_spec(Spec(shape[1:], "molecules")))


class Block(nn.Module):
    """One round of messages: `(place, h, first, pairs) -> (place, h)`, first the distances of the input."""

    width: int
    reach: float

    @nn.compact
    def __call__(self, place, h, first, pairs):
        away, now = _between(place)
        distances = jnp.concatenate([_radial(now), first], -1)
        dense = lambda name: nn.Dense(self.width, kernel_init=INIT, name=name)

        # Two layers of (h_i, h_j, distances), the first of which is a sum, so that no h is repeated for pairs.
        mine, its = dense("mine")(h), nn.Dense(self.width, False, kernel_init=INIT, name="its")(h)
        far = nn.Dense(self.width, False, kernel_init=INIT, name="far")(distances)
        message = nn.silu(dense("message")(nn.silu(mine[:, :, None] + its[:, None] + far)))
        gate = nn.sigmoid(nn.Dense(1, kernel_init=INIT, name="attention")(message)) * pairs
        pull = nn.Dense(1, False, kernel_init=FAINT, name="move")(message)
        moved = place + jnp.sum(away / (jnp.sqrt(now + 1e-8) + 1) * self.reach * jnp.tanh(pull) * pairs, 2)
        total = jnp.einsum("bijw,bij->biw", message, gate[..., 0])
        inner = nn.silu(dense("node_1")(jnp.concatenate([h, total], -1)))
        return moved, h + dense("node_2")(inner)


def _between(place: jax.Array) -> tuple[jax.Array, jax.Array]:
    """x_i - x_j, (batch, nodes, nodes, 3), and its square, (batch, nodes, nodes, 1)."""
    away = place[:, :, None] - place[:, None]
    return away, jnp.sum(away**2, -1, keepdims=True)


def _radial(square: jax.Array) -> jax.Array:
    """What a layer sees of squared distances, (..., 1): themselves, and bumps at `BUMPS` along their roots."""
    bumps = jnp.exp(-0.5 * ((jnp.sqrt(square + 1e-8) - BUMPS) / (BUMPS[1] - BUMPS[0])) ** 2)
    return jnp.concatenate([square, bumps], -1)
