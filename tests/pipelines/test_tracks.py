"""Trajectories from a configuration: trained, drawn, planned and continued, by the command line."""

import jax
import numpy as np
import pytest

import jaxdiff
from jaxdiff.cli import sample
from jaxdiff.config import build
from jaxdiff.errors import InputError
from jaxdiff.pipelines.experiment import build as built
from tests.helpers.configs import get_config

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def as_many_devices_as_there_are(monkeypatch):
    monkeypatch.setattr(sample, "use_cpu_devices", lambda count: None)


def small(setting, file="diffuser", **data):
    """A configuration of a tiny network, and of little data."""
    config = get_config(setting, file)
    config["net"] |= {"channels": 8, "groups": 4, "multipliers": (1, 2)}
    config["train"] |= {"steps": 4, "batch_size": 8, "log_every": 2, "sample_every": 100}
    config["sample"]["steps"] = 3
    for part in ("data", "held_out"):
        config[part] |= data
    return config


def trained(folder, config):
    jaxdiff.train(config=config, workdir=folder)
    return folder


@pytest.fixture(scope="module")
def maze_run(tmp_path_factory):
    config = small("maze=umaze", trips=40, steps=8, stride=40)
    return trained(tmp_path_factory.mktemp("maze") / "run", config)


@pytest.fixture(scope="module")
def frames_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    np.savez(folder / "walks.npz", windows=np.cumsum(np.random.default_rng(0).normal(size=(40, 8, 2)), 1))
    return trained(folder / "run", small(f"frames={folder / 'walks.npz'}"))


def test_plans_of_a_maze(maze_run, tmp_path, monkeypatch, capsys):
    line = ["--workdir", str(maze_run), "--num", "3", "--out", str(tmp_path), "--task", "plan", "--via", "4:1,0"]
    assert sample.main([*line, "--start=-1,1", "--goal=-1,-1"]) == 0
    plans = np.load(tmp_path / "plan" / "plans.npz")
    assert plans["windows"].shape == (3, 8, 2)
    np.testing.assert_allclose(plans["windows"][:, [0, 4, 7]], np.tile([[-1, 1], [1, 0], [-1, -1]], (3, 1, 1)))
    assert (np.diff(plans["costs"]) >= 0).all()
    assert (tmp_path / "plan" / "tracks.png").exists()
    (tmp_path / "liking.py").write_text(
        "high = lambda x: x[..., 1].mean(1)\nall = lambda x: x.sum()\nvalue = lambda x, t: x[..., 1].mean(1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for more in (["--reward", "liking:high", "--scale", "5"], ["--value", "liking:value"]):
        assert sample.main([*line, *more]) == 0
        led = np.load(tmp_path / "plan" / "plans.npz")
        assert (np.diff(led["costs"]) >= 0).all()
        if "--reward" in more:
            np.testing.assert_allclose(led["costs"], -led["windows"][..., 1].mean(1), atol=1e-5)
    for more, message in (
        (["--reward", "liking:all"], "must be a number for each"),
        (["--reward", "liking:none"], "reward 'liking:none'"),
        (["--reward", "liking:high", "--value", "liking:value"], "a value and not by both"),
        (["--scale", "5"], "--scale: is of a reward"),
    ):
        assert sample.main([*line, *more]) == 2
        assert message in capsys.readouterr().err
    assert sample.main([*line, "--start=-1,0"]) == 2
    assert "lies in a wall" in capsys.readouterr().err
    assert sample.main(["--workdir", str(maze_run), "--task", "inpaint", "--mask", "half"]) == 2
    assert "is for images" in capsys.readouterr().err


def test_samples_and_rollouts_of_frames(frames_run, tmp_path):
    assert sample.main(["--workdir", str(frames_run), "--num", "2", "--out", str(tmp_path / "plain")]) == 0
    assert np.load(tmp_path / "plain" / "samples.npz")["windows"].shape == (2, 8, 2)
    assert {"tracks.png", "chain.png"} <= {file.name for file in (tmp_path / "plain").iterdir()}
    line = ["--workdir", str(frames_run), "--num", "2", "--out", str(tmp_path), "--task", "rollout", "--length", "19"]
    assert sample.main([*line, "--option", "delay=0.5"]) == 0
    assert np.load(tmp_path / "rollout" / "plans.npz")["windows"].shape == (2, 19, 2)


def test_a_model_without_a_time_for_each_step_is_not_staggered(maze_run, capsys):
    assert sample.main(["--workdir", str(maze_run), "--num", "2", "--sampler", "staggered"]) == 2
    assert "not for what this model has learned" in capsys.readouterr().err


def test_a_policy_is_told_its_observation(tmp_path):
    model = jaxdiff.train(config=small("maze=umaze", "diffusion_policy", trips=20), workdir=tmp_path / "run")
    seen = np.zeros((3, 6), np.float32)
    assert model.sample(jax.random.key(0), 3, condition={"observation": seen}).shape == (3, 16, 2)
    assert model.guidable
    with pytest.raises(InputError, match="'observation' of shape"):
        model.sample(jax.random.key(0), 3, condition={"observation": seen[:, :4]})


def test_a_policy_from_a_file(tmp_path):
    np.savez(tmp_path / "demos.npz", windows=np.zeros((20, 16, 3)), observation=np.ones((20, 5)))
    config = get_config(f"file={tmp_path / 'demos.npz'}", "diffusion_policy")
    source = build.source(config)
    model = built(config, source.spec).model
    assert model.conditions["observation"].shape == source.conditions["observation"].shape == (5,)


def test_a_length_that_the_network_cannot_halve(tmp_path):
    np.savez(tmp_path / "odd.npz", windows=np.random.default_rng(0).normal(size=(20, 9, 2)))
    config = get_config(f"tracks={tmp_path / 'odd.npz'}", "diffuser")
    with pytest.raises(InputError, match="a multiple of 4"):
        built(config, build.source(config).spec)


def test_a_network_that_takes_one_time_is_not_trained_on_frames(tmp_path):
    config = get_config()
    config["loss"] = {"name": "frames", "weight": {"name": "simple"}, "times": {"name": "stratified"}}
    with pytest.raises(InputError, match="net 'unet': takes one time for all steps"):
        built(config, build.source(config).spec)


def test_a_network_that_takes_times_is(tmp_path):
    np.savez(tmp_path / "walks.npz", windows=np.random.default_rng(0).normal(size=(20, 8, 2)))
    config = small(f"frames={tmp_path / 'walks.npz'}")
    assert built(config, build.source(config).spec).model.samplers == ("staggered", "any")


def test_trajectories_of_several_lengths(tmp_path):
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 9, 40)
    np.savez(tmp_path / "walks.npz", windows=rng.normal(size=(lengths.sum(), 2)).cumsum(0), lengths=lengths)
    run = trained(tmp_path / "run", small(f"lengths={tmp_path / 'walks.npz'}"))
    assert (run / "samples.png").exists()
    model = jaxdiff.load(run)
    assert model.conditions.keys() == {"mask"}
    again = jaxdiff.load(model.save(tmp_path / "folder"))
    assert again.spec == model.spec
    line = ["--workdir", str(run), "--num", "20", "--out", str(tmp_path / "out")]
    for more, allowed in (([], set(lengths)), (["--length", "5"], {5})):
        assert sample.main([*line, *more]) == 0
        with np.load(tmp_path / "out" / "samples.npz") as file:
            assert set(file["lengths"]) <= allowed
            np.testing.assert_array_equal(np.isfinite(file["windows"]).all(-1).sum(1), file["lengths"])
    assert sample.main([*line, "--length", "9"]) == 2
    assert sample.main([*line, "--task", "plan", "--start=0,0", "--goal=1,1", "--num", "2"]) == 0
    x = np.load(tmp_path / "out" / "plan" / "plans.npz")["windows"]
    for one in x:
        np.testing.assert_allclose(one[np.isfinite(one).all(-1)][[0, -1]], [[0, 0], [1, 1]], atol=1e-6)


