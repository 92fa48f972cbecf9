"""Conditions: what is known of the examples to be drawn, brought to the types and shapes that a network takes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdiff.errors import InputError
from jaxdiff.types import Array, Condition, ConditionSpec

__all__ = ["Given", "Known", "checked"]

Given = Condition | Sequence[int] | np.ndarray | Array | int | None
"""What is known of the examples to be drawn: a condition, labels, one label for all, or nothing."""


class Known(NamedTuple):
    """What a network can be told.

    Attributes:
      conditions: by name.
      guidable: whether it was trained to do without its condition, too.
    """

    conditions: Mapping[str, ConditionSpec]
    guidable: bool


def checked(known: Known, given: Given, n: int, default: bool = True, first: int = 0) -> Condition | None:
    """The condition of n examples, see `jaxdiff.pipelines.model.Model.check_condition`."""
    conditions = known.conditions
    if given is None:
        labels = default and "label" in conditions
        given = {"label": (first + np.arange(n)) % (conditions["label"].values or 1)} if labels else {}
    given = np.full(n, given) if isinstance(given, (int, np.integer)) else given
    given = given if isinstance(given, Mapping) else {"label": given}
    for name in given.keys() - conditions.keys():
        told = ", ".join(sorted(conditions)) or "nothing"
        raise InputError(f"condition: this model was trained without {name!r} (it is told {told}): leave it out")
    if default and not known.guidable:
        for name in conditions.keys() - given.keys():
            raise InputError(f"condition: this model was never trained without its {name!r}: give it")
    return {name: _checked(known, name, value, n) for name, value in given.items()} or None


def _checked(known: Known, name: str, value: Any, n: int) -> Array:
    spec = known.conditions[name]
    try:
        numpy = jnp if isinstance(value, jax.Array) else np
        value = numpy.asarray(value)
        value = numpy.broadcast_to(value, n) if value.shape == spec.shape == () else value  # one for all
        fits = len(value.shape) == 1 + len(spec.shape) and value.dtype != object
    except (TypeError, ValueError):  # rows of several lengths
        value, fits = np.zeros(()), False
    fits = fits and all(want in (None, side) for want, side in zip((n, *spec.shape), value.shape, strict=True))
    if spec.values is not None:
        fits = fits and np.issubdtype(value.dtype, np.integer)
        if fits and not isinstance(value, Tracer):
            fits = bool(value.min() >= -known.guidable) and bool(value.max() < spec.values)
        if not fits:
            none = ", or -1 for none" if known.guidable else ""
            raise InputError(f"condition: {name!r} must be {n} whole numbers from 0 to {spec.values - 1}{none}")
    if not fits:
        shape = str((n, *spec.shape)).replace("None", "any")
        raise InputError(f"condition: {name!r} of shape {value.shape}: this model takes {shape}")
    if spec.values is None and not isinstance(value, Tracer) and not _is_real(value):
        raise InputError(
            f"condition: {name!r} holds {value.dtype} that are pixels of 8 bits, or not finite: give what the network "
            "was trained on, such as images in [-1, 1]"
        )
    return jnp.asarray(value, spec.dtype)


def _is_real(value: np.ndarray | Array) -> bool:
    """Tell whether numbers are finite, and none of 8 bits is beyond 1, as those of a mask or of one class are not."""
    if value.dtype == np.uint8:
        return bool((value <= 1).all())
    return not np.issubdtype(value.dtype, np.inexact) or bool(np.isfinite(np.asarray(value, np.float32)).all())
