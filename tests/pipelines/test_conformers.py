"""Conformers from a configuration: drawn of a SMILES, by number, and written; what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.cli import conform, sample
from jaxdiff.config import build
from jaxdiff.evaluation import held_out
from jaxdiff.geometry import structures
from jaxdiff.geometry.rigid import rmsd
from jaxdiff.modalities.molecules.graphs import make_graph
from jaxdiff.pipelines import conformers, experiment
from jaxdiff.types import Batch
from tests.helpers.cases import refused
from tests.helpers.configs import get_config
from tests.modalities.test_conformers import HANDED, all_chem, chem, written

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compilation")]

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = written(tmp_path_factory.mktemp("sdf") / "some.sdf", HANDED)
    config = get_config(f"sdf={path}", "conformers")
    config["net"] |= {"width": 8, "blocks": 1, "heads": 2, "pair_width": 4, "distances": 4}
    config["data"] |= {"most": 12, "split": "all"}
    config["held_out"] |= {"most": 12, "split": "all"}
    config["sample"]["steps"] = 5
    return config


@pytest.fixture(scope="module")
def parts(config):
    return experiment.build(config, build.source(config).spec)


@pytest.fixture(scope="module")
def model(parts):
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: p + np.float32(0.1 * rng.normal(size=p.shape)), parts.init(KEY))
    return dataclasses.replace(parts.model, params=params)


def places(molecules):
    return np.stack([m.GetConformer().GetPositions() for m in molecules])


def test_conformers_of_a_smiles(model):
    drawn = list(conformers(model, KEY, "C[C@H](O)F", 5))
    assert [chem.MolToSmiles(m) for m in drawn] == [chem.CanonSmiles("C[C@H](O)F")] * 5
    x = places(drawn)
    assert x.shape == (5, 4, 3)
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-4)
    assert float(rmsd(x[0], x[1])) > 1e-3
    # Of the hand that is asked for, though the network has learned nothing.
    centers = make_graph(chem.MolFromSmiles("C[C@H](O)F")).centers
    assert (np.asarray(structures.volumes(x, centers)) > 0).all()
    assert (np.asarray(structures.volumes(places(conformers(model, KEY, "C[C@@H](O)F", 5)), centers)) < 0).all()
    # Each draws its noise, and its turns, from its own number.
    np.testing.assert_allclose(places(conformers(model, KEY, "C[C@H](O)F", 2, first=3)), x[3:], atol=1e-3)
    np.testing.assert_allclose(places(conformers(model, KEY, "C[C@H](O)F", 5, batch=2)), x, atol=1e-3)
    plain = places(conformers(model, KEY, "CCO", 2, sampler="heun", steps=4))
    assert np.isfinite(plain).all()


def test_what_cannot_be_drawn(model, config):
    for smiles, word in (("C" * 13, "has 13 heavy atoms, and this model takes 2 to 12"), ("O", "has 1 heavy atoms")):
        with refused(word):
            list(conformers(model, KEY, smiles, 2))
    for smiles, word in (("CC.O", "2 parts"), ("C[Si]", "never seen"), ("X", "no molecule")):
        with refused(word):
            list(conformers(model, KEY, smiles, 2))
    with refused("the molecule: has 2 parts"):
        list(conformers(model, KEY, chem.MolFromSmiles("CC.O"), 2))
    with refused("clip, threshold"):
        list(conformers(model, KEY, "CCO", 2, clip=1.0))
    with refused("clip, threshold"):
        experiment.build({**config, "sample": {**config["sample"], "clip": 1.0}}, model.spec)
    with refused("never trained without its"):
        model.sample(KEY, 2)
    with refused("a model of conformers draws no elements"):
        held_out.measure(model, build.source(config), KEY, 2)


def test_a_step_of_training_lowers_the_loss(parts, model, config):
    """Gradients of the loss of the configuration, through the transforms, from a fresh network on."""
    batch = build.source(config).take(np.arange(8))
    batch = Batch(jnp.asarray(batch.x_0), {k: jnp.asarray(v) for k, v in batch.condition.items()})
    (rotate,) = parts.transforms
    turned = rotate(KEY, batch)
    np.testing.assert_allclose(rmsd(turned.x_0, batch.x_0, batch.condition["mask"]), 0, atol=1e-4)
    loss = jax.jit(jax.value_and_grad(lambda p: parts.loss_fn(p, KEY, turned)[0]))
    value, grads = loss(model.params)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    down = jax.tree.map(lambda p, g: p - 1e-3 * g, model.params, grads)
    assert float(loss(down)[0]) < float(value)


def test_the_command_writes_a_file_with_a_picture(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sample, "load", lambda *given: model)
    monkeypatch.setattr(sample, "opened", lambda workdir: (tmp_path, model.config))
    told = ["--workdir", str(tmp_path), "--num", "3", "--out"]
    for name in ("some.sdf", "some.pdb", "some.xyz"):
        assert not sample.main([*told, str(tmp_path / name), "--smiles", "CCO"])
        assert (tmp_path / name).read_text().count("O ") >= 3
        assert (tmp_path / "some.png").stat().st_size > 1000
    assert not sample.main([*told, str(tmp_path / "folder"), "--smiles", "CCO"])
    assert len(chem.SDMolSupplier(str(tmp_path / "folder" / "samples.sdf"))) == 3
    ligand = chem.MolFromSmiles("CCO")
    all_chem.EmbedMolecule(ligand, randomSeed=1)
    monkeypatch.setattr(conform, "read_ccd", lambda code: ligand)
    assert not sample.main([*told, str(tmp_path / "ligand.sdf"), "--ccd", "EOH"])
    assert len(chem.SDMolSupplier(str(tmp_path / "ligand.sdf"))) == 3
    assert "RMSD to the dictionary's ideal coordinates: " in capsys.readouterr().out
    for words, message in (
        ([*told, str(tmp_path / "some.mol2"), "--smiles", "CCO"], "suffix of a file of molecules"),
        ([*told, str(tmp_path / "some.sdf")], "--smiles: this model draws the conformers"),
        ([*told, str(tmp_path / "some.sdf"), "--smiles", "CCO", "--likelihood"], "--smiles: goes with"),
        ([*told, str(tmp_path / "some.sdf"), "--smiles", "CCO", "--ccd", "EOH"], "--ccd: goes without --smiles"),
    ):
        assert sample.main(words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
