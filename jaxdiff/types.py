"""The vocabulary: what is passed between the parts of the library.

Arrays of data are `(batch, ...)`; images are `(batch, height, width, channels)` with values in [-1, 1]. Times `t` and
`s` lie in [0, 1], 0 the data and 1 the noise, and are scalars, `(batch,)` or, of frames that are noised each to a level
of its own, `(batch, frames)`; a step goes from `t` down to `s < t`.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

__all__ = [
    "Array",
    "Batch",
    "Codec",
    "Condition",
    "ConditionSpec",
    "Constraint",
    "Denoiser",
    "Key",
    "LossFn",
    "Network",
    "Noise",
    "Operator",
    "Params",
    "Spec",
    "StatefulLoss",
    "TimeFunction",
    "Transform",
    "as_time",
    "by_path",
    "class_label",
    "expand",
    "from_paths",
    "missing",
    "path_name",
]

Array = jax.Array
Key = jax.Array
Params = Any

TimeFunction = Callable[[Array], Array]
"""A coefficient of the process, elementwise in t."""

Noise = Callable[[Key, Array], Array]
"""`(key, x) -> eps`: standard noise shaped and typed like x."""

Denoiser = Callable[[Array, Array], Array]
"""`(x_t, t) -> x̂_0`, the posterior mean of the data; t is a scalar or (batch,)."""

Operator = Callable[[Array], Array]
"""`(batch, ...) -> (batch, ...)`, linear, each example alone."""

Constraint = Callable[[Array], Array]
"""`x̂_0 -> x̂_0`, such as clipping to the range of the data."""


class Spec(NamedTuple):
    """What one example is, as a network sees it: plain data, which a run's record keeps.

    Attributes:
      shape: of the array, without the batch.
      modality: the kind of data, a folder of `jaxdiff.modalities`: "images", "tables".
      low, high: the range of the values; None for none.
      levels: how many values there are, evenly from low to high; None for any.
      details: what else the modality has to know, such as the names and the scales of a table's columns.
    """

    shape: tuple[int, ...]
    modality: str
    low: float | None = None
    high: float | None = None
    levels: int | None = None
    details: Mapping[str, Any] = {}


class Codec(NamedTuple):
    """The way between data in its own units and examples as a network sees them, and back: of arrays (batch, ...).

    Attributes:
      encode: of what is read, before training; NumPy arrays.
      decode: of what was drawn, as the last step of sampling; NumPy or JAX arrays.
    """

    encode: Callable[[Any], Any] = lambda x: x
    decode: Callable[[Any], Any] = lambda x: x


class ConditionSpec(NamedTuple):
    """The shape and type of one condition of one example.

    Attributes:
      shape: of the array, without the batch; None where any length will do.
      dtype: float32, or int32 for a whole number such as a class.
      missing: the value that stands for "unknown" in an example of a batch; or a row of them, such as the ids of the
        empty caption; None of what a network is always told.
      values: how many whole numbers there are, from 0; None for numbers of any value.
    """

    shape: tuple[int | None, ...]
    dtype: Any = jnp.float32
    missing: float | tuple[int, ...] | None = 0
    values: int | None = None


def class_label(classes: int) -> ConditionSpec:
    """One of so many classes, -1 where it is unknown."""
    return ConditionSpec((), jnp.int32, -1, classes)


Condition = Mapping[str, Any]
"""What is known of the data: arrays (batch, ...) by name. A name that is left out is unknown for all examples; what is
unknown of one of a batch has the value of `ConditionSpec.missing`, by which models and losses tell networks of both."""


def missing(specs: Mapping[str, ConditionSpec], batch: int) -> Condition:
    """The condition of a batch of which nothing is known, or zeros; a length that may be any is 1."""
    value = lambda s: jnp.asarray(0 if s.missing is None else s.missing, s.dtype)
    return {k: jnp.broadcast_to(value(s), (batch, *(n or 1 for n in s.shape))) for k, s in specs.items()}


class Network(Protocol):
    """`(params, x, t, condition, key) -> out`, shaped like x; t is (batch,). With a key it trains (dropout)."""

    def __call__(
        self, params: Params, x: Array, t: Array, condition: Condition | None = None, key: Key | None = None, /
    ) -> Array: ...


class Batch(NamedTuple):
    """Data to train on: x_0 (batch, ...) and, where there is one, its condition."""

    x_0: Any
    condition: Condition | None = None


Transform = Callable[[Key, Batch], Batch]
"""`(key, batch) -> batch`, on the device: augmentation, dropping a condition, making a small image."""


LossFn = Callable[[Params, Key, Batch], tuple[Array, dict[str, Array]]]
"""`(params, key, batch) -> (loss, metrics)`, both means over the batch."""


class StatefulLoss(NamedTuple):
    """A loss that remembers: its memory is part of the training state, and is saved with it."""

    init: Callable[[], Any] | None
    """`() -> memory`."""
    loss: Callable[[Params, Any, Key, Batch], tuple[Array, tuple[dict[str, Array], Any]]]
    """`(params, memory, key, batch) -> (loss, (metrics, memory))`."""
    begin: Callable[[Params], Any] | None = None
    """`params -> memory` at the parameters with which training begins, in place of `init`: a teacher, a target."""

    def first(self, params: Params) -> Any:
        """The memory before the first step, of a training that begins with these parameters."""
        return self.begin(params) if self.begin else self.init and self.init()


def path_name(path: Any) -> str:
    """The path of a leaf of a tree as text, such as "down0/conv1/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def by_path(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths."""
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def from_paths(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of dictionaries of which these are the leaves by their paths."""
    tree: dict[str, Any] = {}
    for name, leaf in leaves.items():
        *parents, last = name.split("/")
        functools.reduce(lambda part, parent: part.setdefault(parent, {}), parents, tree)[last] = leaf
    return tree


def as_time(t: Any, x: Array) -> Array:
    """Give t the precision of x, but never less than float32: in 16 bits, or as an integer, t is another time."""
    return jnp.asarray(t, jnp.promote_types(x.dtype, jnp.float32))


def expand(coefficient: Array, x: Array) -> Array:
    """Give a coefficient, a scalar, (batch,) or (batch, frames), the trailing axes that broadcast it against x."""
    return (
        coefficient.reshape(coefficient.shape + (1,) * (x.ndim - coefficient.ndim)) if coefficient.ndim else coefficient
    )


def per_example(t: Array, x: Array) -> Array:
    """Give each example its time: t as it is if it is (batch,) or (batch, frames), (batch,) if it is a scalar."""
    t = as_time(t, x)
    return t if t.ndim else jnp.broadcast_to(t, x.shape[:1])
