"""Conditions: what is known of the examples to be drawn, brought to the types and shapes that a network takes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxdiff.data.captions import ids_of
from jaxdiff.errors import InputError, unknown
from jaxdiff.pipelines.options import is_text
from jaxdiff.types import Array, Condition, ConditionSpec, Spec

__all__ = ["Given", "Known", "by_name", "checked", "class_of", "prompted"]

Given = Condition | Sequence[int] | np.ndarray | Array | int | str | Sequence[str] | None
"""What is known of the examples to be drawn: a condition, labels, captions, one of these for all, or nothing."""


class Known(NamedTuple):
    """What a network can be told.

    Attributes:
      conditions: by name.
      spec: of an example, with the tokenizer of its captions.
      guidable: whether it was trained to do without its condition, too.
    """

    conditions: Mapping[str, ConditionSpec]
    spec: Spec
    guidable: bool


def checked(known: Known, given: Given, n: int, default: bool = True, first: int = 0) -> Condition | None:
    """The condition of n examples, see `jaxdiff.pipelines.model.Model.check_condition`; no caption is the empty one.

    What is not given is unknown, and told so: a network learned that from the value which stands for it, and not every
    network takes a name that is left out for the same.
    """
    conditions = known.conditions
    given = by_name(conditions, given, n, default, first)
    for name in given.keys() - conditions.keys():
        told = ", ".join(sorted(conditions)) or "nothing"
        raise InputError(f"condition: this model was trained without {name!r} (it is told {told}): leave it out")
    if default and not known.guidable:
        for name in conditions.keys() - given.keys():
            raise InputError(f"condition: this model was never trained without its {name!r}: give it")
    if "text" in conditions and "text" not in given:
        given = {**given, "text": ""}
    left = {name: spec for name, spec in conditions.items() if name not in given and spec.missing is not None}
    rest = {name: _unknown(spec, n) for name, spec in left.items()}
    return {**rest, **{name: _checked(known, name, value, n) for name, value in given.items()}} or None


def by_name(
    conditions: Mapping[str, ConditionSpec], given: Given, n: int, default: bool = True, first: int = 0
) -> Condition:
    """What is given of n examples, by name: of nothing, the classes in turn, if `default` and the model has some."""
    if given is None:
        labels = default and "label" in conditions
        return {"label": (first + np.arange(n)) % (conditions["label"].values or 1)} if labels else {}
    given = np.full(n, given) if isinstance(given, (int, np.integer)) else given
    captions = is_text(given) and ("text" in conditions or "label" not in conditions)
    return given if isinstance(given, Mapping) else {"text" if captions else "label": given}


def class_of(text: str | int, spec: Spec) -> int:
    """The number of a class, from its name or number.

    Raises:
      InputError: the data has no class of this name.
    """
    names = spec.details.get("classes", [])
    if text in names:
        return names.index(text)
    try:
        return int(text)
    except ValueError as error:
        raise unknown("class", text, names or ["numbers: this data names none"]) from error


def _unknown(spec: ConditionSpec, n: int) -> np.ndarray:
    """The value that stands for "unknown", once in memory; a length that may be any is 1."""
    return np.broadcast_to(np.asarray(spec.missing, spec.dtype), (n, *(side or 1 for side in spec.shape)))


def prompted(conditions: Mapping[str, ConditionSpec], condition: Given, options: dict[str, Any]) -> Given:
    """The condition with the `prompt` that is among the options, which are left without it.

    Raises:
      InputError: the model reads no captions, or the prompt is none.
    """
    if (prompt := options.pop("prompt", None)) is None:
        return condition
    if "text" not in conditions:
        raise InputError("prompt: this model reads no captions: take one trained with net.text, as by configs/text.py")
    if not is_text(prompt):
        raise InputError(f"prompt={str(prompt)[:80]!r}: must be a text, or a list of them")
    if condition is None or isinstance(condition, Mapping):
        return {**(condition or {}), "text": prompt}
    raise InputError("prompt: goes with condition={'label': ...}, or with no other condition")


def _checked(known: Known, name: str, value: Any, n: int) -> Array:
    spec = known.conditions[name]
    if is_text(value) and name == "text":
        value = _ids(known.spec, value, n)
    elif is_text(value) and name == "label":
        one = isinstance(value, str)
        value = class_of(value, known.spec) if one else [class_of(text, known.spec) for text in value]
    try:
        numpy = jnp if isinstance(value, jax.Array) else np
        value = numpy.asarray(value)
        value = numpy.broadcast_to(value, n) if value.shape == spec.shape == () else value  # one for all
        fits = len(value.shape) == 1 + len(spec.shape) and value.dtype != object
    except (TypeError, ValueError):  # rows of several lengths
        value, fits = np.zeros(()), False
    fits = fits and all(want in (None, side) for want, side in zip((n, *spec.shape), value.shape, strict=True))
    if spec.values is not None:
        unknown = known.guidable and spec.missing == -1
        fits = fits and np.issubdtype(value.dtype, np.integer)
        if fits and not isinstance(value, Tracer):
            fits = bool(value.min() >= -unknown) and bool(value.max() < spec.values)
        if not fits:
            none = ", or -1 for none" if unknown else ""
            each = f" rows of {spec.shape[0]}" if spec.shape else ""
            raise InputError(f"condition: {name!r} must be {n}{each} whole numbers from 0 to {spec.values - 1}{none}")
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


def _ids(spec: Spec, captions: str | Sequence[str], n: int) -> np.ndarray:
    """The ids of one caption for all, or of one for each."""
    captions = [captions] * n if isinstance(captions, str) else list(captions)
    if len(captions) != n:
        raise InputError(f"prompt: {len(captions)} captions for {n} examples: give one for all, or one for each")
    return ids_of(spec.details["text"], captions, "prompts")
