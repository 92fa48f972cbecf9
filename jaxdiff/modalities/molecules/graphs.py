"""Graphs: what is known of a molecule without its coordinates, as arrays for a network. Needs RDKit.

    nodes    (atoms, NODES)           element, charge, hydrogens, degree, hybridization, aromatic, sizes of its rings
    pairs    (atoms, atoms, PAIRS)    kind of bond, bonds between them, same ring, cis or trans, and, in the row of a
                                      stereocenter, the place of each of its neighbors

all of them 0 or 1. Hydrogens are counted, not drawn. The neighbors of a stereocenter o are put in an order a, b, c (and
d) in which the signed volume `(a - o) · (b - o) x (c - o)` is positive: by their canonical ranks, less two that change
places. So the hand of a molecule is told by the graph, whatever the numbers of its atoms are.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxdiff.errors import InputError

__all__ = [
    "ELEMENTS",
    "NODES",
    "PAIRS",
    "Graph",
    "bonds_of",
    "check_connected",
    "check_solid",
    "elements_of",
    "make_graph",
    "molecule_of",
    "placed",
    "rdkit",
    "read_smiles",
    "unpacked",
]

ELEMENTS = ("C", "N", "O", "F", "P", "S", "Cl", "Br", "I", "B")
CHARGES = (-2, -1, 0, 1, 2)
HYDROGENS, DEGREES, RINGS, STEPS = 5, 7, (3, 4, 5, 6, 7, 8), 8
HYBRIDS = ("SP", "SP2", "SP3")
BONDS = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
NODES = len(ELEMENTS) + len(CHARGES) + HYDROGENS + DEGREES + len(HYBRIDS) + 1 + len(RINGS)
PAIRS = len(BONDS) + STEPS + 1 + 2 + 4
AT = {"same ring": len(BONDS) + STEPS, "cis": len(BONDS) + STEPS + 1, "place": len(BONDS) + STEPS + 3}


class Graph(NamedTuple):
    """A molecule without its coordinates.

    Attributes:
      nodes, pairs: as above, each row of features packed into bytes (`unpacked`).
      bonds: (bonds, 2), numbers of atoms.
      centers: (corners, 4), the numbers of o and three neighbors, of positive volume: one of a stereocenter with three
        neighbors, four of one with four.
    """

    nodes: np.ndarray
    pairs: np.ndarray
    bonds: np.ndarray
    centers: np.ndarray


def rdkit() -> Any:
    """The package `rdkit.Chem`, which says nothing on stderr.

    Raises:
      InputError: it is not installed.
    """
    try:
        from rdkit import Chem, RDLogger
    except ImportError as error:
        raise InputError("molecules need RDKit: pip install 'jaxdiff[molecules]'") from error
    RDLogger.DisableLog("rdApp.*")  # pyright: ignore[reportAttributeAccessIssue]
    return Chem


def read_smiles(smiles: str) -> Any:
    """The molecule of a SMILES, without hydrogens.

    Raises:
      InputError: it is none, has no atom, or more than one part.
    """
    chem = rdkit()
    shown = smiles if len(smiles) < 80 else smiles[:76] + " ..."
    molecule = chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise InputError(f"SMILES {shown!r}: is no molecule that RDKit can read: mend it")
    check_connected(molecule, f"SMILES {shown!r}")
    return molecule


def check_connected(molecule: Any, what: str) -> None:
    """Refuse a molecule of several parts, whose places relative to each other its graph says nothing of."""
    parts = len(rdkit().GetMolFrags(molecule))
    if parts != 1:
        raise InputError(f"{what}: has {parts} parts that no bond connects: give one molecule, without salts or water")


def check_solid(molecule: Any, what: str) -> None:
    """Refuse the record of a drawing, which says that its coordinates are those of a picture ("2D")."""
    record = molecule.GetProp("_MolFileInfo") if molecule.HasProp("_MolFileInfo") else ""
    if record[20:22].upper() == "2D" and not molecule.GetConformer().Is3D():
        raise InputError(f"{what}: has coordinates of a drawing (2D in its record): give some in space")


def make_graph(molecule: Any, what: str = "the molecule") -> Graph:
    """The graph of an RDKit molecule without hydrogens, whose stereocenters are marked.

    Args:
      what: it is, for the error.

    Raises:
      InputError: an element or a charge that the features have no place for.
    """
    n = molecule.GetNumAtoms()
    nodes = np.zeros((n, NODES), bool)
    for i, atom in enumerate(molecule.GetAtoms()):
        nodes[i, list(_features(atom, what))] = True
    pairs = np.zeros((n, n, PAIRS), bool)
    bonds = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()], int).reshape(-1, 2)
    for (a, b), bond in zip(bonds, molecule.GetBonds(), strict=True):
        if (kind := str(bond.GetBondType())) not in BONDS:
            raise InputError(f"{what}: atoms {a + 1} and {b + 1}: a bond of kind {kind}: known are {', '.join(BONDS)}")
        pairs[a, b, BONDS.index(kind)] = pairs[b, a, BONDS.index(kind)] = True
        if (stereo := str(bond.GetStereo())) in ("STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS"):
            first, last = bond.GetStereoAtoms()
            side = AT["cis"] + (stereo in ("STEREOE", "STEREOTRANS"))
            pairs[first, last, side] = pairs[last, first, side] = True
    apart = np.minimum(rdkit().GetDistanceMatrix(molecule).astype(int), STEPS)
    rows, columns = np.nonzero(apart)
    pairs[rows, columns, len(BONDS) + apart[rows, columns] - 1] = True
    for ring in molecule.GetRingInfo().AtomRings():
        pairs[np.ix_(ring, ring)] |= np.arange(PAIRS) == AT["same ring"]
    centers = list(_centers(molecule))
    for center, *around in centers:
        pairs[center, around, AT["place"] + np.arange(len(around))] = True
    quadruples = np.array([row for order in centers for row in _corners(*order)], int).reshape(-1, 4)
    return Graph(np.packbits(nodes, axis=-1), np.packbits(pairs, axis=-1), bonds, quadruples)


def unpacked(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """`(nodes, pairs)` of a graph, as bytes of 0 and 1."""
    return np.unpackbits(graph.nodes, axis=-1, count=NODES), np.unpackbits(graph.pairs, axis=-1, count=PAIRS)


def elements_of(nodes: np.ndarray) -> np.ndarray:
    """The symbols of the elements, (..., atoms), of features (..., atoms, NODES)."""
    return np.array(ELEMENTS)[np.asarray(nodes)[..., : len(ELEMENTS)].argmax(-1)]


def bonds_of(pairs: np.ndarray) -> np.ndarray:
    """The bonds (bonds, 2), the lesser number first, in features (atoms, atoms, PAIRS)."""
    first, second = np.nonzero(np.asarray(pairs)[..., : len(BONDS)].any(-1))
    return np.stack([first, second], axis=1)[first < second]


def molecule_of(nodes: np.ndarray, pairs: np.ndarray, x: np.ndarray) -> Any:
    """The RDKit molecule of features (atoms, NODES) and (atoms, atoms, PAIRS), at positions x (atoms, 3)."""
    chem = rdkit()
    molecule, nodes = chem.RWMol(), np.asarray(nodes)
    charge, hydrogens = len(ELEMENTS), len(ELEMENTS) + len(CHARGES)
    for symbol, row in zip(elements_of(nodes), nodes, strict=True):
        atom = chem.Atom(str(symbol))
        atom.SetFormalCharge(CHARGES[int(row[charge:hydrogens].argmax())])
        atom.SetNumExplicitHs(int(row[hydrogens : hydrogens + HYDROGENS].argmax()))
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for a, b in bonds_of(pairs):
        kind = BONDS[int(np.asarray(pairs)[a, b, : len(BONDS)].argmax())]
        molecule.AddBond(int(a), int(b), getattr(chem.BondType, kind))
        if kind == "AROMATIC":
            for atom in (int(a), int(b)):
                molecule.GetAtomWithIdx(atom).SetIsAromatic(True)
    made = placed(molecule.GetMol(), x)
    chem.SanitizeMol(made, catchErrors=True)
    return made


def placed(molecule: Any, x: np.ndarray) -> Any:
    """A copy of an RDKit molecule with one conformer, at positions x (atoms, 3)."""
    chem = rdkit()
    copy, conformer = chem.Mol(molecule), chem.Conformer(molecule.GetNumAtoms())
    conformer.SetPositions(np.asarray(x, np.float64))
    copy.RemoveAllConformers()
    copy.AddConformer(conformer)
    return copy


def _features(atom: Any, what: str) -> Iterator[int]:
    """The numbers of the features that an atom has."""
    symbol, charge = atom.GetSymbol(), atom.GetFormalCharge()
    if symbol not in ELEMENTS:
        raise InputError(f"{what}: has {symbol}, an element never seen in training: known are {', '.join(ELEMENTS)}")
    if charge not in CHARGES:
        raise InputError(f"{what}: has {symbol} of charge {charge:+}: known are charges from -2 to +2")
    start = 0
    for size, place in (
        (len(ELEMENTS), ELEMENTS.index(symbol)),
        (len(CHARGES), CHARGES.index(charge)),
        (HYDROGENS, min(atom.GetTotalNumHs(), HYDROGENS - 1)),
        (DEGREES, min(atom.GetDegree(), DEGREES - 1)),
    ):
        yield start + place
        start += size
    if (hybrid := str(atom.GetHybridization())) in HYBRIDS:
        yield start + HYBRIDS.index(hybrid)
    if atom.GetIsAromatic():
        yield start + len(HYBRIDS)
    rings, i = atom.GetOwningMol().GetRingInfo(), atom.GetIdx()
    yield from (start + len(HYBRIDS) + 1 + k for k, size in enumerate(RINGS) if rings.IsAtomInRingOfSize(i, size))


def _centers(molecule: Any) -> Iterator[list[int]]:
    """Of each stereocenter, its number and those of its neighbors, three or four, in the order of positive volume."""
    ranks: list[int] = []
    for atom in molecule.GetAtoms():
        tag = str(atom.GetChiralTag())
        if tag not in ("CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW") or atom.GetDegree() not in (3, 4):
            continue
        ranks = ranks or list(rdkit().CanonicalRankAtoms(molecule, breakTies=True))
        given = [bond.GetOtherAtomIdx(atom.GetIdx()) for bond in atom.GetBonds()]
        order = sorted(given, key=lambda i: ranks[i])
        # RDKit's tag says how the others turn, seen from the first neighbor, in the order of the bonds.
        odd = _is_odd([given.index(i) for i in order])
        if odd != (tag == "CHI_TETRAHEDRAL_CW"):
            order[:2] = order[1], order[0]
        yield [atom.GetIdx(), *order]


def _corners(o: int, a: int, b: int, c: int, d: int | None = None) -> list[tuple[int, int, int, int]]:
    """The quadruples of positive volume of a center: the even permutations of its neighbors, each with another last."""
    return [(o, a, b, c)] if d is None else [(o, a, b, c), (o, b, a, d), (o, a, c, d), (o, c, b, d)]


def _is_odd(order: list[int]) -> bool:
    return sum(a > b for i, a in enumerate(order) for b in order[i + 1 :]) % 2 == 1
