"""Conformers that a run draws of molecules that it never saw, beside those that need no training.

Each contender makes as many conformers of the same molecules, which are compared with the one that is known: coverage
and matching (COV, MAT), bonds, angles and hands (`jaxdiff.modalities.molecules.report`). The floor is what
`jaxdiff.modalities.molecules.embedding` makes, in equal numbers.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.molecules import busted, report
from jaxdiff.modalities.molecules.conformers import read
from jaxdiff.modalities.molecules.embedding import Places
from jaxdiff.modalities.molecules.graphs import make_graph, placed
from jaxdiff.pipelines.conformers import places
from jaxdiff.pipelines.model import Model
from jaxdiff.types import Key

__all__ = ["LABELS", "Contender", "chosen", "compare", "of_model", "table"]

Contender = Callable[[Sequence[Any], int], Places]
LABELS = {
    "etkdg": "ETKDGv3 of RDKit",
    "bounds": "distance geometry of RDKit, without torsions",
    "paths": "lengths of paths in the graph, nothing learned",
    "known": "the known conformers",
}
COLUMNS = {
    "cov 0.5": "COV 0.5 Å",
    "cov 1": "COV 1 Å",
    "mat": "MAT, Å",
    "median": "median, Å",
    "bond": "bonds, Å",
    "angle": "angles, °",
    "hands": "hands",
}


def chosen(path: str, split: str, most: int, n: int | None, seed: int) -> list[Any]:
    """Molecules of RDKit with their known conformers, n drawn at random, the same for all contenders, 100 by default.

    Raises:
      InputError: there are not as many, or fewer than 2.
    """
    every = [molecule for molecule, _ in read(path, split, most)]
    if not 2 <= (n or 2) <= len(every):
        raise InputError(f"--num {n}: there are {len(every):,} molecules of up to {most} heavy atoms in {path!r}")
    order = np.random.default_rng(seed).permutation(len(every))
    return [every[i] for i in order[: min(100, len(every)) if n is None else n]]


def of_model(model: Model, key: Key, batch: int, **options: Any) -> Contender:
    """Conformers by a model, of all molecules in batches; the options are those of `places`."""

    def make(molecules, each):
        graphs = [make_graph(molecule) for molecule in molecules for _ in range(each)]
        drawn = list(places(model, key, graphs, batch, **options))
        return [drawn[i : i + each] for i in range(0, len(drawn), each)]

    return make


def compare(
    molecules: Sequence[Any], each: int, contenders: Mapping[str, Contender], told: Callable[[str], object]
) -> tuple[dict[str, dict[str, Any]], dict[str, Places]]:
    """Let contenders make conformers, and compare these with the known ones.

    Args:
      told: is called with the name of each before it begins.

    Returns: by name, "figures" of those molecules of which it made as many as asked, {name: {"value", "error"}};
      "made", how many these are; "seconds" a conformer; and, with PoseBusters installed, "posebusters", the shares of
      the first conformers that pass its checks. And the conformers.
    """
    rows, drawn = {}, {}
    for name, make in contenders.items():
        told(name)
        begin = time.perf_counter()
        drawn[name] = make(molecules, each)
        seconds = (time.perf_counter() - begin) / (len(molecules) * each)
        made = [(m, x) for m, x in zip(molecules, drawn[name], strict=True) if x is not None]
        rows[name] = {"made": len(made), "seconds": seconds, "figures": {}}
        if len(made) > 1:
            every = [report.figures(molecule, x) for molecule, x in made]
            errors, found = report.errors(every), report.summary(every)
            if not sum(each["hands"][1] for each in every):
                del found["hands"]  # no molecule has a stereocenter
            rows[name]["figures"] = {key: {"value": v, "error": errors.get(key)} for key, v in found.items()}
            if busted.version():
                rows[name]["posebusters"] = busted.busted([placed(molecule, x[0]) for molecule, x in made])
    if busted.version():
        rows["known"] = {"made": len(molecules), "posebusters": busted.busted(molecules), "figures": {}}
    return rows, drawn


def table(rows: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a comparison, each figure with its standard error over molecules."""
    checked = f"PoseBusters {busted.version()}"
    heads, lines = ["", *COLUMNS.values(), checked, "made", "seconds"], []
    for name, row in rows.items():
        cells = [_about(row["figures"].get(key)) for key in COLUMNS]
        passed = f"{row['posebusters'][busted.ALL]:.2f}" if "posebusters" in row else ""
        seconds = f"{row['seconds']:.2g}" if "seconds" in row else ""
        lines.append([LABELS.get(name, name), *cells, passed, str(row["made"]), seconds])
    if not any("posebusters" in row for row in rows.values()):
        at = heads.index(checked)
        heads, lines = heads[:at] + heads[at + 1 :], [line[:at] + line[at + 1 :] for line in lines]
    return heads, lines


def _about(figure: Mapping[str, float | None] | None) -> str:
    if figure is None:
        return ""
    error = figure["error"]
    return f"{figure['value']:.3f}" + (f" ± {error:.3f}" if error is not None else "")
