"""The Chemical Component Dictionary: a small one read entry by entry, what is refused, and biotite's own."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

from jaxdiff.modalities.molecules import ccd
from jaxdiff.modalities.molecules.conformers import conformers, read_ccd
from tests.helpers.cases import refused
from tests.helpers.configs import get_config

chem = pytest.importorskip("rdkit.Chem", reason="needs the extra molecules")

ATOMS = """
ALA N  N  0 -0.966 0.493 1.500
ALA CA C  0  0.257 0.418 0.692
ALA C  C  0 -0.094 0.017 -0.716
ALA O  O  0 -1.056 -0.682 -0.923
ALA CB C  0  1.204 -0.620 1.296
ALA OX O  0  0.661 0.439 -1.742
ALA HA H  0  0.746 1.392 0.682
FOR C  C  0 -0.520 0.000 0.000
FOR O  O  0  0.690 0.000 0.000
MTL FE FE 3  0.000 0.000 0.000
OLD C  C  0  0.000 0.000 0.000
OLD O  O  0  1.210 0.000 0.000
TWO C  C  0  0.000 0.000 0.000
TWO O  O  0  ?     ?     ?
URN U  U  0  0.000 0.000 0.000
"""
BONDS = """
ALA N  CA SING
ALA CA C  SING
ALA C  O  DOUB
ALA CA CB SING
ALA C  OX SING
ALA CA HA SING
FOR C  O  DOUB
OLD C  O  DOUB
TWO C  O  DOUB
"""


class Column:
    """As of biotite: values, and which of them are there."""

    def __init__(self, values):
        there = np.array([value != "?" for value in values])
        values = ["0" if value == "?" else value for value in values]
        self.mask = None if there.all() else SimpleNamespace(array=np.where(there, 0, 2))
        self.values = np.array(values)

    def as_array(self):
        return self.values


def table(text, *names):
    return dict(zip(names, map(Column, zip(*map(str.split, text.split("\n")[1:-1]), strict=True)), strict=True))


@pytest.fixture
def small(monkeypatch):
    """A dictionary of six entries in the place of biotite's."""
    places = [f"pdbx_model_Cartn_{axis}_ideal" for axis in "xyz"]
    block = {
        "chem_comp_atom": table(ATOMS, "comp_id", "atom_id", "type_symbol", "charge", *places),
        "chem_comp_bond": table(BONDS, "comp_id", "atom_id_1", "atom_id_2", "value_order"),
        "chem_comp": {
            "id": Column(["ALA", "FOR", "MTL", "OLD", "TWO", "URN"]),
            "pdbx_release_status": Column(["REL", "REL", "REL", "OBS", "REL", "REL"]),
        },
    }
    stand_in(monkeypatch, lambda: block)


def stand_in(monkeypatch, get_ccd):
    real = importlib.import_module
    fake = lambda name, *rest: SimpleNamespace(get_ccd=get_ccd) if name.startswith("biotite") else real(name, *rest)
    monkeypatch.setattr(importlib, "import_module", fake)
    ccd._dictionary.cache_clear()


@pytest.fixture(autouse=True)
def forgotten():
    yield
    ccd._dictionary.cache_clear()


def test_an_entry_has_its_atoms_places_charges_and_bonds(small):
    one = ccd.component(" ala ")
    assert one.code == "ALA"
    np.testing.assert_array_equal(one.numbers, [7, 6, 6, 8, 6, 8, 1])
    np.testing.assert_array_equal(one.molecule[1], [6, 0.257, 0.418, 0.692])
    np.testing.assert_array_equal(one.bonds, [[0, 1], [1, 2], [2, 3], [1, 4], [2, 5], [1, 6]])
    np.testing.assert_array_equal(one.orders, [1, 1, 2, 1, 1, 1])
    assert ccd.component("MTL").charges.tolist() == [3]
    assert [len(c.bonds) for c in ccd.components(["FOR", "MTL"])] == [1, 0]
    assert [c.code for c in ccd.components()] == ["ALA", "FOR", "MTL", "TWO", "URN"]  # one of them is obsolete


def test_a_ligand_has_heavy_atoms_bonds_and_the_hand_of_its_places(small):
    molecule = read_ccd("ALA")
    assert [atom.GetSymbol() for atom in molecule.GetAtoms()] == ["N", "C", "C", "O", "C", "O"]
    np.testing.assert_allclose(molecule.GetConformer().GetPositions()[2], [-0.094, 0.017, -0.716])
    # Hydrogens of this small entry but one are left out, and the hand is that of L-alanine.
    assert chem.FindMolChiralCenters(molecule) == [(1, "S")]


def test_ligands_are_a_source_of_conformers(small):
    assert get_config("ccd=ALA,FOR", "conformers")["data"]["path"] == "ccd:ALA,FOR"
    some = conformers("ccd:ALA,for", most=6)
    assert some.size == 2
    assert some.take(np.arange(2)).condition["mask"].sum(1).tolist() == [6, 2]
    every = conformers("ccd:all", most=6)
    assert every.size == 2
    assert conformers("ccd:all", "test", 6).size == 1
    assert conformers("ccd:all", "train", 6).size == 1


def test_what_is_no_ligand_is_refused_in_one_line(small):
    for code, word in (
        ("ALB", r"CCD 'ALB': is no code .*: there are ALA"),
        ("", "codes are those of the PDB, as ATP"),
        ("TWO", "CCD TWO: has no ideal coordinates"),
        ("URN", "CCD URN: has an element beyond xenon"),
    ):
        with refused(word):
            read_ccd(code)
    for path in ("ccd:", "ccd:ALA,,FOR"):
        with refused("ccd:ATP,ADP, or ccd:all"):
            conformers(path)
    with refused("is no code"):
        conformers("ccd:NONE")
    with refused("raise data.most"):
        conformers("ccd:MTL")
    with refused("ccd=CODE,CODE, ccd=all"):
        get_config("ccd=", "conformers")


def test_without_biotite_or_its_dictionary_one_line_says_what_to_do(monkeypatch):
    def none():
        raise RuntimeError("Internal CCD not found. Please run\n 'python -m biotite.setup_ccd'.")

    stand_in(monkeypatch, none)
    with refused("biotite has no Chemical Component Dictionary: .*setup_ccd"):
        read_ccd("ATP")
    monkeypatch.undo()
    real = importlib.import_module

    def without(name, *rest):
        if name.startswith("biotite"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with refused(r"comes with biotite: pip install 'jaxdiff\[molecules\]'"):
        read_ccd("ATP")


@pytest.mark.slow
def test_the_dictionary_of_biotite():
    info = pytest.importorskip("biotite.structure.info", reason="needs the extra molecules")
    for code, smiles in (
        ("BNZ", "c1ccccc1"),
        ("ALA", "C[C@H](N)C(=O)O"),
        ("GLC", "OC[C@H]1O[C@H](O)[C@H](O)[C@@H](O)[C@@H]1O"),
    ):
        molecule = read_ccd(code)
        assert chem.MolToSmiles(molecule) == chem.CanonSmiles(smiles)
        # An independent way through the library: its array of atoms, one bond after the other.
        theirs, ours = info.residue(code), ccd.component(code)
        np.testing.assert_allclose(ours.positions, theirs.coord, atol=1e-3)
        assert len(ours.bonds) == theirs.bonds.get_bond_count()
    assert read_ccd("ATP").GetNumAtoms() == 31
    assert len(ccd._dictionary().released) > 40_000
