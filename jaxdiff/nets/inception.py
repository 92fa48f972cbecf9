"""InceptionV3 as the FID literature runs it: the network of December 2015, whose graph differs from later releases.

    average pools leave the padding out of the mean; the last block pools by the maximum; batch normalization has
    epsilon = 1e-3; there are 1008 logits, and those of the Inception Score leave out the bias

Szegedy et al. 2016 is the architecture; Salimans et al. 2016 and Heusel et al. 2017 take the logits and the last pool;
the spatial features are seven channels of a convolution at 17x17, before its normalization (Nash et al. 2021).
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["CLASSES", "SIDE", "Inception", "Layers", "of_graph", "variables"]

SIDE, CLASSES = 299, 1008
EPSILON = 1e-3
SPATIAL = 7


class Layers(NamedTuple):
    """The features of a batch, float32.

    Attributes:
      pool1, pool2, mixed6: means over the places of three earlier layers, (batch, 64), (batch, 192), (batch, 768).
      spatial: (batch, 2023), 17 x 17 places of seven channels.
      pool3: (batch, 2048), the features of FID and KID.
      logits: (batch, 1008) without the bias, those of the Inception Score.
      biased: (batch, 1008), with it.
    """

    pool1: jax.Array
    pool2: jax.Array
    mixed6: jax.Array
    spatial: jax.Array
    pool3: jax.Array
    logits: jax.Array
    biased: jax.Array


class Convolution(nn.Module):
    """A convolution without bias, batch normalization with kept statistics, and a rectifier.

    It gives what comes out, and what the convolution alone gives.
    """

    width: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        strides = (self.stride, self.stride)
        convolved = nn.Conv(self.width, self.kernel, strides, self.padding, use_bias=False, name="conv")(x)
        norm = nn.BatchNorm(use_running_average=True, epsilon=EPSILON, name="bn")
        return nn.relu(norm(convolved)), convolved


One = tuple[str, int, tuple[int, int]]
"""A convolution of a block: its name, width and kernel."""


class Block(nn.Module):
    """Branches side by side, joined along the channels.

    Attributes:
      branches: each a chain of convolutions; the last entry may be a tuple of some, whose results are joined.
      pool: "mean" or "max" of the neighbors, before the convolution `branch_pool`, or without one if its width is 0.
      pool_width: of that convolution.
      halves: whether the last convolution of each chain, and the pool, have stride 2 and no padding.
    """

    branches: Any
    pool: str
    pool_width: int = 0
    halves: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, Any]:
        """`x -> (the branches, joined; the first convolution of the first, before its normalization)`."""
        stride, padding = (2, "VALID") if self.halves else (1, "SAME")
        joined, first = [], None
        for *chain, last in self.branches:
            h = x
            for name, width, kernel in chain:
                h, _ = Convolution(width, kernel, name=name)(h)
            for name, width, kernel in (last,) if isinstance(last[0], str) else last:
                out, convolved = Convolution(width, kernel, stride, padding, name=name)(h)
                first = convolved if first is None else first
                joined.append(out)
        if self.pool == "mean":
            pooled = nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)
        else:
            pooled = nn.max_pool(x, (3, 3), (stride, stride), padding)
        if self.pool_width:
            pooled, _ = Convolution(self.pool_width, (1, 1), name="branch_pool")(pooled)
        return jnp.concatenate([*joined, pooled], -1), first


def _a(pool_width: int) -> dict[str, Any]:
    five = [("branch5x5_1", 48, (1, 1)), ("branch5x5_2", 64, (5, 5))]
    return {"branches": [[("branch1x1", 64, (1, 1))], five, _double(64, 96)], "pool": "mean", "pool_width": pool_width}


def _double(narrow: int, width: int) -> list[One]:
    sizes = [(narrow, (1, 1)), (width, (3, 3)), (width, (3, 3))]
    return [(f"branch3x3dbl_{i + 1}", *size) for i, size in enumerate(sizes)]


def _b() -> dict[str, Any]:
    return {"branches": [[("branch3x3", 384, (3, 3))], _double(64, 96)], "pool": "max", "halves": True}


def _c(narrow: int) -> dict[str, Any]:
    row, column = (1, 7), (7, 1)
    seven = [(narrow, (1, 1)), (narrow, row), (192, column)]
    double = [(narrow, (1, 1)), (narrow, column), (narrow, row), (narrow, column), (192, row)]
    branches = [
        [("branch1x1", 192, (1, 1))],
        [(f"branch7x7_{i + 1}", *size) for i, size in enumerate(seven)],
        [(f"branch7x7dbl_{i + 1}", *size) for i, size in enumerate(double)],
    ]
    return {"branches": branches, "pool": "mean", "pool_width": 192}


def _d() -> dict[str, Any]:
    seven = [(192, (1, 1)), (192, (1, 7)), (192, (7, 1)), (192, (3, 3))]
    branches = [
        [("branch3x3_1", 192, (1, 1)), ("branch3x3_2", 320, (3, 3))],
        [(f"branch7x7x3_{i + 1}", *size) for i, size in enumerate(seven)],
    ]
    return {"branches": branches, "pool": "max", "halves": True}


def _e(pool: str) -> dict[str, Any]:
    forks = lambda name: [(f"{name}a", 384, (1, 3)), (f"{name}b", 384, (3, 1))]
    branches = [
        [("branch1x1", 320, (1, 1))],
        [("branch3x3_1", 384, (1, 1)), forks("branch3x3_2")],
        [("branch3x3dbl_1", 448, (1, 1)), ("branch3x3dbl_2", 384, (3, 3)), forks("branch3x3dbl_3")],
    ]
    return {"branches": branches, "pool": pool, "pool_width": 192}


STEM = [("Conv2d_1a_3x3", 32, 3, 2, "VALID"), ("Conv2d_2a_3x3", 32, 3, 1, "VALID"), ("Conv2d_2b_3x3", 64, 3, 1, "SAME")]
SECOND = [("Conv2d_3b_1x1", 80, 1, 1, "VALID"), ("Conv2d_4a_3x3", 192, 3, 1, "VALID")]
MIXED = {
    "Mixed_5b": _a(32),
    "Mixed_5c": _a(64),
    "Mixed_5d": _a(64),
    "Mixed_6a": _b(),
    "Mixed_6b": _c(128),
    "Mixed_6c": _c(160),
    "Mixed_6d": _c(160),
    "Mixed_6e": _c(192),
    "Mixed_7a": _d(),
    "Mixed_7b": _e("mean"),
    "Mixed_7c": _e("max"),
}


class Inception(nn.Module):
    """`x -> Layers` of images (batch, 299, 299, 3), (pixel - 128) / 128; what is not used is not computed under jit."""

    @nn.compact
    def __call__(self, x: jax.Array) -> Layers:
        x = self._stem(x, STEM)
        pool1, x = x.mean((1, 2)), self._stem(x, SECOND)
        pool2 = x.mean((1, 2))
        mixed6 = spatial = x
        for name, block in MIXED.items():
            x, first = Block(**block, name=name)(x)
            if name == "Mixed_6d":
                spatial = first[..., :SPATIAL].reshape(len(x), -1)
            if name == "Mixed_6e":
                mixed6 = x.mean((1, 2))
        pool3 = x.mean((1, 2))
        bias = self.param("bias", nn.initializers.zeros, (CLASSES,))
        logits = nn.Dense(CLASSES, use_bias=False, name="fc")(pool3)
        return Layers(pool1, pool2, mixed6, spatial, pool3, logits, logits + bias)

    def _stem(self, x: jax.Array, convolutions: Sequence[tuple[str, int, int, int, str]]) -> jax.Array:
        """Convolutions in a row, and a pool by the maximum."""
        for name, width, kernel, stride, padding in convolutions:
            x, _ = Convolution(width, (kernel, kernel), stride, padding, name=name)(x)
        return nn.max_pool(x, (3, 3), (2, 2))


def variables(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The variables of the network from tensors by the names and axes of its PyTorch version.

    Such as "Mixed_6d.branch1x1.conv.weight" (out, in, height, width), ".bn.running_mean", "fc.weight" (out, in).

    Raises:
      KeyError: a tensor is missing; its argument is the name.
      ValueError: one has another shape than the network.
    """
    like = jax.eval_shape(Inception().init, jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3)))

    def place(path, leaf):
        *folders, last = (key.key for key in path[1:])
        theirs = {"scale": "weight", "mean": "running_mean", "var": "running_var", "kernel": "weight"}.get(last, "bias")
        name = ".".join([*(folders or ["fc"]), theirs])
        value = np.asarray(tensors[name], np.float32)
        value = value.T if value.ndim == 2 else value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
        if value.shape != leaf.shape:
            raise ValueError(f"{name!r} has the shape {np.shape(tensors[name])}, which is none of this network")
        return value

    return jax.tree_util.tree_map_with_path(place, like)


