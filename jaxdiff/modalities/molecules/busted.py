"""PoseBusters: whether molecules are plausible (Buttenschoen et al. 2024), where the package is installed.

Its checks of molecules alone: that RDKit and InChI read them, that they are of one part and have no radicals; lengths,
angles and distances within the bounds of distance geometry; flat rings and double bonds; and an energy that is not over
a hundred times that of conformers by RDKit.
"""

import importlib
import logging
from collections.abc import Sequence
from typing import Any

from jaxdiff.modalities.molecules.graphs import rdkit

__all__ = ["ALL", "busted", "version"]

ALL = "all checks passed"


def version() -> str | None:
    """The version of PoseBusters, or None where it is not installed."""
    try:
        return str(importlib.import_module("posebusters").__version__)
    except ImportError:
        return None


def busted(molecules: Sequence[Any]) -> dict[str, float]:
    """The share of molecules of RDKit that pass each of the checks, and `ALL` of them.

    Hydrogens that are counted alone are put where they belong first. Needs PoseBusters.
    """
    chem = rdkit()
    for name in ("posebusters", "rdkit"):  # a line for each molecule that fails
        logging.getLogger(name).setLevel(logging.ERROR)
    whole = [chem.AddHs(molecule, addCoords=True) for molecule in map(_known, molecules)]
    table = importlib.import_module("posebusters").PoseBusters("mol").bust(whole)
    passed = table.eq(True)  # a check that could not be made is not passed
    shares = {str(name).replace("_", " "): float(passed[name].mean()) for name in passed.columns}
    return {ALL: float(passed.all(axis=1).mean()), **shares}


def _known(molecule: Any) -> Any:
    """A copy whose valences are computed, though some may be wrong."""
    copy = rdkit().Mol(molecule)
    copy.UpdatePropertyCache(strict=False)
    return copy
