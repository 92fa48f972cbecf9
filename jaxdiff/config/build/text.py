"""Text: what a configuration says of captions, `net.text`, for the data and for the network that reads them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxdiff.config.names import Given
from jaxdiff.config.schema import check_value
from jaxdiff.data.captions import text_details
from jaxdiff.errors import InputError, unknown
from jaxdiff.nets import TextTransformer

__all__ = ["OF_DATA", "details_for", "reader", "text_of"]

OF_DATA = ("length", "vocabulary", "tokenizer")
"""The options of `net.text` that make the tokenizer; the others are those of `jaxdiff.nets.TextTransformer`."""
GIVEN = ("vocabulary", "length", "start", "end", "pad")
"""The options of the network that follow from the tokenizer."""


def text_of(net: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options `net.text` of a network; empty if it reads no captions.

    Raises:
      InputError: an unknown one; or a network that was made in Python, whose vocabulary is not that of the data.
    """
    if isinstance(net.get("name"), Given):
        if getattr(net["name"].made, "text", None):
            raise InputError("net: one that reads captions is given by its fields, net={'name': 'dit', 'text': ...}")
        return {}
    options = net.get("text") or {}
    check_value("config.net.text", options, Mapping)
    own = [field.name for field in dataclasses.fields(TextTransformer) if field.name not in ("parent", "name", "dtype")]
    allowed = sorted({*own, *OF_DATA} - {"start", "end", "pad"})
    for name, value in options.items():
        if name not in allowed:
            raise unknown("field", f"config.net.text.{name}", [f"config.net.text.{k}" for k in allowed])
        kind = str if name in ("tokenizer", "activation") else bool if name in ("causal", "legacy_pool") else int
        check_value(f"config.net.text.{name}", value, kind, 0 if name in ("length", "hidden") else 1, 2**20)
    if 0 < options.get("length", 0) < 3:
        raise InputError(f"config.net.text.length={options['length']}: holds no more than a start and an end: take 3")
    return options


def details_for(net: Mapping[str, Any], captions: Sequence[str]) -> dict[str, Any]:
    """`Spec.details["text"]`: the tokenizer by these options, read from files or trained on these captions."""
    if not captions:
        raise InputError("net.text: this data has no captions to be read: set data.captions, or net.text={} for none")
    options = {name: value for name, value in text_of(net).items() if name in OF_DATA}
    return text_details(captions, **options)


def reader(net: Mapping[str, Any], details: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of the network's `TextTransformer`: its own, and those that follow from the tokenizer.

    Args:
      details: `Spec.details["text"]`; None where the data has no captions.
    """
    if details is None:
        raise InputError("net.text: this data has no captions to be read: set data.captions, or net.text={} for none")
    own = {name: value for name, value in text_of(net).items() if name not in OF_DATA}
    return {**own, **{name: details[name] for name in GIVEN}}
