"""Files of molecules: .sdf, .pdb and .xyz, of RDKit molecules with coordinates in Angstrom."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdiff.errors import unknown
from jaxdiff.modalities.molecules.graphs import rdkit

__all__ = ["SUFFIXES", "check_suffix", "write"]

SUFFIXES = (".pdb", ".sdf", ".xyz")


def check_suffix(path: Path) -> None:
    """Refuse a file of a kind that is not written.

    Raises:
      InputError: its suffix is none of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise unknown("suffix of a file of molecules", path.suffix, SUFFIXES)


def write(path: Path, molecules: Sequence[Any]) -> None:
    """Write molecules, each with its one conformer, one after the other: in a .pdb as models.

    Raises:
      InputError: another suffix than `SUFFIXES`.
    """
    check_suffix(path)
    chem = rdkit()
    if path.suffix == ".xyz":
        path.write_text("".join(chem.MolToXYZBlock(molecule) for molecule in molecules))
        return
    if path.suffix == ".pdb":
        blocks = [chem.MolToPDBBlock(molecule).replace("END\n", "") for molecule in molecules]
        models = [f"MODEL {i:8d}\n{block}ENDMDL\n" for i, block in enumerate(blocks, 1)]
        path.write_text("".join(models) + "END\n")
        return
    with chem.SDWriter(str(path)) as out:
        for molecule in molecules:
            out.write(molecule)
