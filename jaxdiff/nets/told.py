"""Told: what networks are told beside x: the conditions that they take or refuse, and the embedding of time and these.

The functions that make layers are for the body of a compact module, of which these become parts.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.nets.layers import INIT, SecondTime, sinusoidal
from jaxdiff.nets.text import caption_spec
from jaxdiff.types import Condition, ConditionSpec, Spec, class_label

__all__ = ["check_given", "embed", "embed_label", "embed_time", "embed_vector", "specs"]


def specs(
    spec: Spec,
    classes: int = 0,
    vectors: Mapping[str, int] = {},
    images: Mapping[str, int] = {},
    sequences: Mapping[str, int] = {},
    text: Mapping | None = None,
    second_time: bool = False,
) -> dict[str, ConditionSpec]:
    """The conditions of a network for such examples, of these widths by their names."""
    found = {"label": class_label(classes)} if classes else {}
    always = lambda name: None if name == "guidance" else 0  # a scale of guidance has no value that says nothing
    found |= {name: ConditionSpec((width,), missing=always(name)) for name, width in vectors.items()}
    found |= {name: ConditionSpec((*spec.shape[:-1], channels)) for name, channels in images.items()}
    found |= {name: ConditionSpec((None, width)) for name, width in sequences.items()}
    found |= {"until": ConditionSpec(())} if second_time else {}
    return found | ({"text": caption_spec(text)} if text else {})


def check_given(net: str, given: Condition, known: Mapping[str, ConditionSpec]) -> None:
    """Refuse conditions that a network is not made for, or of another width.

    Args:
      net: its name; and `known`, the conditions that it takes.
    """
    for name, value in given.items():
        if name not in known:
            raise InputError(
                f"the condition {name!r} was given to net {net!r}, which takes {', '.join(sorted(known)) or 'none'}: "
                "make it for that (net.num_classes, net.vectors, ...), or leave it out"
            )
        width = known[name].shape[-1:]
        if name != "text" and width and value.shape[1:] and value.shape[-1] != width[0]:
            raise InputError(f"{name!r} of width {value.shape[-1]} was given to net {net!r}, which takes {width[0]}")


def embed_time(waves: jax.Array, width: int, dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """Two layers on the waves of times, (..., features): (..., width)."""
    h = nn.Dense(width, kernel_init=INIT, dtype=dtype, name="time1")(waves)
    return nn.Dense(width, kernel_init=INIT, dtype=dtype, name="time2")(nn.silu(h))


def embed_label(label: jax.Array, classes: int, width: int, dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """The vector of each label (batch,), zero for -1: (batch, width)."""
    table = nn.Embed(classes, width, dtype=dtype, name="classes")
    return jnp.where(label[:, None] < 0, 0, table(jnp.maximum(label, 0)))


def embed_vector(name: str, vector: jax.Array, width: int, features: int, dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """What a vector (batch, numbers) adds, (batch, width); a scale of guidance adds nothing to begin with."""
    if name == "guidance":
        return SecondTime(width, features, dtype, name=name)(100 * vector[:, 0])
    return nn.Dense(width, use_bias=False, kernel_init=INIT, dtype=dtype, name=name)(vector)


def embed(
    t: jax.Array,
    given: Condition,
    width: int,
    features: int,
    classes: int = 0,
    vectors: Mapping[str, int] = {},
    dtype: jnp.dtype = jnp.float32,
) -> jax.Array:
    """The embedding of times, a second time, a label and vectors: (batch, width).

    Args:
      t: (batch,); of times (batch, steps) the embedding is (batch, steps, width).
      features: of the waves of a time.
    """
    h = embed_time(sinusoidal(t.reshape(-1), features).reshape(*t.shape, -1), width, dtype)
    told = [SecondTime(width, features, dtype, name="until")(given["until"])] if "until" in given else []
    told += [embed_label(given["label"], classes, width, dtype)] if "label" in given else []
    for name in sorted(vectors.keys() & given.keys()):
        told.append(embed_vector(name, given[name], width, features, dtype))
    for part in told:
        h = h + (part if h.ndim == 2 else part[:, None])
    return h
