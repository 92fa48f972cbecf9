"""Molecules: what is read and refused, bonds from distances, and what is drawn."""

import jax
import numpy as np
import pytest

from jaxdiff.config.build.data import rescaled
from jaxdiff.modalities.molecules import bonds, chemistry, complete
from jaxdiff.modalities.molecules.measured import values
from jaxdiff.modalities.molecules.source import molecules, split_of
from jaxdiff.modalities.molecules.spec import make_codec, sizes_of
from tests.helpers.cases import cases, refused

CH = 1.09
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
METHANE = (np.array([6, 1, 1, 1, 1]), np.concatenate([np.zeros((1, 3)), CH * TETRAHEDRON]))
WATER = (np.array([8, 1, 1]), np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]))
ACETYLENE = (np.array([6, 6, 1, 1]), np.array([[0, 0, 0], [1.2, 0, 0], [-1.06, 0, 0], [2.26, 0, 0]]))
THIOL = (  # H3C-SH
    np.array([6, 16, 1, 1, 1, 1]),
    np.array([[0, 0, 0], [0, 0, 1.82], [1.03, 0, -0.36], [-0.51, 0.89, -0.36], [-0.51, -0.89, -0.36], [1.33, 0, 2.0]]),
)
SMALL = [METHANE, WATER, ACETYLENE, THIOL]


def arrays(examples, nodes=6, scale=1.0):
    numbers, place = np.zeros((len(examples), nodes), np.int8), np.zeros((len(examples), nodes, 3), np.float32)
    for i, (atomic, xyz) in enumerate(examples):
        numbers[i, : len(atomic)], place[i, : len(atomic)] = atomic, scale * xyz
    return {"atomic_numbers": numbers, "positions": place}


def written(folder, examples=SMALL, **further):
    np.savez(folder / "some.npz", **arrays(examples, **further))
    return str(folder / "some.npz")


def stacked(examples, nodes=6):
    both = arrays(examples, nodes)
    return np.concatenate([both["atomic_numbers"][..., None], both["positions"]], -1)


def test_molecules_come_centered_and_go_back(tmp_path):
    source = molecules(written(tmp_path))
    batch = source.take(np.arange(4))
    assert source.spec.details["elements"] == [1, 6, 8, 16]
    np.testing.assert_allclose(batch.x_0[..., :3].sum(1), 0, atol=1e-5)
    np.testing.assert_array_equal(batch.condition["mask"].sum(1), [5, 3, 4, 6])
    assert not batch.x_0[batch.condition["mask"] == 0].any()
    back = make_codec(source.spec).decode(batch.x_0)
    there = stacked(SMALL)
    np.testing.assert_array_equal(back[..., 0], there[..., 0])
    for ours, true in zip(back, there, strict=True):
        n = int((true[:, 0] > 0).sum())
        np.testing.assert_allclose(ours[:n, 1:], true[:n, 1:] - true[:n, 1:].mean(0), atol=1e-5)
    assert source.spec.shape == (6, 3 + 4 + 1)


def test_the_network_sees_a_quarter_of_the_element_and_a_tenth_of_the_number(tmp_path):
    batch = molecules(written(tmp_path)).take(np.array([1]))
    np.testing.assert_allclose(batch.x_0[0, :3, 3:], [[0, 0, 0.25, 0, 0.8], [0.25, 0, 0, 0, 0.1], [0.25, 0, 0, 0, 0.1]])


def test_bonds_follow_from_distances():
    molecules = stacked(SMALL)
    order = bonds.orders(molecules[..., 0], molecules[..., 1:])
    assert order[2, 0, 1] == 3
    np.testing.assert_array_equal(order, order.swapaxes(1, 2))
    np.testing.assert_array_equal(order[0, 0], [0, 1, 1, 1, 1, 0])
    assert bonds.stable_atoms(molecules[..., 0], molecules[..., 1:]).sum() == 5 + 3 + 4 + 6


def test_sulfur_may_have_two_bonds(monkeypatch):
    assert chemistry.stability(stacked([THIOL]))["molecules stable"] == 1
    monkeypatch.setitem(bonds.VALENCES, "S", (4,))  # as in EDM's code
    assert chemistry.stability(stacked([THIOL]))["molecules stable"] == 0


def test_figures_count():
    """A methane that lost a hydrogen to far away is valid in its parts, but not connected and not stable."""
    broken = (METHANE[0], np.concatenate([METHANE[1][:4], [[9.0, 0, 0]]]))
    crowded = (np.array([6, 1, 1, 1, 1, 1]), np.concatenate([METHANE[1], [[0, 0, CH]]]))
    found = chemistry.figures(stacked([METHANE, METHANE, WATER, broken, crowded]), known=["C"])
    assert found["atoms stable"] == pytest.approx((5 + 5 + 3 + 3 + 5) / 24)  # of crowded: the hydrogens alone
    assert found["molecules stable"] == pytest.approx(3 / 5)
    assert found["valid"] == pytest.approx(4 / 5)
    assert found["valid and connected"] == pytest.approx(3 / 5)
    assert found["unique"] == pytest.approx(3 / 4)  # methane, water, methyl
    assert found["novel"] == pytest.approx(2 / 3)


