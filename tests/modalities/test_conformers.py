"""Conformers: graphs that tell the hand, files that come back, and what is refused."""

import numpy as np
import pytest

from jaxdiff.geometry import structures
from jaxdiff.modalities.molecules import files, show_conformers
from jaxdiff.modalities.molecules.conformers import condition_of, conformers, heavy_molecule
from jaxdiff.modalities.molecules.graphs import (
    NODES,
    PAIRS,
    bonds_of,
    elements_of,
    make_graph,
    molecule_of,
    placed,
    read_smiles,
    unpacked,
)
from jaxdiff.types import Batch
from tests.helpers.cases import refused

chem = pytest.importorskip("rdkit.Chem", reason="needs the extra molecules")
all_chem = pytest.importorskip("rdkit.Chem.AllChem")

HANDED = [
    "C[C@H](O)C(=O)O",
    "C[C@@](F)(Cl)Br",
    "N[C@@H](CS)C(=O)O",
    "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O",
    "C[S@](=O)c1ccccc1",
    "C/C=C/C",
    "F/C=C\\Cl",
    "C1C[C@H]2CC[C@@H]1C2",
]


def embedded(smiles, seed=1):
    """A molecule with its hydrogens and one conformer by distance geometry."""
    molecule = chem.AddHs(chem.MolFromSmiles(smiles))
    assert all_chem.EmbedMolecule(molecule, randomSeed=seed) == 0
    return molecule


def written(path, smiles, factor=1.0):
    with chem.SDWriter(str(path)) as out:
        for one in smiles:
            molecule = embedded(one)
            conformer = molecule.GetConformer()
            conformer.SetPositions(factor * conformer.GetPositions() + 30.0)
            out.write(molecule)
    return str(path)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return written(tmp_path_factory.mktemp("sdf") / "some.sdf", HANDED)


@pytest.mark.parametrize("smiles", HANDED)
def test_the_volumes_of_a_center_in_the_order_of_its_graph_are_positive(smiles):
    """Of molecules that RDKit puts in space by itself, and of the mirror image with the other marks."""
    molecule = embedded(smiles)
    x = molecule.GetConformer().GetPositions()
    graph = make_graph(chem.MolFromSmiles(smiles))
    corners = [
        1 if atom.GetDegree() == 3 else 4 for atom in chem.MolFromSmiles(smiles).GetAtoms() if atom.GetChiralTag()
    ]
    assert len(graph.centers) == sum(corners)
    assert len(corners) == smiles.replace("@@", "@").count("@")
    assert (np.asarray(structures.volumes(x, graph.centers)) > 0).all()
    other = smiles.replace("@@", "%").replace("@", "@@").replace("%", "@")
    assert (np.asarray(structures.volumes(x, make_graph(chem.MolFromSmiles(other)).centers)) < 0).all()


@pytest.mark.parametrize("smiles", HANDED)
def test_a_graph_does_not_depend_on_the_numbers_of_atoms(smiles, rng):
    molecule = chem.MolFromSmiles(smiles)
    nodes, pairs = unpacked(make_graph(molecule))
    for _ in range(3):
        order = rng.permutation(molecule.GetNumAtoms())
        other = chem.RenumberAtoms(molecule, order.tolist())
        other_nodes, other_pairs = unpacked(make_graph(other))
        np.testing.assert_array_equal(other_nodes, nodes[order])
        np.testing.assert_array_equal(other_pairs, pairs[np.ix_(order, order)])


def test_what_a_graph_says_of_ethanol_and_of_butenes():
    graph = make_graph(chem.MolFromSmiles("CCO"))
    nodes, pairs = unpacked(graph)
    assert (nodes.shape, pairs.shape) == ((3, NODES), (3, 3, PAIRS))
    assert elements_of(nodes).tolist() == ["C", "C", "O"]
    assert bonds_of(pairs).tolist() == [[0, 1], [1, 2]]
    assert pairs.sum() == 2 * (2 * 2 + 1)  # a bond is a single one and one step; the ends are two steps apart
    trans, cis = (unpacked(make_graph(chem.MolFromSmiles(s)))[1] for s in ("C/C=C/C", "C/C=C\\C"))
    assert np.argwhere(trans != cis)[:, :2].tolist() == [[0, 3], [0, 3], [3, 0], [3, 0]]


