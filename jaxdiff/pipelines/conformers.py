"""Conformers: places of the atoms of a molecule that is given by its graph, by a model of configs/conformers.py."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.guidance.hands import handed
from jaxdiff.modalities import require
from jaxdiff.modalities.molecules.conformers import condition_of
from jaxdiff.modalities.molecules.graphs import Graph, check_connected, make_graph, placed, read_smiles
from jaxdiff.pipelines.hooks import PLAIN, Hooks, Inputs
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite
from jaxdiff.types import Key

__all__ = ["conformers", "places"]

GRAIN = 4
"""Stereocenters are padded to multiples of it, as each number compiles anew."""
HANDED = Hooks(guide=lambda process, denoiser, inputs: handed(process, denoiser, inputs.each["centers"]))


def conformers(model: Model, key: Key, of: Any, n: int, batch: int = 64, **options: Any) -> Iterator[Any]:
    """Draw n conformers of a molecule, one RDKit molecule each, heavy atoms alone, in Angstrom.

    Atoms stand in the order of what is given, and `rdkit.Chem.AddHs(molecule, addCoords=True)` adds the hydrogens.

    Args:
      of: a SMILES; or a molecule of RDKit without hydrogens, whose stereocenters are marked, as of
        `jaxdiff.modalities.molecules.conformers.read_ccd`.
      batch: how many are drawn at once; they are the same in any.
      **options: as of `places`.

    Raises:
      InputError: the SMILES is no molecule of one part, has an element that the model does not know or more heavy atoms
        than it takes; or the model is of another kind.
    """
    what = f"SMILES {of!r}" if isinstance(of, str) else "the molecule"
    require("molecules", model.spec, what)
    if "conformers" not in model.spec.details:
        raise InputError(f"{what}: this model draws molecules, not conformers of one: train configs/conformers.py")
    molecule, most = read_smiles(of) if isinstance(of, str) else of, model.spec.shape[0]
    check_connected(molecule, what)
    atoms = molecule.GetNumAtoms()
    if not 1 < atoms <= most:
        raise InputError(f"{what}: has {atoms} heavy atoms, and this model takes 2 to {most}")
    graph = make_graph(molecule, what)
    for x in places(model, key, [graph] * n, batch, **options):
        yield placed(molecule, x)


def places(
    model: Model, key: Key, graphs: Sequence[Graph], batch: int = 64, hands: bool = True, first: int = 0, **options: Any
) -> Iterator[np.ndarray]:
    """Draw the places of the atoms, (atoms, 3), of each graph in turn.

    Args:
      hands: whether stereocenters are led to the hand that the graph says (`jaxdiff.guidance.hands`).
      first: number of the first example among those of the key.
      **options: of `Model.sample`, such as steps and sampler.
    """
    most, n = model.spec.shape[0], len(graphs)
    count = -(-max([1, *(len(graph.centers) for graph in graphs)]) // GRAIN) * GRAIN
    batch = min(n, batch)
    for i in range(0, n, batch):
        some = [graphs[k % n] for k in range(i, i + batch)]
        centers = np.zeros((batch, count, 4), np.int32)
        for row, graph in zip(centers, some, strict=True):
            row[: len(graph.centers)] = graph.centers
        led = {"hooks": HANDED, "inputs": Inputs(each={"centers": jnp.asarray(centers)})} if hands else {"hooks": PLAIN}
        given = {"condition": condition_of(some, most), "first": first + i, **led, **options}
        x = finite(np.asarray(model.trajectory(key, batch, 0, **given)[0])[: n - i], f"conformers {i} and after")
        yield from (place[: len(graph.nodes)] for place, graph in zip(x, some, strict=False))