def test_sizes_are_drawn_as_often_as_the_data_has_them(tmp_path):
    spec = molecules(written(tmp_path, [METHANE, WATER, WATER, WATER])).spec
    np.testing.assert_allclose(sizes_of(spec), [0, 0, 0, 0.75, 0, 0.25])
    mask = np.asarray(complete(spec, jax.random.key(0), np.arange(4000), {})["mask"])
    sizes = np.bincount(mask.sum(1).astype(int), minlength=6) / 4000
    np.testing.assert_allclose(sizes, sizes_of(spec), atol=4 * np.sqrt(0.25 * 0.75 / 4000))
    later = complete(spec, jax.random.key(0), np.arange(100, 200), {})["mask"]
    np.testing.assert_array_equal(later, mask[100:200])
    asked = complete(spec, jax.random.key(0), np.arange(3), {"atoms": 4})["mask"]
    np.testing.assert_array_equal(asked.sum(1), 4)


@pytest.mark.parametrize("atoms", [1, 7, 2.5, -3])
def test_a_number_of_atoms_that_cannot_be_is_refused(tmp_path, atoms):
    spec = molecules(written(tmp_path)).spec
    with refused("2 to 6 atoms"):
        complete(spec, jax.random.key(0), np.arange(3), {"atoms": atoms})


def test_features_do_not_see_how_a_molecule_lies(tmp_path):
    spec, x = molecules(written(tmp_path)).spec, stacked(SMALL)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    other = x.copy()
    other[..., 1:] = x[..., 1:] @ turn.T
    other[3, :6] = other[3, [5, 4, 3, 2, 1, 0]]
    np.testing.assert_allclose(values(spec, other), values(spec, x), atol=1e-5)
    assert np.abs(values(spec, x)[0] - values(spec, x)[1]).max() > 0.1


def broken(name, value):
    def change(content):
        content[name][1, 0] = value
        return content

    return change


BAD = {
    "no atoms": (
        lambda c: {**c, "atomic_numbers": np.where(np.arange(4)[:, None] == 2, 0, c["atomic_numbers"])},
        "2 are",
    ),
    "one atom": (lambda c: {**c, "atomic_numbers": c["atomic_numbers"] * (np.arange(6) < 1)}, "1 atoms"),
    "nan": (broken("positions", np.nan), "not finite"),
    "nanometers": (lambda c: {**c, "positions": c["positions"] / 10}, "nanometer"),
    "bohr": (lambda c: {**c, "positions": c["positions"] / 0.529177}, "bohr"),
    "padding first": (broken("atomic_numbers", 0), "padding"),
    "an element beyond": (broken("atomic_numbers", 92), "1 to 54"),
    "no positions": (lambda c: {"atomic_numbers": c["atomic_numbers"]}, "positions"),
    "wrong shape": (lambda c: {**c, "positions": c["positions"][..., :2]}, "atoms, 3"),
}


@cases(BAD)
def test_bad_molecules_are_refused(tmp_path, case):
    change, message = case
    np.savez(tmp_path / "bad.npz", **change(arrays(SMALL)))
    with refused(message):
        molecules(str(tmp_path / "bad.npz"))


def test_units_are_brought_to_angstrom(tmp_path):
    source = molecules(written(tmp_path, scale=0.1), unit="nanometer")
    back = make_codec(source.spec).decode(source.take(np.arange(4)).x_0)
    assert np.linalg.norm(back[0, 0, 1:] - back[0, 1, 1:]) == pytest.approx(CH, abs=1e-4)


def test_more_atoms_than_there_is_room_for_and_strange_elements_are_refused(tmp_path):
    with refused("data.atoms=5"):
        molecules(written(tmp_path), atoms=5)
    codec = make_codec(molecules(written(tmp_path, [METHANE, WATER])).spec)
    with refused("element S"):
        codec.encode(stacked([THIOL]))


def test_a_property_is_told_in_deviations(tmp_path):
    np.savez(tmp_path / "some.npz", **arrays(SMALL), energy=np.float32([1, 2, 3, 6]))
    source = molecules(str(tmp_path / "some.npz"), property="energy")
    told = source.take(np.arange(4)).condition["property"]
    np.testing.assert_allclose(told[:, 0], (np.array([1, 2, 3, 6]) - 3) / np.std([1, 2, 3, 6]), rtol=1e-6)
    np.testing.assert_array_equal(told[:, 1], 1)
    asked = complete(source.spec, jax.random.key(0), np.arange(2), {"property": 6.0})["property"]
    np.testing.assert_allclose(asked, told[[3, 3]], rtol=1e-6)
    with refused("energy"):
        molecules(str(tmp_path / "some.npz"), property="mass")
    _, held = split_of(4, "test")
    np.savez(tmp_path / "some.npz", **arrays(SMALL), energy=np.float32(np.arange(4) == held))
    with refused("must be finite, and vary among those of training"):
        molecules(str(tmp_path / "some.npz"), "train", property="energy")
    with refused("has 2 molecules, of which none are for that"):
        molecules(written(tmp_path, SMALL[:2]), "test")
    with refused("without one"):
        complete(molecules(written(tmp_path)).spec, jax.random.key(0), np.arange(2), {"property": 6.0})


