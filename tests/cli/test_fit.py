"""Fitting to data, machine and time: what the facts are, what is said, and what a run keeps."""

import json

import chex
import jax
import numpy as np
import pytest
from PIL import Image

from jaxdiff.cli import fit, setup
from jaxdiff.cli import train as program
from jaxdiff.config.budget import Speed
from jaxdiff.errors import InputError
from jaxdiff.training.checkpoints import checkpoint
from tests.helpers.configs import get_config

SMALL = {"net.channels": 16, "net.groups": 16, "net.multipliers": (1,), "net.attention": (), "sample.steps": 2}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    rng = np.random.default_rng(0)
    for kind in ("cats", "dogs"):
        (folder / kind).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(rng.integers(0, 256, (21, 17 + i), np.uint8)).save(folder / kind / f"{i}.png")
    return folder


def a_config(path, kind="folder", file="ddpm", **fields):
    config = get_config(f"{kind}={path}", file)
    for name, value in {**SMALL, **fields}.items():
        part, _, last = name.partition(".")
        config[part][last] = value
    return config


def test_facts_of_a_folder(pictures):
    facts = fit.facts(a_config(pictures))
    assert (facts.examples, facts.shape, facts.classes, facts.mirrored) == (8, (17 + 1, 17 + 1, 1), 2, True)
    assert (facts.device, facts.devices) == (jax.default_backend(), jax.device_count())
    assert facts.rms == pytest.approx(0.58, abs=0.1)
    Image.new("RGB", (30, 40), "red").save(pictures / "cats" / "9.png")
    assert fit.facts(a_config(pictures)).shape == (19, 19, 3)


@pytest.mark.parametrize(
    ("scale", "kind", "values"), [(1, float, (0, 1)), (255, np.uint8, None), (200, float, (0, 200))]
)
def test_facts_of_an_array(tmp_path, scale, kind, values):
    images = np.linspace(0, scale, 6 * 8 * 9).reshape(6, 8, 9).astype(kind)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([0, 1, 0, 1, 0, 1]))
    facts = fit.facts(a_config(tmp_path / "a.npz", "arrays", **{"data.key": "images", "data.label_key": "labels"}))
    assert (facts.examples, facts.shape, facts.classes, facts.values) == (6, (8, 9, 1), 2, values)


@pytest.mark.slow
def test_a_run_keeps_what_was_chosen_first(pictures, tmp_path, monkeypatch, capsys):
    """The same command, on a machine that is ten times as fast now and with other pictures, goes on as before."""
    fixed = [*SMALL, "train.sample_every", "train.batch_size"]
    config = a_config(pictures, **{"train.batch_size": 4, "train.sample_every": 1000, "train.minutes": 0.3})
    monkeypatch.setattr(fit, "measure", lambda _: Speed(1.0))
    monkeypatch.setattr(program.fit, "measure", lambda _: Speed(1.0))
    run = tmp_path / "run"
    first = fit.settle(config, run, fixed)
    steps = first.config["train"]["steps"]
    assert 2 <= steps <= 17
    assert first.speed == Speed(1.0)
    assert {name: first.config["net"][name.partition(".")[2]] for name in SMALL if name.startswith("net")} == {
        name: value for name, value in SMALL.items() if name.startswith("net")
    }
    said = capsys.readouterr().out
    assert "chosen for 8 images of 18x18x1 in 2 classes" in said
    assert f"--config.train.steps={steps}" in said
    assert "--config.data.size=16 " in said
    assert program.train(first.config, run, first.speed) == 0
    assert f"{steps * 4} seen" in capsys.readouterr().err

    monkeypatch.setattr(fit, "measure", lambda _: Speed(0.1))
    Image.new("RGB", (80, 80), "red").save(pictures / "cats" / "3.png")
    again = fit.settle(config, run, fixed)
    assert json.loads(json.dumps(again.config)) == json.loads(json.dumps(first.config))
    assert "as chosen when this run began: data.size" in capsys.readouterr().out
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (21, 20), np.uint8)).save(pictures / "cats" / "3.png")

    longer = fit.settle(
        {**config, "train": {**config["train"], "minutes": 0.0, "steps": steps + 2}}, run, ["train.steps"]
    )
    assert longer.config["train"]["steps"] == steps + 2


@pytest.mark.statistical
def test_timing_changes_no_bit(tmp_path):
    """A run whose steps were timed before ends with the parameters of one whose were not."""
    config = get_config()
    for name, value in SMALL.items():
        part, _, last = name.partition(".")
        config[part][last] = value
    config["train"] |= {"steps": 3, "batch_size": 8}
    ends = []
    for timed in (False, True):
        run = tmp_path / str(timed)
        speed = fit.measure(setup.prepare(config)) if timed else None
        assert program.train(config, run, speed) == 0
        with checkpoint.Checkpoints(run / "checkpoints") as saved:
            ends.append(saved.restore(setup.prepare(config).first()))
    assert speed.step_s > 0
    chex.assert_trees_all_equal(*map(fit_data, ends))


def fit_data(state):
    return jax.tree.map(np.asarray, (state.step, state.params, state.ema, state.opt_state))


@pytest.mark.statistical
def test_pictures_come_early(pictures, tmp_path, monkeypatch):
    shown = []
    config = a_config(pictures, **{"train.steps": 120, "train.batch_size": 4, "train.choose": False, "data.size": 16})
    config["data"]["channels"] = 1
    monkeypatch.setattr(program.fit, "measure", lambda _: Speed(2.0))
    monkeypatch.setattr(setup.watch, "make_preview", lambda *_: lambda *given: shown.append(given[-1]))
    config["train"] |= {"checkpoint_every": 1000, "sample_every": 100}
    program.train(config, tmp_path / "run")
    assert shown == [43, 86, 100, 120]  # a preview takes 43 s, says the speed, so the first comes after 86


@pytest.mark.parametrize(
    ("fields", "fixed", "message"),
    [
        ({"train.minutes": 3.0}, ["train.steps"], "train.minutes=3 and train.steps=200000: set one of them"),
        ({"data.path": "/nowhere"}, [], "'/nowhere' is not a folder"),
    ],
)
def test_what_does_not_fit_is_refused(pictures, tmp_path, fields, fixed, message):
    with pytest.raises(InputError, match=message):
        fit.settle(a_config(pictures, **fields), tmp_path / "run", fixed)
    assert not (tmp_path / "run").exists()
