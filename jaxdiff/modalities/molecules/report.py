"""Report: how conformers that were drawn of a molecule compare with one that is known."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxdiff.geometry import structures
from jaxdiff.geometry.rigid import Points
from jaxdiff.modalities.molecules.graphs import Graph, make_graph, placed, rdkit
from jaxdiff.types import Array

__all__ = ["MATCHES", "errors", "figures", "neighbors", "summary"]

MATCHES = 1000
"""So many ways of numbering a symmetric molecule are tried for an RMSD."""
GRAIN = 32
THRESHOLDS = (0.5, 1.0)
"""Of the coverage, in Angstrom."""


def neighbors(bonds: np.ndarray) -> np.ndarray:
    """The triples a, o, b of atoms where a and b are bound to o, (triples, 3)."""
    beside: dict[int, list[int]] = {}
    for a, b in np.asarray(bonds).tolist():
        beside.setdefault(a, []).append(b)
        beside.setdefault(b, []).append(a)
    rows = [(a, o, b) for o, around in beside.items() for i, a in enumerate(around) for b in around[i + 1 :]]
    return np.array(rows, int).reshape(-1, 3)


def figures(molecule: Any, drawn: Sequence[np.ndarray]) -> dict[str, Any]:
    """The figures of conformers of one molecule.

    Args:
      molecule: of RDKit, heavy atoms alone, with the conformer that is known.
      drawn: positions (atoms, 3) of each, in Angstrom.

    Returns: "rmsd", (drawn,), to the known one, the least over the ways of numbering equal atoms; "bond" in Angstrom
      and "angle" in degrees, mean absolute differences; "hands" (kept, all) of the corners of stereocenters.
    """
    from rdkit.Chem import rdMolAlign

    graph: Graph = make_graph(molecule)
    x, known = np.stack(drawn), molecule.GetConformer().GetPositions()
    triples = neighbors(graph.bonds)
    difference = lambda measure, of: float(np.abs(_each(measure, x, of) - _each(measure, known[None], of)).mean())
    # GetBestRMS moves what it compares.
    each = [rdMolAlign.GetBestRMS(placed(molecule, one), rdkit().Mol(molecule), maxMatches=MATCHES) for one in drawn]
    kept = _each(structures.volumes, x, graph.centers) > 0
    return {
        "rmsd": np.array(each),
        "bond": difference(structures.lengths, graph.bonds),
        "angle": difference(structures.angles, triples) if len(triples) else 0.0,
        "hands": (int(kept.sum()), kept.size),
    }


def _each(measure: Callable[[Points, Points], Array], x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A measure of rows of atoms, padded to few sizes, as each size compiles anew."""
    atoms, count = (-(-size // GRAIN) * GRAIN for size in (x.shape[1], len(rows)))
    padded = np.pad(x, ((0, 0), (0, atoms - x.shape[1]), (0, 0))), np.pad(rows, ((0, count - len(rows)), (0, 0)))
    return np.asarray(measure(*padded))[:, : len(rows)]


def summary(every: Sequence[dict[str, Any]]) -> dict[str, float]:
    """COV and MAT over molecules, each with as many conformers, and the means of the other figures."""
    rmsds = np.stack([each["rmsd"] for each in every])
    kept, hands = np.sum([each["hands"] for each in every], axis=0)
    return {
        **{f"cov {t:g}": float(structures.coverage(rmsds, t)) for t in THRESHOLDS},
        "mat": float(structures.matching(rmsds)),
        "median": float(np.median(rmsds.min(1))),
        "rmsd": float(rmsds.mean()),
        "bond": float(np.mean([each["bond"] for each in every])),
        "angle": float(np.mean([each["angle"] for each in every])),
        "hands": float(kept / max(hands, 1)),
    }


def errors(every: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The standard errors, over molecules, of those figures of `summary` that are means of one figure of each."""
    rmsds = np.stack([each["rmsd"] for each in every])
    rows = {f"cov {t:g}": rmsds.min(1) < t for t in THRESHOLDS} | {"mat": rmsds.min(1), "rmsd": rmsds.mean(1)}
    rows |= {name: np.array([each[name] for each in every]) for name in ("bond", "angle")}
    return {name: float(row.std(ddof=1) / np.sqrt(len(row))) for name, row in rows.items()}
