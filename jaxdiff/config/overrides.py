"""Overrides: fields and arguments that a command line sets in a configuration."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from jaxdiff.config.names import Part, Spec
from jaxdiff.config.parts import PARTS
from jaxdiff.config.schema import FIELDS, read
from jaxdiff.errors import InputError, unknown

__all__ = ["part_at", "put", "settled"]


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
    if "name" not in spec:
        place, known = ".".join(where), ", ".join(sorted(part.known))
        raise InputError(f"--config.{place}.{name}: nothing is named there: give --config.{place}.name, one of {known}")
    arguments = part.arguments(spec)
    if name not in arguments:
        raise unknown(f"argument of {part.kind} {spec['name']!r}", name, arguments)
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
    if spec.get("name") != before.get("name") and part.knows(spec.get("name")):
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
