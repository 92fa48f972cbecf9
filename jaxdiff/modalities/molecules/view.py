"""View: molecules as balls and sticks that can be turned with the mouse, in a notebook, by py3Dmol."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.molecules.chemistry import to_rdkit
from jaxdiff.modalities.molecules.graphs import rdkit
from jaxdiff.modalities.molecules.spec import SYMBOLS

__all__ = ["MOST", "are_molecules", "view"]

MOST, ACROSS, SIZE = 16, 4, 220
"""So many are shown, as many of them in a row at most, each so many pixels wide."""
STYLE = {"stick": {"radius": 0.12}, "sphere": {"scale": 0.25}}


def are_molecules(x: Any) -> bool:
    """Tell whether these are molecules: of RDKit, or arrays ([n,] atoms, 4) that begin with atomic numbers; or a list.

    Pictures of four channels lie in [-1, 1], and an atom beyond hydrogen has a number above 1.
    """
    if isinstance(x, (list, tuple)):
        return bool(x) and all(
            hasattr(one, "GetNumConformers") or (np.ndim(one) == 2 and are_molecules(one)) for one in x
        )
    if hasattr(x, "GetNumConformers"):
        return True
    x = np.asarray(x)
    if x.ndim not in (2, 3) or x.shape[-1] != 4 or x.dtype.kind != "f" or not x.size:
        return False
    number = x[..., 0]
    return bool((number == np.rint(number)).all() and number.min() >= 0 and 1 < number.max() < len(SYMBOLS))


def view(molecules: Any, columns: int | None = None) -> Any:
    """The first molecules in a view of py3Dmol, which a notebook shows by itself: all are turned at once.

    The notebook's browser loads 3Dmol.js from where py3Dmol says, so that it needs the network.

    Args:
      molecules: of RDKit, one or several, with coordinates; or (n, atoms, 4), or (atoms, 4) for one or for each of a
        list, atomic numbers and coordinates in Angstrom, whose bonds follow from distances.
      columns: of the view; four at most by default.

    Raises:
      InputError: py3Dmol or RDKit is not installed; or a molecule has no coordinates, or some that are not finite.
    """
    try:
        py3dmol = importlib.import_module("py3Dmol")
    except ImportError as error:
        raise InputError(
            "molecules are shown in notebooks by py3Dmol: pip install 'jaxdiff[molecules]'; pictures need none: "
            "jaxdiff sample writes figure.png"
        ) from error
    some = _of_rdkit(molecules)[:MOST]
    blocks = [_block(one, i) for i, one in enumerate(some, 1)]
    if columns is not None and columns < 1:
        raise InputError(f"columns={columns}: must be a whole number from 1")
    across = min(columns or ACROSS, len(blocks))
    down = -(-len(blocks) // across)
    shown = py3dmol.view(width=SIZE * across, height=SIZE * down, viewergrid=(down, across), linked=True)
    for i, block in enumerate(blocks):
        shown.addModel(block, "sdf", viewer=divmod(i, across))
    shown.setStyle(STYLE)
    shown.zoomTo()
    return shown


def _of_rdkit(molecules: Any) -> Sequence[Any]:
    if hasattr(molecules, "GetNumConformers"):
        return [molecules]
    if not are_molecules(molecules):
        raise InputError("molecules: must be of RDKit, or floating point ([n,] atoms, 4), atomic numbers and places")
    each = molecules if isinstance(molecules, (list, tuple)) or np.ndim(molecules) == 3 else [molecules]
    return [one if hasattr(one, "GetNumConformers") else to_rdkit(np.asarray(one)) for one in each[:MOST]]


def _block(molecule: Any, number: int) -> str:
    """A molecule as the block of an .sdf."""
    if not molecule.GetNumConformers():
        raise InputError(f"molecule {number} has no coordinates: embed it first, or draw some")
    if not np.isfinite(molecule.GetConformer().GetPositions()).all():
        raise InputError(f"molecule {number} has coordinates that are not finite: leave it out")
    return rdkit().MolToMolBlock(molecule)
