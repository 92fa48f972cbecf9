"""The vocabulary: what is passed between the parts of the library.

Arrays of data are `(batch, ...)`; images are `(batch, height, width, channels)` with values in [-1, 1]. Times `t` and
`s` lie in [0, 1], 0 the data and 1 the noise, and are scalars or `(batch,)`; a step goes from `t` down to `s < t`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

Array = jax.Array
Key = jax.Array
Params = Any

TimeFunction = Callable[[Array], Array]
"""A coefficient of the process, elementwise in t."""

Noise = Callable[[Key, Array], Array]
"""`(key, x) -> eps`: standard noise shaped and typed like x."""

Denoiser = Callable[[Array, Array], Array]
"""`(x_t, t) -> x̂_0`, the posterior mean of the data; t is a scalar or (batch,)."""

Constraint = Callable[[Array], Array]
"""`x̂_0 -> x̂_0`, such as clipping to the range of the data."""


class Condition(NamedTuple):
    """What is known of the data; each part may be missing, for all examples (None) or for one.

    A part that is missing for one example of a batch is a label of -1, or zeros: networks make no difference between
    that and None.
    """

    label: Any = None
    """A class: (batch,) int32, from 0."""
    vector: Any = None
    """Numbers: (batch, width)."""
    image: Any = None
    """An image of the data's height and width: (batch, height, width, channels)."""
    sequence: Any = None
    """Such as the tokens of a text: (batch, length, width)."""


class Network(Protocol):
    """`(params, x, t, condition, key) -> out`, shaped like x; t is (batch,). With a key it trains (dropout)."""

    def __call__(
        self, params: Params, x: Array, t: Array, condition: Condition | None = None, key: Key | None = None, /
    ) -> Array: ...


class Batch(NamedTuple):
    """Data to train on: x_0 (batch, ...) and, where there is one, its condition."""

    x_0: Any
    condition: Condition | None = None


LossFn = Callable[[Params, Key, Batch], tuple[Array, dict[str, Array]]]
"""`(params, key, batch) -> (loss, metrics)`, both means over the batch."""


class StatefulLoss(NamedTuple):
    """A loss that remembers: its memory is part of the training state, and is saved with it."""

    init: Callable[[], Any]
    """`() -> memory`."""
    loss: Callable[[Params, Any, Key, Batch], tuple[Array, tuple[dict[str, Array], Any]]]
    """`(params, memory, key, batch) -> (loss, (metrics, memory))`."""


def as_time(t: Any, x: Array) -> Array:
    """Give t the precision of x, but never less than float32: in 16 bits, or as an integer, t is another time."""
    return jnp.asarray(t, jnp.promote_types(x.dtype, jnp.float32))


def expand(coefficient: Array, x: Array) -> Array:
    """Give a scalar or (batch,) coefficient the trailing axes that broadcast it against x."""
    return coefficient.reshape(coefficient.shape + (1,) * (x.ndim - 1)) if coefficient.ndim else coefficient
