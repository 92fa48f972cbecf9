"""A transformer over sets of points of space, such as the atoms of a molecule: the token block of AlphaFold 3.

    x <- x + gate_a * attention((1 + scale_a) norm(x) + shift_a, biased by pairs)
    x <- x + gate_f * feed_forward((1 + scale_f) norm(x) + shift_f)

with shifts, scales and gates of each point's own embedding: of the time, and of what is known of the point. Attention
is biased, head by head, by what is known of each pair, and by the distance of its points. There are no positions:
points that change places change those of the output. Padding has no part in anything.

After Abramson et al. 2024, algorithms 23 to 26, with the gates of adaLN-zero (Peebles and Xie 2023) in place of
sigmoids, and with distances, which AlphaFold 3 leaves to its embedding of atoms. Motions are no symmetry of it: they
are learned from examples turned at random (`jaxdiff.transforms.rotation`).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.nets.layers import INIT, ZERO
from jaxdiff.nets.transformer import run_blocks, tensor_axis
from jaxdiff.types import Condition, ConditionSpec, Spec

__all__ = ["SetTransformer"]


class SetTransformer(nn.Module):
    """`(x, t, condition) -> out`, like x, (batch, points, channels), of which the first three are coordinates.

    Attributes:
      width: of the stream, divisible by the number of heads.
      blocks: one after the other.
      heads: of each attention.
      hidden: width within each feed-forward layer, as a multiple of `width`.
      pair_width: of what attention is told of each pair.
      distances: how many functions of the distance of each pair are among that, 2 or more; 0 for none.
      fourier: how many waves of the time are embedded.
      dropout: rate at the end of each branch, active while training.
      remat: what is computed again on the way back: "none", "cheap" or "full".
    """

    width: int = 128
    blocks: int = 6
    heads: int = 8
    hidden: int = 2
    pair_width: int = 32
    distances: int = 16
    fourier: int = 64
    dropout: float = 0.0
    remat: str = "none"

    tensor_axis = staticmethod(tensor_axis)

    @nn.compact
    def __call__(
        self, x: jax.Array, t: jax.Array, condition: Condition | None = None, train: bool = False
    ) -> jax.Array:
        """Run the network.

        Args:
          x: (batch, points, channels), of about unit variance.
          t: (batch,), c_noise of parameterization edm, of order 1; or (1,), for the whole batch.
          condition: mask (batch, points), nodes (batch, points, any) and pairs (batch, points, points, any).
          train: apply dropout, which needs an rng named "dropout".

        Raises:
          InputError: x or the condition does not fit the network, or its width its heads.
        """
        given = condition or {}
        self._check(x.shape, given)
        there = given["mask"] > 0
        x = jnp.where(there[..., None], x, 0)

        def dense(name, width, h, bias=True):
            return nn.Dense(width, bias, kernel_init=INIT, name=name)(h)

        told = dense("nodes", self.width, given["nodes"]) + dense("time", self.width, self._waves(t))[:, None]
        embedding = dense("single", self.width, nn.silu(told))
        pairs = dense("pairs", self.pair_width, given["pairs"]) + self._between(embedding)
        if self.distances:
            pairs = pairs + dense("distances", self.pair_width, self._radial(x), bias=False)
        pairs = nn.LayerNorm(name="norm_pairs")(dense("pairs_out", self.pair_width, nn.silu(pairs)))
        h = dense("into", self.width, x, bias=False) + dense("nodes_into", self.width, nn.silu(embedding))
        options = {
            "heads": self.heads,
            "hidden": self.hidden * self.width,
            "feed_forward": "swiglu",
            "dropout": self.dropout,
            "train": train,
        }
        h = run_blocks(0, self.blocks, options, self.remat, False, h, embedding, None, there, {}, pairs)
        out = nn.Dense(x.shape[-1], kernel_init=ZERO, name="out")(nn.LayerNorm(name="norm_out")(h))
        return jnp.where(there[..., None], out, 0)

    def _waves(self, t: jax.Array) -> jax.Array:
        """Cosines of fixed random multiples of the time, (batch, fourier) (Abramson et al. 2024, algorithm 22)."""
        rng = np.random.default_rng(0)
        rate, phase = rng.normal(size=self.fourier), rng.uniform(size=self.fourier)
        return jnp.cos(2 * jnp.pi * (t[:, None] * jnp.float32(rate) + jnp.float32(phase)))

    def _between(self, embedding: jax.Array) -> jax.Array:
        """What is told of both points of a pair, (batch, points, points, pair_width)."""
        first, second = (
            nn.Dense(self.pair_width, False, kernel_init=INIT, name=name)(nn.silu(embedding)) for name in ("from", "to")
        )
        return first[:, :, None] + second[:, None]

    def _radial(self, x: jax.Array) -> jax.Array:
        """Bumps of the distance at places from 0 to 4, dense near 0: (batch, points, points, distances)."""
        position = x[..., :3]
        squares = jnp.square(position[:, :, None] - position[:, None]).sum(-1)
        distance = jnp.sqrt(squares + 1e-6)[..., None]
        places = 4 * np.linspace(0, 1, self.distances) ** 1.5
        return jnp.exp(-jnp.square((distance - places) / np.gradient(places)))

    def condition_spec(self, spec: Spec) -> dict[str, ConditionSpec]:
        """The conditions it takes, always: which points there are, and what is known of each and of each pair."""
        points, details = spec.shape[0], spec.details
        if "nodes" not in details or "pairs" not in details:
            raise InputError("net 'set_transformer': is for points with graphs, and this data has none: take egnn")
        return {
            "mask": ConditionSpec((points,), jnp.float32, None),
            "nodes": ConditionSpec((points, details["nodes"]), jnp.float32, None),
            "pairs": ConditionSpec((points, points, details["pairs"]), jnp.float32, None),
        }

    def _check(self, shape: tuple[int, ...], given: Condition) -> None:
        if len(shape) != 3 or shape[-1] < 3:
            raise InputError(f"net 'set_transformer' takes points (batch, points, 3 or more), not shape {shape}")
        if self.width % self.heads:
            raise InputError(f"net.width={self.width}, net.heads={self.heads}: the heads must divide the width")
        if self.distances == 1:
            raise InputError("net.distances=1: one function of the distance has no width: take 0, or 2 and more")
        for name in {"mask", "nodes", "pairs"} - given.keys():
            raise InputError(f"net 'set_transformer': is always told {name!r}: give it")
        for name in given.keys() - {"mask", "nodes", "pairs"}:
            raise InputError(f"the condition {name!r} was given to net 'set_transformer', which takes none such")
