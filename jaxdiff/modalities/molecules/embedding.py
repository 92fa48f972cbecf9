"""Embedding: conformers without a trained model, which stand beside those of one.

    etkdg    RDKit's ETKDGv3 (Wang et al. 2020), with hydrogens, which are then left out
    bounds   RDKit's distance geometry, without torsions and rings known from crystals
    paths    lengths of the shortest paths through the bonds, each the sum of two radii, to the power 0.9, times
             1 + 3.5 % of noise (the mean of two of 5 %); three dimensions of them by classical scaling, of the hand
             that keeps more stereocenters

Each takes molecules of RDKit without hydrogens, whose stereocenters are marked, and gives for each as many arrays
(atoms, 3), in Angstrom, or None where it finds none.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdiff.geometry import structures
from jaxdiff.modalities.molecules.graphs import make_graph, rdkit

__all__ = ["EMBEDDINGS", "Places", "bounds", "etkdg", "paths"]

POWER, NOISE = 0.9, 0.05
Places = Sequence[Sequence[np.ndarray] | None]


def etkdg(molecules: Sequence[Any], each: int, seed: int = 0) -> Places:
    """Conformers by ETKDGv3."""
    return _embedded(molecules, each, seed, _all_chem().ETKDGv3())


def bounds(molecules: Sequence[Any], each: int, seed: int = 0) -> Places:
    """Conformers by distance geometry alone, of the right hand."""
    parameters = _all_chem().EmbedParameters()
    parameters.enforceChirality = True
    return _embedded(molecules, each, seed, parameters)


def paths(molecules: Sequence[Any], each: int, seed: int = 0) -> Places:
    """Conformers by lengths of paths through the graph."""
    rng = np.random.default_rng(seed)
    found: list[list[np.ndarray] | None] = []
    for molecule in molecules:
        apart, centers = _path_lengths(molecule) ** POWER, make_graph(molecule).centers
        found.append([_scaled(apart, centers, rng) for _ in range(each)])
    return found


EMBEDDINGS = {"etkdg": etkdg, "bounds": bounds, "paths": paths}


def _all_chem() -> Any:
    rdkit()
    return importlib.import_module("rdkit.Chem.AllChem")


def _embedded(molecules: Sequence[Any], each: int, seed: int, parameters: Any) -> Places:
    """Of each molecule, conformers by RDKit, or None where it finds fewer."""
    chem, all_chem, found = rdkit(), _all_chem(), []
    parameters.randomSeed = seed + 1  # of 0 RDKit makes all alike
    for molecule in molecules:
        whole = chem.AddHs(chem.Mol(molecule, True))
        numbers = list(all_chem.EmbedMultipleConfs(whole, each, parameters))
        heavy = [atom.GetIdx() for atom in whole.GetAtoms() if atom.GetAtomicNum() > 1]
        found.append([whole.GetConformer(i).GetPositions()[heavy] for i in numbers] if len(numbers) == each else None)
    return found


def _path_lengths(molecule: Any) -> np.ndarray:
    """The lengths of the shortest paths between atoms, (atoms, atoms), in Angstrom (Floyd and Warshall)."""
    table, n = rdkit().GetPeriodicTable(), molecule.GetNumAtoms()
    radius = [table.GetRcovalent(atom.GetAtomicNum()) for atom in molecule.GetAtoms()]
    apart = np.full((n, n), np.inf)
    np.fill_diagonal(apart, 0)
    for bond in molecule.GetBonds():
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        apart[a, b] = apart[b, a] = radius[a] + radius[b]
    for k in range(n):
        apart = np.minimum(apart, apart[:, k : k + 1] + apart[k])
    return apart


def _scaled(apart: np.ndarray, centers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Places whose distances are nearly these, with noise."""
    n = len(apart)
    noise = 1 + NOISE * rng.normal(size=(n, n))
    squares = (apart * (noise + noise.T) / 2) ** 2
    middle = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * middle @ squares @ middle)
    x = vectors[:, -3:] * np.sqrt(np.maximum(values[-3:], 0))
    x = np.pad(x, ((0, 0), (0, 3 - x.shape[1])))
    kept = np.asarray(structures.volumes(x, centers)) > 0
    return x if kept.sum() * 2 >= kept.size else -x
