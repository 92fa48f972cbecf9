"""Parts given in Python: objects and functions in the places where a configuration has names."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from jaxdiff.config.names import Given
from jaxdiff.config.parts import NET
from jaxdiff.errors import InputError, unknown
from jaxdiff.nets.functional import as_module

__all__ = ["MADE", "NAMED", "check_places", "with_fields", "with_parts"]

MADE = {
    "data": "data",
    "held_out": "held_out",
    "process": "process",
    "parameterization": "parameterization",
    "net": "net",
    "weight": "loss.weight",
    "times": "loss.times",
    "optimizer": "optimizer",
}
"""The places of what is given as it is: a Source, a Process, a Flax module, a weight, ..."""
BESIDE = {"learning_rate": 1.0, "warmup": 0, "clip": 0.0, "schedule": {"name": "constant_schedule"}}
"""What stands beside the optimizer, and has no effect on one that was made before, which brings its own."""
NAMED = {"loss": "loss", "sampler": "sample.sampler", "grid": "sample.grid"}
"""The places of functions that make what is needed, with arguments that only a run can give: those of a process."""


def check_places(parts: Mapping[str, Any], fields: Iterable[str]) -> None:
    """Refuse fields, by their dotted names, in the place of a part that is given, which replaces them.

    An optimizer that is named replaces no field of those that stand beside it, such as `optimizer.warmup`.
    """
    for name, part in parts.items():
        place = (MADE | NAMED).get(name)
        stays = BESIDE if name == "optimizer" and isinstance(part, str | Mapping) else {}
        for field in fields if place else ():
            within = field.removeprefix(f"{place}.").partition(".")[0]
            if f"{field}.".startswith(f"{place}.") and within not in stays:
                raise InputError(
                    f"fields: {name} is given, and replaces {field!r}: leave one of them out; arguments of what is "
                    f"named go with it, as in {name}={{'name': ..., {within!r}: ...}}"
                )


def with_parts(config: Mapping[str, Any], parts: Mapping[str, Any], classes: int | None = None) -> dict[str, Any]:
    """A configuration with parts in place of its own.

    Args:
      parts: by the names of `MADE` and `NAMED`: a name, `{"name": ..., **arguments}`, or what is named. A network is a
        Linen module, an NNX module, or `(function, params)` (`jaxdiff.nets.functional.Function`).
      classes: that a network which does not say is told; by default those of the configuration.

    Raises:
      InputError: there is no such part.
    """
    changed = copy.copy(dict(config))
    for name in parts:
        if name not in MADE | NAMED:
            raise unknown("part", name, MADE | NAMED)
    # A loss before its weight and times, whose place is within its own.
    for name, value in sorted(parts.items(), key=lambda part: (MADE | NAMED)[part[0]].count(".")):
        *parents, last = (MADE | NAMED)[name].split(".")
        section = changed
        for parent in parents:
            section[parent] = dict(section[parent])
            section = section[parent]
        told = section.get("net", {}).get("num_classes", 0) if classes is None else classes
        value = as_module(value, told) if name == "net" else value
        if isinstance(value, str):
            value = {"name": value}
        made = not isinstance(value, Mapping)
        spec = {"name": Given(value) if name in MADE else value} if made else dict(value)
        if name == "net" and told and not made and NET.takes(spec, "num_classes"):
            spec = {"num_classes": told, **spec}
        if name == "optimizer":
            kept = {k: section[last][k] for k in BESIDE}
            spec = {**kept, **(BESIDE if made else {}), **spec}
        section[last] = spec
    return changed


def with_fields(config: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with other values of fields, by their dotted names, such as `{"train.batch_size": 64}`.

    Raises:
      InputError: there is no such section.
    """
    changed = copy.deepcopy(dict(config))
    for name, value in fields.items():
        *parents, last = name.split(".")
        section = changed
        for parent in parents:
            if not isinstance(section.get(parent), dict):
                raise InputError(
                    f"config.{name}: there is no config.{parent}: `python -m jaxdiff.cli.settings` lists all"
                )
            section = section[parent]
        section[last] = value
    return changed