def test_molecules_of_a_file_come_back(library, tmp_path):
    source = conformers(library)
    assert source.size == len(HANDED)
    batch = source.take(np.arange(source.size))
    told = batch.condition
    assert {k: v.shape[1:] for k, v in told.items()} == {k: s.shape for k, s in source.conditions.items()}
    np.testing.assert_allclose(batch.x_0.sum(1), 0, atol=1e-4)
    for i, smiles in enumerate(HANDED):
        n = int(told["mask"][i].sum())
        assert not batch.x_0[i, n:].any()
        made = molecule_of(told["nodes"][i, :n], told["pairs"][i, :n, :n], batch.x_0[i, :n])
        chem.AssignStereochemistryFrom3D(made)
        assert chem.MolToSmiles(made) == chem.CanonSmiles(smiles)
    show_conformers.write(tmp_path, batch)
    again = conformers(str(tmp_path / "samples.sdf")).take(np.arange(len(HANDED)))
    np.testing.assert_allclose(again.x_0, batch.x_0, atol=2e-3)
    for name, value in told.items():
        np.testing.assert_array_equal(again.condition[name], value)


def test_an_npz_and_its_split(tmp_path, caplog):
    molecules = [embedded(smiles) for smiles in ("CCO", "C=O", "CC#N")]
    sizes = [m.GetNumAtoms() for m in molecules]
    arrays = {
        "atomic_numbers": np.concatenate([[a.GetAtomicNum() for a in m.GetAtoms()] for m in molecules]),
        "coordinates": np.concatenate([m.GetConformer().GetPositions() for m in molecules]),
        "charges": np.zeros(sum(sizes), np.int8),
        "offsets": np.cumsum([0, *sizes]),
        "bonds": np.concatenate([[(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in m.GetBonds()] for m in molecules]),
        "bond_orders": np.concatenate([[int(b.GetBondTypeAsDouble()) for b in m.GetBonds()] for m in molecules]),
        "bond_offsets": np.cumsum([0, *[m.GetNumBonds() for m in molecules]]),
    }
    path = tmp_path / "some.npz"
    np.savez(path, **arrays, test=np.array([False, True, False]))
    assert [conformers(str(path), split).size for split in ("all", "train", "test")] == [3, 2, 1]
    assert elements_of(conformers(str(path), "test").take([0]).condition["nodes"][0, :2]).tolist() == ["C", "O"]
    np.savez(path, **arrays)
    with refused("no array 'test'"):
        conformers(str(path), "train")
    np.savez(path, **{k: v for k, v in arrays.items() if k != "bonds"})
    with refused("is no .npz with the arrays"):
        conformers(str(path))
    bonds, orders, more = arrays["bonds"], arrays["bond_orders"], arrays["offsets"][1]
    for other, message in [
        ({"bonds": np.where(np.arange(len(bonds))[:, None] < 8, bonds, bonds + more)}, r"molecule 2 has a bond \[9, "),
        ({"bonds": np.zeros_like(bonds)}, r"molecule 1 has a bond \[0, 0\] of order 1"),
        ({"bonds": bonds[[1, *range(1, len(bonds))]]}, "each is there once"),
        ({"bond_orders": np.where(orders == 3, 4, orders)}, "molecule 3 has a bond .* of order 4: .* 1, 2 or 3"),
        ({"bond_offsets": arrays["bond_offsets"][:2]}, "the arrays do not fit each other"),
        ({"coordinates": arrays["coordinates"][:4]}, "the arrays do not fit each other"),
        ({"test": np.zeros(2, bool)}, r"test is \(molecules,\)"),
    ]:
        np.savez(path, **(arrays | other))
        with refused(message):
            conformers(str(path))
    np.savez(path, **arrays)
    conformers(str(path), most=2)
    assert "2 molecules are left out: larger than data.most" in caplog.text
    arrays["coordinates"][0] = np.nan
    np.savez(path, **arrays)
    with refused("not finite"):
        conformers(str(path))


def test_a_bond_of_an_unknown_order_makes_no_molecule():
    """As entries of the dictionary may have: they are left out with a word, or named."""
    carbons, places = np.array([6, 6]), np.array([[0, 0, 0], [1.5, 0, 0]])
    assert heavy_molecule(carbons, places, np.zeros(2, int), [(0, 1)], [0]) is None
    assert heavy_molecule(carbons, places, np.zeros(2, int), [(0, 1)], [1], 3) is not None


def test_scaffolds_are_in_one_split_alone(tmp_path):
    path = written(tmp_path / "rings.sdf", ["c1ccccc1", "Cc1ccccc1", "C1CCCCC1", "CC1CCCCC1", "C1CCC1", "CCO", "CO"])
    train, test = conformers(path, "train"), conformers(path, "test")
    assert train.size + test.size == 7
    assert test.size in (1, 2)


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_files_of_conformers(tmp_path, suffix):
    molecule = chem.MolFromSmiles("C[C@H](O)F")
    places = np.random.default_rng(0).normal(size=(2, 4, 3))
    files.write(tmp_path / f"some{suffix}", [placed(molecule, x) for x in places])
    text = (tmp_path / f"some{suffix}").read_text()
    if suffix == ".pdb":
        assert text.count("MODEL") == 2
        assert text.endswith("ENDMDL\nEND\n")
        lines = [line for line in text.splitlines() if line.startswith("HETATM")]
        read = np.array([[float(line[i : i + 8]) for i in (30, 38, 46)] for line in lines])
    elif suffix == ".xyz":
        read = np.array([[float(v) for v in line.split()[1:]] for line in text.splitlines() if len(line.split()) == 4])
    else:
        read = np.concatenate([m.GetConformer().GetPositions() for m in chem.SDMolSupplier(str(tmp_path / "some.sdf"))])
    np.testing.assert_allclose(read.reshape(2, 4, 3), places, atol=1e-3)
    with refused("suffix of a file of molecules '.mol2'"):
        files.write(tmp_path / "some.mol2", [molecule])


def test_bad_molecules(tmp_path, library):
    for smiles, word in (("not one", "is no molecule"), ("", "is no molecule"), ("CC.O", "has 2 parts")):
        with refused(word):
            read_smiles(smiles)
    for smiles, word in (("C[Si](C)C", "has Si, an element never seen"), ("[Fe+3]", "Fe"), ("[N-3]", "charge -3")):
        with refused(word):
            make_graph(chem.MolFromSmiles(smiles))
    with refused("are they nanometers"):
        conformers(written(tmp_path / "nm.sdf", HANDED[:2], 0.1))
    with refused("median bond"):
        conformers(written(tmp_path / "pm.sdf", HANDED[:2], 100.0))
    with refused("holds no molecule"):
        conformers(library, most=2)
    with refused("split of conformers 'half'"):
        conformers(library, "half")
    with refused("is no file"):
        conformers(str(tmp_path / "none.sdf"))


@pytest.mark.system
def test_pictures(library):
    batch = conformers(library).take(np.arange(3))
    drawn = Batch(batch.x_0 + 0.1 * np.random.default_rng(0).normal(size=batch.x_0.shape), batch.condition)
    for real in (None, batch):
        picture = show_conformers.rendered(show_conformers.side_by_side(drawn, real))
        assert picture.dtype == np.uint8
        assert picture.std() > 5
    assert condition_of([make_graph(chem.MolFromSmiles("CO"))], 4)["mask"].tolist() == [[1, 1, 0, 0]]
