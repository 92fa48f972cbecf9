"""Parts: which parts of a configuration name a function, and what arguments the function takes from there.

The tables are those that `jaxdiff.config.build` builds from, and the arguments are the functions' own parameters, less
those that the program gives. So what can be named in a configuration can be set from the command line.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxdiff import nets
from jaxdiff.config import build as experiment
from jaxdiff.config.names import Known, named
from jaxdiff.config.schema import FIELDS, read
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian import betas, grids, parameterization, simplex
from jaxdiff.gaussian.parameterization import Parameterization
from jaxdiff.losses import times as loss_times
from jaxdiff.losses import weights as loss_weights
from jaxdiff.losses.times import Times
from jaxdiff.losses.weights import Weight
from jaxdiff.modalities import images
from jaxdiff.pipelines import model
from jaxdiff.types import Noise

Spec = Mapping[str, Any]
Arguments = dict[str, inspect.Parameter | None]


class Part(NamedTuple):
    """A part of a configuration that names a function.

    Attributes:
      kind: of function, in words.
      known: what may be named.
      given: parameters that the program gives, and a configuration does not.
      inner: arguments that are parts themselves.
      usual: what is named where nothing is.
    """

    kind: str
    known: Known
    given: tuple[str, ...] = ()
    inner: Mapping[str, "Part"] = {}
    usual: str = ""

    def arguments(self, spec: Spec) -> Arguments:
        """What the function that `spec` names takes, by name; no parameter where it is not the function's own.

        Raises:
          InputError: it names none.
        """
        name = spec.get("name", self.usual)
        if not isinstance(name, str) or name not in self.known:
            raise unknown(self.kind, name, self.known)
        own = _parameters(self.known[name], self.given)
        return (
            own | _beside(spec) if self.known is model.SAMPLERS else own | {k: None for k in self.inner if k == "noise"}
        )


def _parameters(function: Any, given: Sequence[str]) -> Arguments:
    given = (*given, "parent", "name")  # the latter two are Flax's
    return {name: p for name, p in inspect.signature(function).parameters.items() if name not in given}


def _beside(spec: Spec) -> Arguments:
    """What every sampler takes beside its own: bounds, guidance, and a corrector with what that takes."""
    chosen = model.CORRECTORS.get(spec.get("corrector", ""))
    cache = ("cache",) if spec.get("name") in model.CACHEABLE else ()
    shared = dict.fromkeys(("clip", "threshold", "corrector", "noise_scale", *model.GUIDANCE, *cache))
    return shared | (_parameters(chosen, SAMPLER) if chosen else {})


SAMPLER = ("process", "denoiser", "constrain", "use_clipped_model_output")
DATA = Part("dataset", named(images, Source))
_within = {"betas": Part("table of betas", named(betas, np.ndarray)), "noise": Part("noise", named(simplex, Noise))}
PROCESS = Part("process", experiment.PROCESSES, inner=_within)
_within["process"] = PROCESS
PARTS = {
    "data": DATA,
    "held_out": DATA,
    "process": PROCESS._replace(known={**experiment.PROCESSES, "learned": nets.MonotoneLogSNR}),
    "parameterization": Part("parameterization", named(parameterization, Parameterization)),
    "net": Part("net", experiment.NETS, ("outputs",)),
    "loss": Part(
        "loss",
        experiment.LOSSES,
        ("process", "schedule", "parameterization", "network"),
        {
            "weight": Part("loss weight", named(loss_weights, Weight)),
            "times": Part("time sampler", named(loss_times, Times)),
        },
        "diffusion",
    ),
    "optimizer": Part(
        "optimizer",
        experiment.OPTIMIZERS,
        ("learning_rate", "mask"),
        {"schedule": Part("learning rate schedule", experiment.SCHEDULES, ("value", "init_value", "peak_value"))},
    ),
    "sample.sampler": Part("sampler", model.SAMPLERS, SAMPLER),
    "sample.grid": Part("grid", named(grids, np.ndarray), ("process", "steps")),
    "sample.process": PROCESS,
}
"""By where they are."""


def part_at(names: Sequence[str]) -> Part | None:
    """The part at a place, None if what is there names no function."""
    for depth in (1, 2):
        part = PARTS.get(".".join(names[:depth]))
        for name in names[depth:] if part else ():
            part = part and part.inner.get(name)
        if part:
            return part
    return None


def put(config: dict, field: str, text: str) -> None:
    """Set an argument of what a configuration names, or the name, from the text of a command line.

    Raises:
      InputError: no such field, or no such argument of the function named there.
    """
    *parents, last = field.split(".")
    spec: Any = config
    for i, name in enumerate(parents):
        above = part_at(parents[:i])
        if name not in spec and above:
            _check_argument(above, spec, parents[:i], name)
        if not isinstance(spec.get(name), dict) and not part_at(parents[: i + 1]):
            raise unknown(f"field '--config.{field}':", name, _fields(spec, parents[:i]))
        spec = spec.setdefault(name, {})
        if not isinstance(spec, dict):
            raise InputError(f"--config.{field}: config.{'.'.join(parents[: i + 1])} is no part that has fields")
    part = part_at(parents)
    if part and last == "name":
        spec["name"] = text
    elif part:
        spec[last] = read(text, _check_argument(part, spec, parents, last))
    elif part_at([*parents, last]):
        spec[last] = read(text, None)
    else:
        raise unknown(f"field '--config.{field}':", last, _fields(spec, parents))


def _fields(spec: Spec, where: Sequence[str]) -> set[str]:
    """The fields there are at a place, and those that there might be."""
    prefix = "".join(f"{name}." for name in where)
    return {
        *spec,
        *(top.removeprefix(prefix) for top in PARTS if top.startswith(prefix) and "." not in top[len(prefix) :]),
    }


def _check_argument(part: Part, spec: Spec, where: Sequence[str], name: str) -> inspect.Parameter | None:
    if "name" not in spec and not part.usual:
        place, known = ".".join(where), ", ".join(sorted(part.known))
        raise InputError(f"--config.{place}.{name}: nothing is named there: give --config.{place}.name, one of {known}")
    arguments = part.arguments(spec)
    if name not in arguments:
        raise unknown(f"argument of {part.kind} {spec.get('name', part.usual)!r}", name, arguments)
    return arguments[name]


def settled(config: Spec, before: Spec, chosen: Sequence[str]) -> dict[str, Any]:
    """A configuration less the arguments that only functions had which it named before.

    Args:
      before: the configuration as it was.
      chosen: fields that were set since; they stay, to be refused if they do not fit.
    """
    out = dict(config)
    for top, part in PARTS.items():
        first, _, second = top.partition(".")
        if second and not (isinstance(out.get(first), dict) and isinstance(before.get(first), Mapping)):
            continue
        old = before.get(first, {}).get(second, {}) if second else before.get(first, {})
        holder, key = (out[first], second) if second else (out, first)
        if isinstance(holder.get(key), dict) and isinstance(old, Mapping):
            new = _settled(part, holder[key], old, top, chosen)
            out |= {first: {**out[first], second: new}} if second else {first: new}
    return out


def _settled(part: Part, spec: Spec, before: Spec, where: str, chosen: Sequence[str]) -> dict[str, Any]:
    stays = dict(spec)
    if spec.get("name", part.usual) != before.get("name", part.usual) and spec.get("name", part.usual) in part.known:
        has = {"name", *part.arguments(spec)}
        stays = {
            k: v for k, v in spec.items() if k in has or f"{where}.{k}" in FIELDS or _is_set(f"{where}.{k}", chosen)
        }
    for name, inner in part.inner.items():
        old = before.get(name, {})
        if isinstance(stays.get(name), dict) and isinstance(old, Mapping):
            stays[name] = _settled(inner, stays[name], old, f"{where}.{name}", chosen)
    return stays


def _is_set(field: str, chosen: Sequence[str]) -> bool:
    return any(f"{one}.".startswith(f"{field}.") or f"{field}.".startswith(f"{one}.") for one in chosen)
