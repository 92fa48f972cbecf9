"""Evaluate: samples against a reference, in one pass, as plain data with all that the figures depend on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdiff import __version__
from jaxdiff.errors import InputError, unknown
from jaxdiff.evaluation import statistics, store
from jaxdiff.evaluation.features import Features, digest
from jaxdiff.evaluation.frechet import distance
from jaxdiff.evaluation.measures import NEIGHBORS, floor, measured, moments_of, warnings
from jaxdiff.evaluation.sets import Examples
from jaxdiff.evaluation.statistics import Statistics
from jaxdiff.modalities import find

__all__ = ["How", "evaluate", "featured", "keyed", "reference_of"]

FEWEST = 12
"""Of samples and of reference examples: balls reach to the fifth neighbor, also where a tenth is left out."""
Rows = dict[str, dict[str, np.ndarray]]
"""By the name of the features: "features" and perhaps "logits"."""


class How(NamedTuple):
    """How to measure.

    Attributes:
      features: one or more kinds of them.
      rounding: of the values, before features are made.
      groups: of the jackknife; 0 for no intervals.
      seeds: of the floor; 0 for none.
      extrapolate: the Fréchet distance, to infinitely many samples.
      seed: of all that is drawn to measure.
    """

    features: Sequence[Features]
    rounding: str
    groups: int = 10
    seeds: int = 5
    extrapolate: bool = False
    seed: int = 0


def featured(
    examples: Examples, how: How, above: Path, told: Callable[[int], object] = lambda done: None
) -> tuple[Rows, dict[str, Any]]:
    """Features of all examples, in files in a folder of their own below `above`, and what they are of.

    Where the files are, nothing is computed; where some rows are, it goes on from there.

    Raises:
      InputError: an unknown rounding; some examples are not finite; or what `Examples.batches` and the features refuse.
    """
    names = [f.name for f in how.features]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"features: two of them are named {twice[0]!r}, as their figures would be: leave one out")
    kind = find(examples.spec.modality, "measured")
    if how.rounding not in kind.ROUNDINGS:
        raise unknown("--rounding", how.rounding, kind.ROUNDINGS)
    whole = {**examples.told, "size": examples.size, "rounding": how.rounding}
    folder = above / digest({"of": whole, "features": {f.name: dict(f.told) for f in how.features}})

    def batches(start: int) -> Iterator[dict[str, np.ndarray]]:
        for x in examples.batches(start):
            if lost := int((~np.isfinite(kind.values(examples.spec, x))).any(1).sum()):
                raise InputError(f"{examples.told.get('name', 'samples')}: {lost} of {len(x)} examples are not finite")
            x = kind.ROUNDINGS[how.rounding](x)
            made = {f.name: f.apply(x) for f in how.features}
            yield {f"{name}.{part}": np.asarray(v) for name, parts in made.items() for part, v in parts.items()}

    files = store.fill(folder, examples.size, batches, [f"{f.name}.features" for f in how.features], told)
    rows: Rows = {f.name: {} for f in how.features}
    for name, values in files.items():
        kind_of, _, part = name.rpartition(".")
        rows[kind_of][part] = values
    return rows, whole


def reference_of(examples: Examples, how: How, cache: Path) -> dict[str, Statistics]:
    """The statistics of a reference, which are kept in a cache by what it holds."""
    rows, told = featured(examples, how, cache)
    return {name: statistics.of_rows(parts, told) for name, parts in rows.items()}


def evaluate(
    samples: Examples,
    reference: Mapping[str, Statistics],
    held_out: Examples | None,
    how: How,
    folder: Path,
    cache: Path,
    told: Callable[[int], object] = lambda done: None,
) -> dict[str, Any]:
    """Measure samples.

    Args:
      reference: by the names of the features.
      held_out: real examples that are not in the reference: what the floor is measured on.
      folder: for the samples' features; `cache` for those of held-out data.
      told: is called with the number of samples that are done.

    Returns: plain data: "samples", "reference", "held_out", "features": what they are; "figures": by keys such as
    "fd_pixels"; "floor": by features; "warnings".

    Raises:
      InputError: too few examples, more groups than samples, or a reference of other features.
    """
    if how.groups > max(samples.size, FEWEST):
        raise InputError(f"--intervals {how.groups}: there are {samples.size} samples to be parted: take fewer groups")
    rows, about = featured(samples, how, folder, told)
    others, about_others = featured(held_out, how, cache) if held_out else ({}, None)
    result: dict[str, Any] = {
        "jaxdiff": __version__,
        "samples": about,
        "reference": dict(next(iter(reference.values())).told),
        "held_out": about_others,
        "features": {f.name: dict(f.told) for f in how.features},
        "compared_one_by_one": NEIGHBORS,
        "figures": {},
        "floor": {},
        "warnings": [],
    }
    for name, ours in rows.items():
        its, width = reference[name], ours["features"].shape[1]
        if len(its.moments.mean) != width:
            raise InputError(f"reference: has {len(its.moments.mean)} features, and {name!r} has {width}: not the same")
        if (fewest := min(len(ours["features"]), its.moments.count if its.rows else FEWEST)) < FEWEST:
            raise InputError(f"{fewest} examples: figures need {FEWEST} samples and reference examples at least")
        real = others[name]["features"] if others else None
        known = its.moments.count if its.rows else width + 1
        result["warnings"] += [f"{name}: {line}" for line in warnings(len(ours["features"]), known, width)]
        if not its.rows:
            found = {"fd": {"value": distance(moments_of(ours["features"]), its.moments)}}
        else:
            few = [] if real is None else _of_some(name, its)
            result["warnings"] += few
            found = measured(ours, its.rows, None if few else real, how.seed, how.groups, how.extrapolate, its.moments)
            others_there = its.moments.count // 2 if real is None else len(real)
            if how.seeds and others_there < FEWEST:
                result["warnings"].append(f"{name}: {others_there} real examples in place of samples: no floor is told")
            elif how.seeds:
                result["floor"][name] = floor(ours["features"], its.rows["features"], real, how.seeds)
        result["figures"] |= {keyed(figure, name): value for figure, value in found.items()}
    return result


def _of_some(name: str, its: Statistics) -> list[str]:
    """The reason why statistics tell no memorization, if they hold rows of some examples only."""
    there = len(its.rows["features"])
    if there == its.moments.count:
        return []
    return [
        f"{name}: the statistics hold {there:,} of {its.moments.count:,} examples, and copies of the others would be "
        "missed: no memorization is told; give the examples themselves as --reference"
    ]


def keyed(figure: str, features: str) -> str:
    """The key of a figure: "fd_pixels"."""
    return f"{figure}_{features}"