def test_plans_are_followed_through_a_maze(maze_run, tmp_path, monkeypatch, capsys):
    line = ["--workdir", str(maze_run), "--num", "2", "--out", str(tmp_path), "--task", "plan", "--start=-1,1"]
    assert sample.main([*line, "--goal=-1,-1", "--length", "5", "--every", "2"]) == 0
    out = capsys.readouterr().out
    assert "3 plans followed, 2 steps each" in out
    assert "from the goal after step" in out
    ride = np.load(tmp_path / "plan" / "plans.npz")
    assert ride["windows"].shape == (1, 6, 2)
    assert ride["plans"].shape == (3, 8, 2)
    assert ride["actions"].shape == (5, 40, 2)  # of the 40 steps of the dynamics from one state to the next
    np.testing.assert_allclose(ride["plans"][:, 0], ride["windows"][0, [0, 2, 4]], atol=1e-5)
    (tmp_path / "own_world.py").write_text("walk = lambda state, action: action\nhalf = lambda plans, i: plans[:, i]\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = ["--length", "2", "--world", "own_world:walk", "--act", "own_world:half", "--warm", "0.5", "--every", "1"]
    assert sample.main([*line, *own]) == 0
    np.testing.assert_allclose(np.load(tmp_path / "plan" / "plans.npz")["windows"], np.tile([-1.0, 1.0], (1, 3, 1)))
    for more, message in (
        (["--every", "2"], "--every: is of plans that are followed"),
        (["--length", "3", "--every", "9"], "of a plan up to 7"),
        (["--length", "3", "--world", "own_world:none"], "world 'own_world:none'"),
    ):
        assert sample.main([*line, *more]) == 2
        assert message in capsys.readouterr().err
