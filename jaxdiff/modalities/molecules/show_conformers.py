"""Show: conformers as balls and sticks, those that were drawn above those of the data, and as .sdf."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.geometry.rigid import align
from jaxdiff.modalities.molecules import files
from jaxdiff.modalities.molecules.graphs import bonds_of, elements_of, molecule_of
from jaxdiff.modalities.molecules.picture import draw, sheet, turned
from jaxdiff.types import Batch, Spec

__all__ = ["at_moments", "beside", "describe", "gallery", "rendered", "side_by_side", "write"]

MOST, ACROSS = 16, 8


def describe(spec: Spec) -> str:
    """What an example is: "conformers of up to 24 heavy atoms"."""
    return f"conformers of up to {spec.shape[0]} heavy atoms"


def side_by_side(drawn: Batch, real: Batch | None) -> Any:
    """A figure of conformers, each beside that of the data, where there is one, turned alike."""
    told = drawn.condition or {}
    n = min(MOST, len(drawn.x_0))
    deep = 1 if real is None else 2
    rows = -(-n // ACROSS)
    figure, axes = sheet(deep * rows, min(ACROSS, n))
    for i in range(n):
        row, column = divmod(i, ACROSS)
        there = np.asarray(told["mask"][i]) > 0
        symbols, bonds = elements_of(np.asarray(told["nodes"][i])[there]).tolist(), bonds_of(told["pairs"][i])
        x = np.asarray(drawn.x_0[i])[there]
        if not np.isfinite(x).all():
            continue
        if real is not None:
            wanted = turned(np.asarray(real.x_0[i])[there])
            draw(axes[deep * row + 1, column], wanted, symbols, bonds)
            x = np.asarray(align(x, wanted))
        else:
            x = turned(x)
        draw(axes[deep * row, column], x, symbols, bonds)
    return figure


def gallery(molecules: Sequence[Any]) -> Any:
    """A figure of conformers of one molecule, each laid onto the first."""
    shown = molecules[:MOST]
    figure, axes = sheet(-(-len(shown) // ACROSS), min(ACROSS, len(shown)))
    symbols = [atom.GetSymbol() for atom in shown[0].GetAtoms()]
    bonds = _bonds(shown[0])
    first = turned(shown[0].GetConformer().GetPositions())
    for at, one in zip(axes.reshape(-1), shown, strict=False):
        draw(at, np.asarray(align(one.GetConformer().GetPositions(), first)), symbols, bonds)
    return figure


def beside(molecules: Sequence[Any], drawn: Sequence[Sequence[np.ndarray]], rows: int = 6) -> Any:
    """A figure of the known conformer, first in each row, and those drawn, laid onto it: of molecules of all sizes.

    Args:
      molecules: of RDKit, heavy atoms alone.
      drawn: places (atoms, 3), as many of each.
    """
    order = np.argsort([m.GetNumAtoms() for m in molecules], kind="stable")
    chosen = order[np.linspace(0.2 * len(order), len(order) - 1, min(rows, len(order))).astype(int)]
    figure, axes = sheet(len(chosen), 1 + len(drawn[0]))
    for row, i in zip(axes, chosen, strict=True):
        symbols, bonds = [atom.GetSymbol() for atom in molecules[i].GetAtoms()], _bonds(molecules[i])
        known = turned(molecules[i].GetConformer().GetPositions())
        draw(row[0], known, symbols, bonds)
        for at, x in zip(row[1:], drawn[i], strict=True):
            draw(at, np.asarray(align(x, known)), symbols, bonds)
    return figure


def _bonds(molecule: Any) -> np.ndarray:
    return np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()], int).reshape(-1, 2)


def rendered(figure: Any) -> np.ndarray:
    """The picture of a figure, uint8 (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def at_moments(frames: np.ndarray, moments: np.ndarray) -> Any:
    """A figure of the atoms of the first examples at moments of the reverse process, as points."""
    count = min(4, frames.shape[1])
    figure, axes = sheet(count, len(moments))
    for row in range(count):
        for at, moment in zip(axes[row], moments, strict=True):
            x = frames[moment, row]
            x = x[np.any(x != 0, axis=-1)]
            at.scatter(x[:, 0], x[:, 1], 12, "#565656")
            at.set_aspect("equal")
            if not row:
                at.set_title(f"state {moment}", fontsize=8)
    return figure


def write(folder: Path, drawn: Batch) -> list[str]:
    """Write samples.sdf: all conformers, with the bonds of the graphs that they were drawn for."""
    told = drawn.condition or {}
    molecules = []
    for x, mask, nodes, pairs in zip(drawn.x_0, told["mask"], told["nodes"], told["pairs"], strict=True):
        n = int(np.sum(mask))
        molecules.append(molecule_of(np.asarray(nodes)[:n], np.asarray(pairs)[:n, :n], np.asarray(x)[:n]))
    files.write(folder / "samples.sdf", molecules)
    return ["samples.sdf"]