def test_files_of_other_kinds_hold_the_same(tmp_path):
    from jaxdiff.modalities.molecules import files
    from jaxdiff.modalities.molecules.show_molecules import xyz

    x = stacked(SMALL)
    (tmp_path / "some.xyz").write_text("".join(map(xyz, x)))
    files.write(tmp_path / "some.sdf", [one.molecule for one in chemistry.read_all(x)])
    plain = molecules(written(tmp_path)).take(np.arange(4))
    files.write(tmp_path / "some.pdb", [one.molecule for one in chemistry.read_all(x)])
    for name in ("some.xyz", "some.sdf", "some.pdb"):
        other = molecules(str(tmp_path / name)).take(np.arange(4))
        np.testing.assert_allclose(other.x_0, plain.x_0, atol=2e-4 if name != "some.pdb" else 2e-3)  # of 3 digits


def test_a_property_of_other_molecules_is_told_on_the_scale_of_training(tmp_path):
    energies = {"some": np.float32([1, 2, 3, 6]), "other": np.float32([40, 10, 20, 30])}
    for name, energy in energies.items():
        np.savez(tmp_path / f"{name}.npz", **arrays(SMALL), energy=energy, mass=energy)
    some, other = (molecules(str(tmp_path / f"{name}.npz"), property="energy") for name in energies)
    told = rescaled(other, some.spec, "held_out").take(np.arange(4)).condition["property"]
    np.testing.assert_allclose(told[:, 0], (energies["other"] - 3) / np.std(energies["some"]), rtol=1e-5)
    np.testing.assert_array_equal(told[:, 1], 1)
    with refused("property 'mass': the data of training has 'energy'"):
        rescaled(molecules(str(tmp_path / "other.npz"), property="mass"), some.spec, "held_out")


def test_atoms_that_are_no_elements_are_refused(tmp_path):
    (tmp_path / "some.xyz").write_text("3\n\nO 0 0 0\nH 0 0 0.96\n- 0 0.96 0\n")
    with refused("molecule 1 has '-'"):
        molecules(str(tmp_path / "some.xyz"))
    block = "\n\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n" + "".join(
        f"    0.0000    0.0000{z:10.4f} {name:3} 0  0\n" for z, name in ((0, "C"), (1.5, "*"))
    )
    (tmp_path / "some.sdf").write_text(block + "  1  2  1  0\nM  END\n$$$$\n")
    with refused("molecule 1 has an atom that is no element"):
        molecules(str(tmp_path / "some.sdf"))


def test_records_of_a_pdb_that_leave_something_open_are_refused(tmp_path):
    place, atom = (
        tmp_path / "some.pdb",
        "HETATM    1  C1  UNL     1       0.000   0.000{:8.3f}  1.00  0.00          {:>2}\n",
    )
    place.write_text(
        atom.format(0, "C") + atom.format(1.4, "O") + "END\n" + atom.format(0, "C") + atom.format(1.2, "O")
    )
    assert molecules(str(place)).size == 2  # also where the last END is missing
    for change, message in (
        ((" O\n", "  \n"), "line 2 has the element ''"),
        ((" C1  UNL", " C1 AUNL"), "line 1 is one of several places"),
        (("   1.400", "     far"), "cannot be read as molecules"),
    ):
        place.write_text((atom.format(0, "C") + atom.format(1.4, "O")).replace(*change))
        with refused(message):
            molecules(str(place))


def test_drawings_are_refused(tmp_path):
    from rdkit import Chem
    from rdkit.Chem import AllChem

    from jaxdiff.modalities.molecules import conformers
    from jaxdiff.modalities.molecules.graphs import read_smiles

    molecule = read_smiles("CC(N)C(=O)O")
    AllChem.Compute2DCoords(molecule)  # pyright: ignore[reportAttributeAccessIssue]
    (tmp_path / "flat.sdf").write_text(Chem.MolToMolBlock(molecule) + "$$$$\n")
    for read in (molecules, conformers):
        with refused("molecule 1: has coordinates of a drawing"):
            read(str(tmp_path / "flat.sdf"))
    solid = Chem.AddHs(Chem.MolFromSmiles("O"))  # flat, but in space
    AllChem.EmbedMolecule(solid, randomSeed=1)  # pyright: ignore[reportAttributeAccessIssue]
    (tmp_path / "water.sdf").write_text(Chem.MolToMolBlock(solid) + "$$$$\n")
    assert molecules(str(tmp_path / "water.sdf")).size == 1
