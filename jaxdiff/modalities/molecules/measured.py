"""Measured: how molecules are compared with others: by what does not depend on how they lie in space."""

import itertools

import numpy as np

from jaxdiff.modalities.molecules import busted, chemistry
from jaxdiff.types import Spec

__all__ = ["FEATURES", "ROUNDINGS", "shares", "values"]

FEATURES = ("distances",)
ROUNDINGS = {"none": np.asarray}
PLACES = np.linspace(0.6, 4.6, 17)
CHECKED = 100
"""PoseBusters relaxes conformers of each: about half a second."""


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """Of molecules, the share of each element, and of each pair of elements bumps along its distances, an atom.

    Of conformers, whose elements are known, their sorted distances; without details, the numbers themselves.
    """
    x = np.asarray(x)
    if not spec.details:
        return x.reshape(len(x), -1).astype(np.float32)
    if "conformers" in spec.details:
        d = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)
        return np.sort(d.reshape(len(x), -1), axis=1).astype(np.float32)
    return np.stack([_of_molecule(spec.details["elements"], atoms) for atoms in x]).astype(np.float32)


def shares(
    spec: Spec, drawn: np.ndarray, real: np.ndarray | None, held_out: np.ndarray | None
) -> dict[str, dict[str, float]]:
    """How many molecules are stable, valid, connected, unique and novel, of those drawn and of those held out.

    Novel are those that are not among the real ones. Where PoseBusters is installed, the first `CHECKED` also pass its
    checks or not. Of conformers, nothing.
    """
    if "conformers" in spec.details:
        return {}
    known = None if real is None else [one.smiles for one in chemistry.read_all(real) if one.smiles]
    sets = {"samples": drawn} | ({} if held_out is None else {"held-out data": held_out})
    found = {who: chemistry.figures(molecules, known) for who, molecules in sets.items()}
    if of := busted.version():
        checked = {who: [one.molecule for one in chemistry.read_all(some[:CHECKED])] for who, some in sets.items()}
        found |= {f"{who}, the first {len(m)} by PoseBusters {of}": busted.busted(m) for who, m in checked.items()}
    return found


def _of_molecule(elements: list[int], atoms: np.ndarray) -> np.ndarray:
    atoms = np.asarray(atoms, np.float64)
    atoms = atoms[atoms[:, 0] > 0]
    apart = np.linalg.norm(atoms[:, None, 1:] - atoms[None, :, 1:], axis=-1)
    bumps = np.exp(-0.5 * ((apart[..., None] - PLACES) / (PLACES[1] - PLACES[0])) ** 2)
    bumps[np.eye(len(atoms), dtype=bool)] = 0
    kinds = (atoms[:, :1] == elements).astype(float)
    by_pair = np.einsum("ia,ijk,jb->abk", kinds, bumps, kinds) / len(atoms)
    pairs = [by_pair[a, b] for a, b in itertools.combinations_with_replacement(range(len(elements)), 2)]
    return np.concatenate([kinds.mean(0), *pairs])
