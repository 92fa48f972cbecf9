"""Show: molecules as balls and sticks, as .xyz and .sdf, and their figures."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.molecules import chemistry, files
from jaxdiff.modalities.molecules.bonds import orders
from jaxdiff.modalities.molecules.picture import draw, sheet
from jaxdiff.modalities.molecules.spec import SYMBOLS, make_codec
from jaxdiff.types import Batch, Spec

__all__ = ["at_moments", "describe", "side_by_side", "write", "xyz"]

logger = logging.getLogger(__name__)
ACROSS, DRAWN, REAL = 8, 24, 8


def describe(spec: Spec) -> str:
    """What an example is: "molecules of up to 23 atoms of H, C, N, O, S"."""
    if not spec.details:
        return f"sets of up to {spec.shape[0]} atoms"
    return f"molecules of up to {spec.shape[0]} atoms of {', '.join(SYMBOLS[z] for z in spec.details['elements'])}"


def side_by_side(drawn: Batch, real: Batch | None) -> Any:
    """A figure of molecules: three rows of those that were drawn, and below them one of the data."""
    ours, its = np.asarray(drawn.x_0)[:DRAWN], np.zeros((0, 1, 4)) if real is None else np.asarray(real.x_0)[:REAL]
    deep = -(-len(ours) // ACROSS)
    figure, axes = sheet(deep + (len(its) > 0), ACROSS if len(ours) >= ACROSS or len(its) else len(ours))
    for i, atoms in enumerate(ours):
        _ball_and_stick(axes[divmod(i, ACROSS)], atoms)
    for i, atoms in enumerate(its):
        _ball_and_stick(axes[deep, i], atoms)
    axes[0, 0].set_title("drawn", fontsize=8, loc="left")
    if len(its):
        axes[deep, 0].set_title("data", fontsize=8, loc="left")
    return figure


def at_moments(spec: Spec, frames: np.ndarray, moments: np.ndarray) -> Any:
    """A figure of the first examples at moments of the reverse process, each a row."""
    molecules = make_codec(spec).decode(np.asarray(frames)[moments])
    figure, axes = sheet(min(4, molecules.shape[1]), len(moments))
    for row, across in enumerate(axes):
        for column, at in enumerate(across):
            _ball_and_stick(at, molecules[column, row])
            if not row:
                at.set_title(f"state {moments[column]}", fontsize=8)
    return figure


def write(folder: Path, drawn: Batch) -> list[str]:
    """Write samples.xyz, and with RDKit samples.sdf and report.json, the figures; without, the stability alone."""
    molecules = np.asarray(drawn.x_0)
    (folder / "samples.xyz").write_text("".join(map(xyz, molecules)), encoding="utf-8")
    try:
        read, names = chemistry.read_all(molecules), ["report.json", "samples.xyz", "samples.sdf"]
    except InputError as error:
        logger.warning("%s: report.json says which atoms are stable alone, and no .sdf is written", error)
        read, names = None, ["report.json", "samples.xyz"]
    if read is None:
        found = chemistry.stability(molecules)
    else:
        files.write(folder / "samples.sdf", [one.molecule for one in read])
        found = chemistry.figures(molecules, read=read)
    found |= {"molecules": len(molecules), "valences of sulfur": "2, 4 or 6"}
    (folder / "report.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return names


def xyz(atoms: np.ndarray) -> str:
    """A molecule (atoms, 4) as a block of .xyz."""
    rows = [row for row in np.asarray(atoms, np.float64) if row[0] > 0]
    lines = [f"{SYMBOLS[int(z)]:2} {x:12.6f} {y:12.6f} {w:12.6f}" for z, x, y, w in rows]
    return "\n".join([str(len(rows)), "in Angstrom", *lines]) + "\n"


def _ball_and_stick(at: Any, atoms: np.ndarray) -> None:
    atoms = np.asarray(atoms, np.float64)
    atoms = atoms[atoms[:, 0] > 0]
    if not np.isfinite(atoms).all() or not len(atoms):
        return
    bonds = np.argwhere(np.triu(orders(atoms[:, 0], atoms[:, 1:])))
    draw(at, atoms[:, 1:], [SYMBOLS[int(z)] for z in atoms[:, 0]], bonds)
