"""Figures of molecules: stable, valid, connected, unique, novel. RDKit reads them by bonds from their distances."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxdiff.modalities.molecules.bonds import orders, stable_atoms
from jaxdiff.modalities.molecules.graphs import placed, rdkit

__all__ = ["Read", "figures", "read_all", "stability", "to_rdkit"]

KINDS = {1: "SINGLE", 2: "DOUBLE", 3: "TRIPLE"}


class Read(NamedTuple):
    """What RDKit makes of one molecule.

    Attributes:
      molecule: with all atoms and bonds, sanitized where that is possible.
      smiles: of its largest part, canonical; None if RDKit finds a valence wrong.
      parts: how many there are that no bond connects.
    """

    molecule: Any
    smiles: str | None
    parts: int


def to_rdkit(atoms: np.ndarray) -> Any:
    """The RDKit molecule of (atoms, 4), atomic number and coordinates in Angstrom, with bonds from its distances."""
    chem = rdkit()
    atoms = np.asarray(atoms, np.float64)
    atoms = atoms[atoms[:, 0] > 0]
    bonds, molecule = orders(atoms[:, 0], atoms[:, 1:]), chem.RWMol()
    for number in atoms[:, 0]:
        atom = chem.Atom(int(number))
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for a, b in zip(*np.nonzero(np.triu(bonds)), strict=True):
        molecule.AddBond(int(a), int(b), getattr(chem.BondType, KINDS[int(bonds[a, b])]))
    return placed(molecule.GetMol(), atoms[:, 1:])


def read_all(molecules: np.ndarray) -> list[Read]:
    """Read molecules (n, atoms, 4)."""
    chem = rdkit()
    found = []
    for atoms in molecules:
        molecule = to_rdkit(atoms)
        parts = chem.GetMolFrags(molecule)
        valid = not chem.SanitizeMol(molecule, catchErrors=True)
        smiles = None
        if valid:
            largest = max(chem.GetMolFrags(molecule, asMols=True), key=lambda part: part.GetNumAtoms())
            smiles = chem.MolToSmiles(chem.RemoveHs(largest))
        found.append(Read(molecule, smiles, len(parts)))
    return found


def stability(molecules: np.ndarray) -> dict[str, float]:
    """The shares of atoms and of molecules that are stable (`jaxdiff.modalities.molecules.bonds`)."""
    molecules = np.asarray(molecules)
    there = molecules[..., 0] > 0
    stable = stable_atoms(molecules[..., 0], molecules[..., 1:])
    return {
        "atoms stable": float(stable.sum() / there.sum()),
        "molecules stable": float((stable | ~there).all(-1).mean()),
    }


def figures(
    molecules: np.ndarray, known: Collection[str] | None = None, read: Sequence[Read] | None = None
) -> dict[str, float]:
    """The figures of molecules (n, atoms, 4), shares of all of them but for the last two.

    Args:
      known: SMILES of the data of training, for novelty.
      read: what `read_all` made of them, if that is known.

    Returns: besides `stability`, "valid", by RDKit's rules of valence; "valid and connected", those of one part;
      "unique", different ones among the valid; and with `known`, "novel", those of the unique that are not in there.
    """
    read = read_all(molecules) if read is None else read
    smiles = [one.smiles for one in read if one.smiles is not None]
    whole = [one for one in read if one.smiles is not None and one.parts == 1]
    different = set(smiles)
    found = stability(molecules) | {
        "valid": len(smiles) / len(read),
        "valid and connected": len(whole) / len(read),
        "unique": len(different) / max(len(smiles), 1),
    }
    if known is not None:
        found["novel"] = len(different - set(known)) / max(len(different), 1)
    return found
