"""Data: the source that a configuration names."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxdiff.config.build.network import conditions_of
from jaxdiff.config.build.text import details_for, text_of
from jaxdiff.config.names import Given, in_words
from jaxdiff.config.parts import DATA
from jaxdiff.config.ranges import MOST
from jaxdiff.config.schema import check_fields, check_value
from jaxdiff.data.captions import tokenized, without_captions
from jaxdiff.data.source import Source, balanced
from jaxdiff.errors import InputError
from jaxdiff.modalities import check, make_codec, require, retold
from jaxdiff.modalities.images.coded import require_pixels
from jaxdiff.modalities.images.downsample import downsampled
from jaxdiff.modalities.tables.spec import translation
from jaxdiff.types import Batch, ConditionSpec, Spec

__all__ = [
    "Config",
    "check_conditions",
    "check_told",
    "classes_of",
    "held_out",
    "known",
    "rescaled",
    "source",
    "unlabeled",
]

Config = Mapping[str, Any]


def source(config: Config, text: Mapping[str, Any] | None = None) -> Source:
    """The data of a configuration, checked against its network; without labels or captions if that takes none.

    Args:
      text: the tokenizer of its captions (`jaxdiff.data.captions.text_details`); by default one by `net.text`.
    """
    check_fields(config)
    data = known(config, "data")
    if config["train"]["balanced"]:
        data = balanced(data)
    return _read(config["net"], _classified(config, data), text)


def known(config: Config, part: str) -> Source:
    """The examples of a part, "data" or "held_out", with all that is known of them, whatever the network is told."""
    data, factor = DATA.make(config[part]), config["train"]["downsample"]
    check(data.spec)
    if factor > 1:
        require("images", data.spec, f"train.downsample={factor}")
        require_pixels(data.spec, f"train.downsample={factor}")
        data = downsampled(data, factor)
    return data


def _read(net: Config, data: Source, text: Mapping[str, Any] | None) -> Source:
    """The data with its captions as ids, if the network reads some."""
    if not text_of(net):
        return without_captions(data)
    return tokenized(data, text or details_for(net, data.captions))


def _classified(config: Config, data: Source) -> Source:
    """The data with the labels that the network is told."""
    classes = classes_of(config["net"], data.spec)
    if not classes:
        rest = {name: one for name, one in data.conditions.items() if name != "label"}
        spec = data.spec
        if spec.details.get("classes"):
            spec = spec._replace(details={**spec.details, "classes": []})
        return data._replace(spec=spec, conditions=rest, take=lambda i: unlabeled(data.take(i)))
    there = data.conditions["label"].values if "label" in data.conditions else 0
    if classes != there:
        raise InputError(
            f"net.num_classes={classes}, but dataset {in_words(config['data']['name'])!r} has {there} classes: "
            "make them equal, or 0 for no classes"
        )
    return data


def classes_of(net: Config, spec: Spec) -> int:
    """How many classes a network is told of."""
    name = net.get("name")
    if isinstance(name, Given):
        label = conditions_of(name.made, spec).get("label")
        return label.values or 0 if label else 0
    classes = net.get("num_classes", 0)
    check_value("config.net.num_classes", classes, int, 0, MOST)
    return classes


def check_conditions(source: Source, known: Mapping[str, ConditionSpec]) -> None:
    """Refuse data of which something else is known than its network can be told.

    Args:
      known: what the network can be told, by name.

    Raises:
      InputError: a condition of another shape, or of another number of values.
    """
    for name in source.conditions.keys() & known.keys():
        has, takes = source.conditions[name], known[name]
        fits = len(has.shape) == len(takes.shape) and has.values == takes.values
        if not (fits and all(want in (None, side) for want, side in zip(takes.shape, has.shape, strict=True))):
            raise InputError(
                f"condition {name!r}: the data has shape {has.shape} and values {has.values}, and the network takes "
                f"shape {takes.shape} and values {takes.values}: make them equal"
            )


def check_told(known: Iterable[str], told: Iterable[str]) -> None:
    """Refuse a network that is made to be told what is not known of the examples, and so would not learn it.

    Args:
      known: what is known of each example, by name.
      told: what the network is made for.
    """
    if never := sorted(set(told) - set(known)):
        raise InputError(
            f"condition {never[0]!r}: the network is made to be told it, and of the examples it is not known: give it "
            "with them, or take a network without it"
        )


def unlabeled(batch: Batch) -> Batch:
    """The batch without labels; what else is known of it stays."""
    rest = {name: value for name, value in (batch.condition or {}).items() if name != "label"}
    return batch._replace(condition=rest or None)


def held_out(config: Config, spec: Spec | None = None) -> Source:
    """The held-out data of a configuration.

    Args:
      spec: of the data of training, whose scale it is brought to; by default it keeps its own.

    Raises:
      InputError: it names none, or it is of another shape or modality than the data of training.
    """
    if not config.get("held_out"):
        raise InputError("this configuration names no held-out data: set config.held_out, a data set like config.data")
    made = source({**config, "data": config["held_out"]}, spec and spec.details.get("text"))
    return made if spec is None else rescaled(made, spec, "held_out")


def rescaled(source: Source, spec: Spec, what: str) -> Source:
    """The same examples on the scale of others: decoded by their own codec, and encoded by that of `spec`.

    Args:
      what: the data is, in words.

    Raises:
      InputError: they are of another shape or modality, or have other classes, speakers or another property.
    """
    for name, names in (("label", "classes"), ("speaker", "speakers")):
        its, ours = (one.details.get(names) for one in (source.spec, spec))
        if name in source.conditions and its != ours:
            raise InputError(
                f"{what}: its {names} are {its}, and those of the data of training {ours}: make them the same"
            )
    text = spec.details.get("text")
    if text and source.captions and source.spec.details.get("text") != text:
        source = tokenized(source, text)
    rates = source.spec.details.get("rate"), spec.details.get("rate")
    if source.spec.modality == spec.modality and rates[0] != rates[1]:
        raise InputError(
            f"{what}: has {rates[0]} samples a second, and the data of training {rates[1]}: make them the same"
        )
    if source.spec.modality == spec.modality and source.spec.details != spec.details:
        mine, its, take = make_codec(source.spec), make_codec(spec), source.take
        between = translation(source.spec, spec, what) if spec.modality == "tables" else lambda table: table
        encoded, known = (lambda x_0: its.encode(between(mine.decode(x_0)))), retold(source.spec, spec)
        recoded = lambda batch: Batch(encoded(batch.x_0), batch.condition and known(batch.condition))
        shape = encoded(np.zeros((1, *source.spec.shape), np.float32)).shape[1:]
        levels = source.spec.levels if source.spec.low == spec.low else None  # on another scale they are no steps
        changed = spec._replace(shape=shape, levels=levels)
        source = source._replace(spec=changed, take=lambda indices: recoded(take(indices)))
    there, here = source.spec, spec
    if (there.shape, there.modality) != (here.shape, here.modality):
        raise InputError(
            f"{what}: {there.modality} of shape {there.shape}, and the data of training is {here.modality} of shape "
            f"{here.shape}: take data of the same kind and shape"
        )
    return source