def of_graph(constants: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors by the names and axes of the PyTorch version, from the constants of the TensorFlow graph of 2015.

    Its scopes are numbered, "mixed_3/tower/conv_1": a branch of one convolution stands in its block, longer ones and
    that of the pool each in a tower, and the two ends of a fork in a scope of their own.

    Raises:
      KeyError: a constant is missing; its argument is the name.
    """
    tensors = {"fc.weight": constants["softmax/weights"].T, "fc.bias": constants["softmax/biases"]}
    norm = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for scope, layer in _scopes().items():
        tensors[f"{layer}.conv.weight"] = constants[f"{scope}/conv2d_params"].transpose(3, 2, 0, 1)
        tensors |= {f"{layer}.bn.{ours}": constants[f"{scope}/batchnorm/{theirs}"] for theirs, ours in norm.items()}
    return tensors


def _scopes() -> dict[str, str]:
    """The scope of each convolution in the graph, and its name here."""
    numbered = lambda name, i: f"{name}_{i}" if i else name
    found = {numbered("conv", i): name for i, (name, *_) in enumerate([*STEM, *SECOND])}
    for i, (layer, block) in enumerate(MIXED.items()):
        place, towers = numbered("mixed", i), itertools.count()
        for chain in block["branches"]:
            scope = place if len(chain) == 1 else f"{place}/{numbered('tower', next(towers))}"
            for k, part in enumerate(chain):
                if isinstance(part[0], str):
                    found[f"{scope}/{numbered('conv', k)}"] = f"{layer}.{part[0]}"
                else:
                    found |= {f"{scope}/mixed/{numbered('conv', j)}": f"{layer}.{n}" for j, (n, *_) in enumerate(part)}
        if block.get("pool_width"):
            found[f"{place}/{numbered('tower', next(towers))}/conv"] = f"{layer}.branch_pool"
    return found
