"""Conformers: places of the atoms of a molecule that is given by its graph, by a model of configs/conformers.py."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities import require
from jaxdiff.modalities.molecules.conformers import condition_of
from jaxdiff.modalities.molecules.graphs import make_graph, placed, read_smiles
from jaxdiff.pipelines.model import Model
from jaxdiff.types import Key

__all__ = ["conformers"]


def conformers(model: Model, key: Key, smiles: str, n: int, batch: int = 64, **options: Any) -> Iterator[Any]:
    """Draw n conformers of a molecule, one RDKit molecule each, heavy atoms alone, in Angstrom.

    Atoms stand in the order of the SMILES, and `rdkit.Chem.AddHs(molecule, addCoords=True)` adds the hydrogens. The
    conformers are those of the graph and of the stereocenters that the SMILES marks; a network may miss some of these.

    Args:
      batch: how many are drawn at once; they are the same in any.
      **options: of `Model.stream`, such as steps, sampler and first.

    Raises:
      InputError: the SMILES is no molecule of one part, has an element that the model does not know or more heavy atoms
        than it takes; or the model is of another kind.
    """
    require("molecules", model.spec, f"SMILES {smiles}")
    if "conformers" not in model.spec.details:
        raise InputError("smiles: this model draws molecules, not conformers of one: train configs/conformers.py")
    molecule, most = read_smiles(smiles), model.spec.shape[0]
    atoms = molecule.GetNumAtoms()
    if not 1 < atoms <= most:
        raise InputError(f"SMILES {smiles!r}: has {atoms} heavy atoms, and this model takes 2 to {most}")
    given = condition_of([make_graph(molecule, f"SMILES {smiles!r}")], most)
    condition = {name: np.repeat(value, n, axis=0) for name, value in given.items()}
    for x in model.stream(key, n, batch, condition=condition, **options):
        yield from (placed(molecule, each[:atoms]) for each in x)
