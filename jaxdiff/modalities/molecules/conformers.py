"""Conformers: heavy atoms of molecules in space, in Angstrom, each with its graph as a condition.

An example is (most, 3): the atoms' coordinates less their mean, then zeros. Its condition is the mask of the atoms that
are there and the features of `jaxdiff.modalities.molecules.graphs`.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdiff.data.numpy_file import member, names_in
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.molecules import ccd
from jaxdiff.modalities.molecules.graphs import (
    NODES,
    PAIRS,
    Graph,
    check_connected,
    check_solid,
    make_graph,
    rdkit,
    unpacked,
)
from jaxdiff.types import Batch, Condition, ConditionSpec, Spec

__all__ = ["Conformer", "condition_of", "conformer_spec", "conformers", "heavy_molecule", "read", "read_ccd", "told"]

logger = logging.getLogger(__name__)
SPLITS = ("all", "train", "test")
ARRAYS = ("atomic_numbers", "coordinates", "charges", "offsets", "bonds", "bond_orders", "bond_offsets")
SHORTEST, LONGEST = 0.7, 4.0
"""Of the median bond of a file in Angstrom."""


class Conformer(NamedTuple):
    """Positions (atoms, 3) of the heavy atoms of a molecule, in Angstrom, of mean 0, and its graph."""

    positions: np.ndarray
    graph: Graph


def conformers(path: str, split: str = "all", most: int = 24) -> Source:
    """Molecules with coordinates, of an .sdf, an .npz or the Chemical Component Dictionary.

    Args:
      path: an .sdf with three-dimensional coordinates; or an .npz whose arrays hold all molecules one after the other:
        atomic_numbers, coordinates (atoms, 3) and charges with offsets; bonds (bonds, 2) and bond_orders, 1 to 3, with
        bond_offsets; and test, which are held out. Or ccd:ATP,ADP or ccd:all, of an installed biotite.
      split: "all"; "test", those that the file says or a tenth of the scaffolds (Bemis and Murcko 1996); or "train".
      most: heavy atoms; larger molecules are left out, and so are those that RDKit cannot read, both with a word.

    Raises:
      InputError: the file cannot be read, is a drawing or not in Angstrom, or nothing in it can be used.
    """
    if split not in SPLITS:
        raise unknown("split of conformers", split, SPLITS)
    examples = [Conformer(_centered(molecule), graph) for molecule, graph in read(path, split, most)]
    if not examples:
        raise InputError(f"{path!r}: holds no molecule of 2 to {most} heavy atoms for split {split!r}: raise data.most")
    lengths = [np.linalg.norm(np.subtract(*e.positions[e.graph.bonds.T]), axis=1) for e in examples]
    middle = float(np.median(np.concatenate(lengths)))
    if not SHORTEST < middle < LONGEST:
        hint = "are they nanometers? multiply by 10" if 0.07 < middle < 0.3 else "scale them"
        raise InputError(
            f"{path!r}: the median bond is {middle:.3g} long, and coordinates have to be in Angstrom: {hint}"
        )

    def take(indices):
        chosen = [examples[i] for i in np.asarray(indices)]
        x_0 = np.stack([_padded(e.positions, most) for e in chosen])
        return Batch(x_0, condition_of([e.graph for e in chosen], most))

    return Source(len(examples), conformer_spec(most), take, told(most))


def conformer_spec(most: int) -> Spec:
    """At most so many heavy atoms in space, each known by its graph."""
    return Spec((most, 3), "molecules", details={"conformers": True, "nodes": NODES, "pairs": PAIRS})


def told(most: int) -> dict[str, ConditionSpec]:
    """What is known of each example: which atoms there are, and what of them and of their pairs."""
    shapes = {"mask": (most,), "nodes": (most, NODES), "pairs": (most, most, PAIRS)}
    return {name: ConditionSpec(shape, jnp.float32, None) for name, shape in shapes.items()}


def condition_of(graphs: Sequence[Graph], most: int) -> Condition:
    """The condition of a batch of graphs, each of at most `most` atoms: mask, nodes and pairs, float32."""
    there = [len(graph.nodes) for graph in graphs]
    mask = np.float32(np.arange(most) < np.array(there)[:, None])
    nodes = np.zeros((len(graphs), most, NODES), np.float32)
    pairs = np.zeros((len(graphs), most, most, PAIRS), np.float32)
    for i, (n, graph) in enumerate(zip(there, graphs, strict=True)):
        nodes[i, :n], pairs[i, :n, :n] = unpacked(graph)
    return {"mask": mask, "nodes": nodes, "pairs": pairs}


def read(path: str, split: str, most: int) -> Iterator[tuple[Any, Graph]]:
    """The molecules of a file that can be used, of one of its splits, and their graphs.

    They are those of RDKit, heavy atoms alone, with coordinates. How many are left out, and why, is logged.
    """
    if (codes := ccd.asked(path)) is not None:
        molecules = _from_ccd(codes, split, most)
    else:
        molecules = _from_npz(path, split, most) if Path(path).suffix == ".npz" else _from_sdf(path, split)
    left = {"larger than data.most": 0, "not to be read": 0}
    for molecule in molecules:
        if molecule is None:
            left["not to be read"] += 1
            continue
        if not 1 < molecule.GetNumAtoms() <= most:
            left["larger than data.most"] += 1
            continue
        x = molecule.GetConformer().GetPositions()
        if not np.isfinite(x).all():
            raise InputError(f"{path!r}: a molecule has coordinates that are not finite: mend the file")
        try:
            check_connected(molecule, "a molecule")
            graph = make_graph(molecule, "a molecule")
        except InputError as error:
            left[str(error)] = left.get(str(error), 0) + 1
        else:
            yield molecule, graph
    for reason, count in left.items():
        if count:
            logger.warning("%s: %d molecules are left out: %s", path, count, reason)


def read_ccd(code: str) -> Any:
    """The ligand of a code of the Chemical Component Dictionary, as of RDKit, at its ideal coordinates.

    Returns: its heavy atoms, with their hydrogens counted and its stereocenters as the coordinates say.

    Raises:
      InputError: what `ccd.component` refuses, or RDKit finds a valence wrong, or there are several parts.
    """
    molecule = _of_component(ccd.component(code))
    if molecule is None or not molecule.GetNumAtoms():
        raise InputError(f"CCD {code}: RDKit cannot read its valences, or it has no heavy atom: take another code")
    check_connected(molecule, f"CCD {code}")
    return molecule


def heavy_molecule(
    numbers: np.ndarray,
    x: np.ndarray,
    charges: np.ndarray,
    bonds: Iterable[tuple[int, int]],
    orders: Iterable[int],
    implicit: np.ndarray | int = 0,
) -> Any:
    """The heavy atoms of a molecule for RDKit, with their hydrogens counted and the stereocenters marked; or None.

    Args:
      numbers, x, charges: of all atoms, hydrogens among them: (atoms,), (atoms, 3), (atoms,).
      bonds, orders: numbers of atoms, and 1, 2 or 3; of another order there is no molecule.
      implicit: hydrogens beside those, of each atom.
    """
    chem = rdkit()
    kinds = {1: chem.BondType.SINGLE, 2: chem.BondType.DOUBLE, 3: chem.BondType.TRIPLE}
    if not set(orders := [int(order) for order in orders]) <= kinds.keys():
        return None
    heavy = np.flatnonzero(np.asarray(numbers) > 1)
    place = {int(old): new for new, old in enumerate(heavy)}
    molecule, hydrogens = chem.RWMol(), np.broadcast_to(implicit, len(numbers))[heavy].copy()
    for i in heavy:
        atom = chem.Atom(int(numbers[i]))
        atom.SetFormalCharge(int(charges[i]))
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for (a, b), order in zip(bonds, orders, strict=True):
        a, b = int(a), int(b)
        if a in place and b in place:
            molecule.AddBond(place[a], place[b], kinds[order])
        elif a in place or b in place:
            hydrogens[place.get(a, place.get(b))] += 1
    for atom, count in zip(molecule.GetAtoms(), hydrogens, strict=True):
        atom.SetNumExplicitHs(int(count))
    conformer = chem.Conformer(len(heavy))
    conformer.SetPositions(np.asarray(x, np.float64)[heavy])
    molecule.AddConformer(conformer)
    if chem.SanitizeMol(molecule, catchErrors=True):
        return None
    chem.AssignStereochemistryFrom3D(molecule)
    return molecule.GetMol()


def _centered(molecule: Any) -> np.ndarray:
    x = molecule.GetConformer().GetPositions()
    return (x - x.mean(0)).astype(np.float32)


def _padded(x: np.ndarray, most: int) -> np.ndarray:
    return np.pad(x, ((0, most - len(x)), (0, 0)))


def _from_npz(path: str, split: str, most: int) -> Iterator[Any]:
    try:
        place = str(Path(path).expanduser())
        arrays = {name: member(place, name, "of conformers") for name in ARRAYS}
        test = member(place, "test", "of conformers") if "test" in (names_in(place) or ()) else None
    except Exception as error:  # of a damaged file, NumPy, zipfile and zlib raise all kinds
        reason = " ".join(str(error).split())
        raise InputError(f"{path!r}: is no .npz with the arrays {', '.join(ARRAYS)} ({reason})") from error
    if split != "all" and test is None:
        raise InputError(f"{path!r}: has no array 'test' that says what is held out: add it, or take data.split='all'")
    _check_arrays(path, arrays, test)
    numbers, offsets, edges, larger = arrays["atomic_numbers"], arrays["offsets"], arrays["bond_offsets"], 0
    for i in range(len(offsets) - 1):
        if split != "all" and test is not None and bool(test[i]) != (split == "test"):
            continue
        atoms, bonds = slice(offsets[i], offsets[i + 1]), slice(edges[i], edges[i + 1])
        if (numbers[atoms] > 1).sum() > most:
            larger += 1
            continue
        x, charges = arrays["coordinates"][atoms], arrays["charges"][atoms]
        yield heavy_molecule(numbers[atoms], x, charges, arrays["bonds"][bonds], arrays["bond_orders"][bonds])
    if larger:
        logger.warning("%s: %d molecules are left out: larger than data.most", path, larger)


def _check_arrays(path: str, arrays: dict[str, np.ndarray], test: np.ndarray | None) -> None:
    """Refuse arrays that do not fit each other, and bonds that are none."""
    offsets, edges, bonds, orders = (arrays[name] for name in ("offsets", "bond_offsets", "bonds", "bond_orders"))
    n, atoms = max(offsets.size - 1, 0), arrays["atomic_numbers"].size
    whole = all(one.dtype.kind in "iu" for name, one in arrays.items() if name != "coordinates")
    rise = lambda ends, last: ends.ndim == 1 and ends[0] == 0 and ends[-1] == last and (np.diff(ends) >= 0).all()
    wanted = {"coordinates": (atoms, 3), "charges": (atoms,), "bonds": (orders.size, 2), "bond_offsets": (n + 1,)}
    fits = n and whole and all(arrays[name].shape == shape for name, shape in wanted.items())
    if not (fits and rise(offsets, atoms) and rise(edges, len(bonds)) and (test is None or test.shape == (n,))):
        raise InputError(
            f"{path!r}: the arrays do not fit each other: charges (atoms,) and coordinates (atoms, 3) are cut by "
            "offsets, bonds (bonds, 2) and bond_orders (bonds,) by bond_offsets, from 0 to the end; all but the "
            "coordinates are whole numbers; test is (molecules,)"
        )
    each = np.repeat(np.arange(n), np.diff(edges))
    ends = np.sort(bonds.astype(np.int64), axis=1)
    _, first = np.unique(np.column_stack([each, ends]), axis=0, return_index=True)
    bad = ~np.isin(orders, (1, 2, 3)) | (ends[:, 0] == ends[:, 1]) | (ends[:, 1] >= np.diff(offsets)[each])
    bad |= (ends[:, 0] < 0) | ~np.isin(np.arange(len(bonds)), first)
    if bad.any():
        i = int(np.argmax(bad))
        raise InputError(
            f"{path!r}: molecule {each[i] + 1} has a bond {bonds[i].tolist()} of order {orders[i]}: each is there once,"
            " of two numbers within the molecule, from 0 on, and of order 1, 2 or 3"
        )


def _of_component(one: ccd.Component) -> Any:
    return heavy_molecule(one.numbers, one.positions, one.charges, one.bonds, one.orders)


def _from_ccd(codes: Sequence[str], split: str, most: int) -> Iterator[Any]:
    """Entries that are no larger; of all of them, those that have carbon and whose places and elements are known."""
    fits = lambda one: (one.numbers > 1).sum() <= most and (one.numbers == 6).any() and one.numbers.all()
    chosen = ccd.components(codes) if not codes else map(ccd.component, codes)
    molecules = (_of_component(one) for one in chosen if codes or (fits(one) and np.isfinite(one.positions).all()))
    yield from _of_split(molecules, split)


def _from_sdf(path: str, split: str) -> Iterator[Any]:
    chem = rdkit()
    place = Path(path).expanduser()
    if not place.is_file():
        raise InputError(f"{path!r}: is no file: name an .sdf or an .npz of molecules")
    try:
        found = list(chem.SDMolSupplier(str(place), removeHs=False))
    except OSError as error:  # of an empty one
        raise InputError(f"{path!r} cannot be read as an .sdf: {' '.join(str(error).split())}") from error
    every = enumerate(found, 1)
    yield from _of_split((one and _of_sdf(chem, one, f"{path!r}: molecule {i}") for i, one in every), split)


def _of_split(every: Iterable[Any], split: str) -> Iterator[Any]:
    """All molecules, or those of a split: a tenth of the scaffolds is "test". None, which is none, is in both."""
    if split == "all":
        yield from every
        return
    chem, molecules = rdkit(), list(every)
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    scaffolds = [m and (MurckoScaffoldSmiles(mol=m) or chem.MolToSmiles(m, isomericSmiles=False)) for m in molecules]
    different = sorted({s for s in scaffolds if s})
    held = set(np.random.default_rng(0).permutation(different)[: -(-len(different) // 10)])
    yield from (m for m, s in zip(molecules, scaffolds, strict=True) if s is None or (s in held) == (split == "test"))


def _of_sdf(chem: Any, molecule: Any, what: str) -> Any:
    chem.Kekulize(molecule, clearAromaticFlags=True)
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()]
    orders = [int(b.GetBondTypeAsDouble()) for b in molecule.GetBonds()]
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    charges = np.array([atom.GetFormalCharge() for atom in molecule.GetAtoms()])
    if not molecule.GetNumConformers() or not set(orders) <= {1, 2, 3}:
        return None
    check_solid(molecule, what)
    implicit = np.array([atom.GetTotalNumHs() for atom in molecule.GetAtoms()])
    return heavy_molecule(numbers, molecule.GetConformer().GetPositions(), charges, bonds, orders, implicit)
