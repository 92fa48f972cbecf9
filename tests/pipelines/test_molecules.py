"""Molecules from a configuration: drawn, judged, measured, and led by a property."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.cli import sample
from jaxdiff.config import build
from jaxdiff.config.build.transforms import make_transforms
from jaxdiff.errors import InputError
from jaxdiff.evaluation import held_out, of_molecules
from jaxdiff.gaussian import schedules
from jaxdiff.gaussian.process import on, perturb, within
from jaxdiff.gaussian.space import centered
from jaxdiff.modalities import find
from jaxdiff.modalities.molecules.spec import mask_of
from jaxdiff.pipelines import experiment, fragments
from jaxdiff.types import Batch
from tests.helpers.configs import get_config
from tests.modalities.test_molecules import SMALL, arrays

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compilation")]


def configured(tmp_path, **changes):
    np.savez(tmp_path / "some.npz", **arrays(SMALL * 8), energy=np.arange(32.0))
    config = get_config(f"npz={tmp_path / 'some.npz'}", "molecules")
    config["net"] |= {"width": 8, "blocks": 1, **changes.pop("net", {})}
    config["sample"]["steps"] = 4
    for part in ("data", "held_out"):
        config[part] |= changes.get("data", {})
    config["train"] |= changes.get("train", {})
    config["sample"] |= changes.get("sample", {})
    return config


def untrained(config):
    """A model whose parameters are not what they begin as."""
    spec = build.source(config).spec
    parts = experiment.build(config, spec)
    params = parts.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: p + np.float32(0.1 * rng.normal(size=p.shape)), params)
    return dataclasses.replace(parts.model, params=params), parts


def test_a_model_draws_molecules_of_the_sizes_of_the_data(tmp_path):
    model, _ = untrained(configured(tmp_path))
    drawn = np.asarray(model.sample(jax.random.key(0), 64))
    sizes = (drawn[..., 0] > 0).sum(1)
    assert set(sizes.tolist()) == {3, 4, 5, 6}
    assert set(np.unique(drawn[..., 0]).tolist()) <= {0, 1, 6, 8, 16}
    np.testing.assert_allclose(drawn[..., 1:].sum(1), 0, atol=1e-4)
    some = np.concatenate(list(model.stream(jax.random.key(0), 20, 8, first=10)))
    np.testing.assert_allclose(some, drawn[10:30], atol=1e-4)
    asked = np.asarray(model.sample(jax.random.key(0), 5, condition={"atoms": 4}))
    np.testing.assert_array_equal((asked[..., 0] > 0).sum(1), 4)
    given = np.asarray(model.sample(jax.random.key(0), 2, condition={"mask": mask_of(model.spec, np.array([3, 5]))}))
    np.testing.assert_array_equal((given[..., 0] > 0).sum(1), [3, 5])
    with pytest.raises(InputError, match="2 to 6 atoms"):
        model.sample(jax.random.key(0), 5, condition={"atoms": 7})
    with pytest.raises(InputError, match="no classes"):
        model.sample(jax.random.key(0), 5, condition=3)


def test_another_path_keeps_the_space(tmp_path):
    model, _ = untrained(configured(tmp_path, sample={"process": {"name": "vp", "beta_min": 0.1, "beta_max": 20.0}}))
    x, frames = model.trajectory(jax.random.key(0), 8, 3)
    np.testing.assert_allclose(np.asarray(frames)[..., :3].sum(2), 0, atol=1e-4)
    there = (np.asarray(x) != 0).any(-1)
    np.testing.assert_array_equal((np.asarray(frames) != 0).any(-1), np.broadcast_to(there, (3, *there.shape)))


def test_a_property_leads_and_its_absence_keeps_the_mask(tmp_path):
    config = configured(
        tmp_path, data={"property": "energy"}, net={"vectors": {"property": 2}}, train={"cond_dropout": 0.5}
    )
    model, parts = untrained(config)
    batch = build.source(config).take(np.arange(16))
    batch = Batch(jnp.asarray(batch.x_0), {k: jnp.asarray(v) for k, v in batch.condition.items()})
    (drop,) = make_transforms(config, model.spec, model.conditions)
    dropped = drop(jax.random.key(0), batch).condition
    np.testing.assert_array_equal(dropped["mask"], batch.condition["mask"])
    assert 0 < (np.asarray(dropped["property"])[:, 1] == 0).sum() < 16
    loss, _ = parts.loss_fn(model.params, jax.random.key(0), batch)
    assert np.isfinite(loss)
    high, low = ({"property": value} for value in (60.0, -30.0))
    drawn = [np.asarray(model.sample(jax.random.key(0), 6, condition=c, guidance=2.0)) for c in (high, low)]
    assert np.abs(drawn[0] - drawn[1]).max() > 0.01
    with pytest.raises(InputError, match="guidance: leads to what the model is told, and nothing is: give property"):
        model.sample(jax.random.key(0), 2, guidance=2.0)
    with pytest.raises(InputError, match="guidance: leads to what the model is told, and nothing is: give property"):
        next(model.stream(jax.random.key(0), 2, guidance=2.0))
    np.testing.assert_array_equal((drawn[0][..., 0] > 0).sum(1), (drawn[1][..., 0] > 0).sum(1))


def test_held_out_molecules_have_a_bound_in_nats(tmp_path):
    config = configured(tmp_path)
    model, _ = untrained(config)
    found = held_out.measure(model, build.held_out(config, model.spec), jax.random.key(0), 4, draws=2)
    terms = [found[f"  {name}"].mean for name in ("prior", "diffusion", "reconstruction", "number of atoms")]
    assert found["bound"].mean == pytest.approx(sum(terms), rel=1e-5)
    assert 0 < terms[3] < np.log(5)
    error = held_out.make_monitor(model, build.held_out(config, model.spec), 4)(model.params)
    assert np.isfinite(error["held_out_mse"])


def test_the_last_step_is_decoded_in_the_space_and_by_the_nearest(float64):
    """The exact x̂_0 of molecules that are known: the coordinates have the density of a normal law on 6 dimensions."""
    x_0 = np.zeros((1, 4, 3 + 2 + 1))
    x_0[0, :3, :3] = np.array([[1.0, 0, 0], [-1, 0.5, 0], [0, -0.5, 0]])
    x_0[0, :3, 3:5], x_0[0, :3, 5] = 0.25 * np.eye(2)[[0, 1, 1]], [0.1, 0.6, 0.6]
    x_0, t = jnp.asarray(x_0), jnp.asarray(0.001)
    process = on(within(schedules.polynomial(), lambda c: centered(c["mask"])), {"mask": jnp.asarray([[1.0, 1, 1, 0]])})
    x_t, _ = perturb(process, jax.random.key(0), x_0, t)
    std = float(process.sigma(t) / process.alpha(t))
    away = np.array([[0.01, 0, 0], [-0.01, 0, 0], [0, 0, 0], [0, 0, 0]])
    ours = of_molecules.decoder(process, lambda x, t: x_0.at[..., :3].add(away), x_0, x_t, t)
    true = -0.5 * 2e-4 / std**2 - 6 * np.log(std * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(ours, true, rtol=1e-6)


def test_the_rest_of_a_molecule_is_drawn_around_atoms_that_are_held(tmp_path):
    model, _ = untrained(configured(tmp_path))
    held = np.array([[6, 10.0, 2, 3], [8, 11.2, 2, 3], [0, 0, 0, 0]])
    run = functools.partial(fragments, model, jax.random.key(0), held=held, repeats=2)
    x = run(6, atoms=5)
    np.testing.assert_allclose(x[:, :2], np.broadcast_to(held[:2], (6, 2, 4)), rtol=1e-6)
    np.testing.assert_array_equal((x[..., 0] > 0).sum(1), 5)
    assert np.abs(x[0, 2:5] - x[1, 2:5]).max() > 0.01
    np.testing.assert_allclose(run(2, atoms=5, first=3), x[3:5], atol=1e-4)
    sizes = run(2, atoms=np.array([4, 6]), method="replace", repeats=None)
    np.testing.assert_array_equal((sizes[..., 0] > 0).sum(1), [4, 6])
    for change, message in (
        ({"atoms": 2}, "2 atoms are held, and atoms=2"),
        ({"held": held[2:]}, "0 atoms are held"),
        ({"atoms": 7}, "2 to 6 atoms"),
        ({"held": np.add(held, [1, 0, 0, 0])}, "element N"),
        ({"held": held[:, :3]}, "must be finite numbers"),
        ({"method": "dps"}, "method of fragments"),
        ({"repeats": 0}, "repeats=0"),
        ({"method": "replace"}, "repeats=2"),
    ):
        with pytest.raises(InputError, match=message):
            run(1, **{"atoms": 5, **change})


def test_the_command_draws_around_the_atoms_of_a_file(tmp_path, monkeypatch, capsys):
    config = configured(tmp_path)
    model, _ = untrained(config)
    monkeypatch.setattr(sample, "opened", lambda workdir: (tmp_path, config))
    monkeypatch.setattr(sample, "load", lambda folder, weights: model)
    (tmp_path / "held.xyz").write_text("2\n\nC 10 2 3\nO 11.2 2 3\n")
    words = ["--task", "fragments", "--held", str(tmp_path / "held.xyz"), "--num", "3", "--repeats", "1"]
    assert sample.main([*words, "--atoms", "5", "--out", str(tmp_path)]) == 0
    drawn = np.load(tmp_path / "fragments" / "examples.npz")["examples"]
    np.testing.assert_allclose(drawn[:, 0], np.tile([6, 10.0, 2, 3], (3, 1)))
    assert (tmp_path / "fragments" / "samples.sdf").stat().st_size > 50
    (tmp_path / "two.xyz").write_text(2 * (tmp_path / "held.xyz").read_text())
    assert sample.main([*words[:3], str(tmp_path / "two.xyz"), "--atoms", "5"]) == 2
    assert "holds 2 molecules" in capsys.readouterr().err
    assert sample.main(words) == 2
    assert "fragments: give --atoms" in capsys.readouterr().err


def test_samples_are_written_and_shown(tmp_path):
    model, _ = untrained(configured(tmp_path))
    show, drawn = find("molecules", "show"), np.asarray(model.sample(jax.random.key(0), 8))
    real = Batch(drawn[:2])
    names = show.save_samples(tmp_path, model.spec, Batch(drawn), real, "a note")
    assert set(names) == {"figure.png", "report.json", "samples.xyz", "samples.sdf"}
    assert all((tmp_path / name).stat().st_size > 50 for name in names)
    _, frames = model.trajectory(jax.random.key(0), 2, 3)
    assert show.save_chain(tmp_path, model.spec, np.asarray(frames), "a note") == ["chain.png"]
    assert show.describe(model.spec) == "molecules of up to 6 atoms of H, C, O, S"
