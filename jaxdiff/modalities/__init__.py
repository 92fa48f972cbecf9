"""Kinds of data, one folder each, named by `Spec.modality`.

A folder's `__init__` says what one example is, and its `show` how examples are shown and saved:

    AXES                            names of the axes of one example
    RANGE                           of its values, (low, high); (None, None) for any
    range_of(spec)                  where it depends on the example: its range in place of that
    make_codec(spec) -> Codec       between the data's own units and what a network sees
    make_space(spec)                where there is one: the function condition -> Space, the part of R^n they live in,
                                    or None for all of it
    complete(spec, key, index, condition), COMPLETED
                                    where there are some: the condition of examples with what is drawn where it is not
                                    given, such as numbers of atoms, and its names
    retold(its, spec)               where it is needed: the function condition -> condition from what is known of
                                    examples of one specification to that on the scale of another
    show.describe(spec)             what one example is, in words, after a number of them
    show.SHOWN, show.BESIDE         how many examples a preview draws, and how many of the data stand beside them
    show.CHAIN                      how many examples the reverse process is shown of
    show.preview(spec, drawn, real) -> uint8 picture (height, width, channels)
    show.save_chain(folder, spec, frames, note) -> names of the files
    show.save_samples(folder, spec, drawn, real, note) -> names of the files

    measured.FEATURES               names of what its examples are compared by (`jaxdiff.evaluation.features`); the
                                    first are made of the values alone
    measured.values(spec, x)        these, (n, features)
    measured.ROUNDINGS              functions that round examples before they are compared, by name; the first is the
                                    default
    measured.beside(spec, x, real)  where there is one: a picture of examples (n, ...) beside their neighbors
                                    (n, k, ...)
    measured.shares(spec, drawn, real, held_out)
                                    where there are some: further figures by name, of each that is given

    given.read(path, spec)          of modalities that a task of several takes (`Pipeline.modality`): examples in
                                    files, (n, ...), in the data's own units, brought to a specification

There `drawn` and `real` are batches in the data's own units, with their conditions; `real` may be None. The frames,
(time, n, ...), are as the network sees them.
"""

import importlib
import json
import pkgutil
from collections.abc import Callable, Collection, Mapping, Sequence
from types import ModuleType
from typing import Any

from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian.process import Process, within
from jaxdiff.gaussian.space import Space
from jaxdiff.types import Codec, Condition, Key, Spec

__all__ = [
    "check",
    "check_alike",
    "complete",
    "completed",
    "find",
    "has_space",
    "in_space",
    "make_codec",
    "require",
    "retold",
]

TOLD = {"classes": "label", "speakers": "speaker", "text": "text"}
"""Details that say what a condition means."""
COUNTS = ("sizes", "lengths")
"""Details that say how often something was in the data."""


def find(modality: str, part: str = "") -> ModuleType:
    """The folder of a modality, or a part of it, such as "show".

    Raises:
      InputError: there is no such modality.
    """
    known = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    if modality not in known:
        raise unknown("modality", modality, known)
    return importlib.import_module(f"{__name__}.{modality}" + (f".{part}" if part else ""))


def check(spec: Spec) -> None:
    """Refuse a specification that is not one of its modality.

    Raises:
      InputError: another number of axes or another range than the modality has, levels without a range, or details
        that its codec cannot use.
    """
    kind = find(spec.modality)
    if len(spec.shape) != len(kind.AXES):
        raise InputError(f"shape={spec.shape}: an example of {spec.modality} has the axes ({', '.join(kind.AXES)})")
    low, high = kind.range_of(spec) if hasattr(kind, "range_of") else kind.RANGE
    if (spec.low, spec.high) != (low, high):
        raise InputError(f"low={spec.low}, high={spec.high}: those of {spec.modality} are {low} and {high}")
    if spec.levels is not None and spec.low is None:
        raise InputError(f"levels={spec.levels}: goes with a range, low and high: leave it out")
    kind.make_codec(spec)


def make_codec(spec: Spec) -> Codec:
    """The codec of examples of a specification."""
    return find(spec.modality).make_codec(spec)


def in_space(process: Process, spec: Spec) -> Process:
    """The process on the part of R^n that examples of a specification live in, where their modality has one."""
    space = _space_of(spec)
    return within(process, space) if space else process


def completed(spec: Spec) -> tuple[str, ...]:
    """The names of the conditions that `complete` draws."""
    return getattr(find(spec.modality), "COMPLETED", ()) if has_space(spec) else ()


def complete(spec: Spec, key: Key, index: Any, given: Any) -> Any:
    """What is known of examples, with what their modality draws of it where it is not given, such as their sizes.

    Args:
      index: the numbers of the examples, (n,), each of which draws from the key and its own.
    """
    if not completed(spec):
        return given
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"condition: examples of {spec.modality} have no classes: give what is known by name")
    return find(spec.modality).complete(spec, key, index, given or {})


def retold(its: Spec, spec: Spec) -> Callable[[Condition], Condition]:
    """From what is known of examples of one specification to that on the scale of another of the same modality."""
    kind = find(spec.modality)
    return kind.retold(its, spec) if hasattr(kind, "retold") else lambda condition: condition


def check_alike(what: str, its: Spec, ours: Spec, told: Collection[str]) -> None:
    """Refuse a network beside ours that sees examples in other units, or is told conditions of another meaning.

    Args:
      what: the network is, in words.
      told: the names of its conditions.
    """
    there, here = ({"modality": one.modality, "shape": one.shape, **one.details} for one in (its, ours))
    idle = {*COUNTS, *(detail for detail, name in TOLD.items() if name not in told)}
    names = sorted((there.keys() | here.keys()) - idle)
    if other := [name for name in names if json.dumps(there.get(name)) != json.dumps(here.get(name))]:
        raise InputError(f"{what}: is of other data ({', '.join(other)}): take one that was trained on data like ours")


def has_space(spec: Spec) -> bool:
    """Tell whether examples live in a part of R^n that their condition names, such as the mask of a set."""
    return _space_of(spec) is not None


def _space_of(spec: Spec) -> Callable[[Condition], Space] | None:
    make = getattr(find(spec.modality), "make_space", None)
    return make and make(spec)


def require(modality: str | Sequence[str], spec: Spec, what: str) -> None:
    """Refuse what only one modality has, or several, such as "train.augment=0.1", where the data is of another.

    Raises:
      InputError: the data is of another modality.
    """
    allowed = [modality] if isinstance(modality, str) else list(modality)
    if spec.modality not in allowed:
        raise InputError(
            f"{what}: is for {' and '.join(allowed)}, and this data is of the modality {spec.modality!r}: leave it out"
        )
