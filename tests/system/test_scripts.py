"""train.py and sample.py as a user runs them, on a network small enough to train in seconds."""

import json
import random
import signal
import subprocess
import time

import chex
import jax
import numpy as np
import pytest
from PIL import Image

import jaxdiff
from jaxdiff.evaluation import held_out
from jaxdiff.modalities import images
from jaxdiff.training.checkpoints import checkpoint
from tests.helpers.processes import ROOT, TINY, command, rows, size_of, state_of

pytestmark = pytest.mark.usefixtures("quick_compilation")

FURTHER = [
    "--config.ema.sigma_rel=(0.1,)",
    "--config.train.held_out_examples=60",
    "--config.train.keep_best=held_out_mse",
]


def test_a_run_leaves_what_it_says(finished):
    names = {f.name for f in finished.iterdir()}
    assert {"config.json", "checkpoints", "metrics.jsonl", "tensorboard", "samples.png", "loss.png"} <= names
    assert [row["step"] for row in rows(finished)] == list(range(5, 41, 5))
    assert rows(finished)[-1]["loss"] < 0.8 * rows(finished)[0]["loss"]
    assert all({"loss", "mse", "grad_norm", "examples_per_s"} <= row.keys() for row in rows(finished))
    assert size_of(finished / "samples.png") == (8 * 66 + 2, 8 * 66 + 2)
    assert sorted(f.name for f in (finished / "checkpoints").iterdir()) == ["30", "40"]
    assert json.loads((finished / "config.json").read_text())["spec"]["shape"] == [8, 8, 1]


@pytest.mark.slow
def test_the_same_command_again_changes_nothing(call, finished):
    before = state_of(finished)
    out, _ = call("train.py", *TINY, f"--workdir={finished}")
    assert "continuing" in out
    chex.assert_trees_all_equal(before, state_of(finished))


def check_killed_run_equals(environment, call, finished, folder, moments):
    for moment in moments:
        process = subprocess.Popen(
            command("train.py", *TINY, f"--workdir={folder}"), env=environment, cwd=ROOT, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    call("train.py", *TINY, f"--workdir={folder}")
    chex.assert_trees_all_equal(state_of(finished), state_of(folder))
    assert [r["step"] for r in rows(folder)] == [r["step"] for r in rows(finished)]
    assert not [f for f in (folder / "checkpoints").iterdir() if not f.name.isdigit()]


def kill_after_checkpoint(environment, folder, step):
    """Start, and kill as soon as that step's checkpoint appears, complete or still being written."""
    process = subprocess.Popen(
        command("train.py", *TINY, f"--workdir={folder}"), env=environment, cwd=ROOT, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list((folder / "checkpoints").glob(f"{step}*")):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_and_started_again_it_ends_with_the_same_bits(environment, call, finished, tmp_path):
    for step in (10, 20):
        kill_after_checkpoint(environment, tmp_path, step)
    check_killed_run_equals(environment, call, finished, tmp_path, moments=[])


@pytest.mark.slow
def test_killed_at_fifty_random_moments_it_ends_with_the_same_bits(environment, call, finished, tmp_path):
    start = time.perf_counter()
    subprocess.run(command("train.py", *TINY, f"--workdir={tmp_path / 'timed'}"), env=environment, cwd=ROOT, check=True)
    whole, dice = time.perf_counter() - start, random.Random(0)
    check_killed_run_equals(
        environment, call, finished, tmp_path / "killed", [dice.uniform(0.2, 0.9) * whole for _ in range(50)]
    )


@pytest.mark.slow
def test_a_run_goes_on_with_other_devices_as_if_nothing_had_changed(call, environment, finished, tmp_path):
    for end, devices, mesh in ((10, 8, "fsdp=8"), (20, 1, ""), (30, 4, "tensor=2")):
        sizes = ["--config.train.mesh.data=-1", *(f"--config.train.mesh.{mesh}" for _ in mesh[:1])]
        arguments = [*TINY, *sizes, f"--config.train.steps={end}", f"--workdir={tmp_path}"]
        flags = {"XLA_FLAGS": f"{environment['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"}
        out, _ = call("train.py", *arguments, **flags)
        assert f"{devices} cpu device(s)" in out
        assert mesh in out
    expected = [row["loss"] for row in rows(finished) if row["step"] <= 30]
    np.testing.assert_allclose([row["loss"] for row in rows(tmp_path)], expected, rtol=1e-4)


def test_sampling_writes_pictures_of_the_averaged_weights(call, finished):
    out, _ = call("sample.py", f"--workdir={finished.parent}", "--num=5", "--seed=3", "--steps=7")
    assert f"{finished}: ema_0.998 of step 40, ancestral, 7 steps" in out
    out = finished / "samples"
    images = np.load(out / "samples.npy")
    assert images.shape == (5, 8, 8, 1)
    assert images.dtype == np.float32
    assert size_of(out / "grid.png") == (3 * 66 + 2, 2 * 66 + 2)
    with Image.open(out / "chain.gif") as gif, Image.open(out / "grid.png") as grid:
        assert gif.n_frames == 8
        gif.seek(7)
        np.testing.assert_allclose(np.int16(gif.convert("L")), np.int16(grid.convert("L")), atol=1)
    assert size_of(out / "chain.png") == (8 * 66 + 2, 5 * 66 + 2)

    model = jaxdiff.load(finished)
    chex.assert_trees_all_equal(model.params, state_of(finished).ema["ema_0.998"])
    np.testing.assert_allclose(model.sample(jax.random.key(3), 5, steps=7), images, atol=1e-4)

    some = ["--num=3", "--batch=2", "--sampler=ddim", "--eta=0.3", "--steps=4"]
    call("sample.py", f"--workdir={finished}", *some)
    parts = list(model.stream(jax.random.key(0), 3, 2, 4, "ddim", eta=0.3))
    np.testing.assert_allclose(np.load(out / "samples.npy"), np.concatenate(parts), atol=1e-4)
    assert {f.name for f in out.iterdir()} == {
        "samples.npy",
        "samples.json",
        "grid.png",
        "chain.gif",
        "chain.png",
        ".lock",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=configs/ddpm.py:cifar"], "unknown setting 'cifar'"),
        (["--config=configs/none.py"], "none.py"),
        ([], "give --config"),
        ([*TINY, "--config.train.stepz=3"], "'stepz' (did you mean 'steps'?): allowed are accumulate, augment"),
        ([*TINY, "--config.train.steps=many"], "--config.train.steps=many: invalid literal for int()"),
        ([*TINY, "--bogus=1"], "unknown option '--bogus'"),
        ([*TINY, "--config.data.name=digit"], "unknown dataset 'digit' (did you mean 'digits'?)"),
        ([*TINY, "--config.sample.sampler.name=dimm"], "unknown sampler 'dimm' (did you mean 'ddim'?)"),
        ([*TINY, "--config.process.betas.name=liner"], "unknown table of betas 'liner' (did you mean 'linear'?)"),
        (["--config=configs/ddpm.py", "--config.net.multipliers=(1,1,1,1,1)"], "8x8 cannot be halved 4 times"),
        ([*TINY, "--config.train.batch_size=15"], "batch_size=15 cannot be split over 2 device(s)"),
        ([*TINY, "--config.train.mesh.data=3"], "mesh data=3, fsdp=1, tensor=1: 3 does not equal the 2 cpu device(s)"),
        (
            [*TINY, "--config.train.steps_per_call=3"],
            "train.steps_per_call=3: train.log_every=5, train",
        ),
        ([*TINY, "--config.train.device_data=gpu"], "unknown train.device_data 'gpu': allowed are always, auto, never"),
        (["--config=configs/ddpm.py:folder=/dev/shm/none"], "'/dev/shm/none' is not a folder"),
        (["--config=configs/ddpm.py:cifar10", "--config.data.data_dir=/none"], "'cifar10' is not prepared in '/none'"),
    ],
)
def test_bad_input_to_training_is_one_line_and_code_2(refuse, tmp_path, arguments, message):
    assert message in refuse("train.py", *arguments, f"--workdir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_configuration_is_left_alone(call, finished):
    before = {f: f.read_bytes() for f in finished.rglob("*") if f.is_file()}
    _, err = call("train.py", *TINY, "--config.optimizer.learning_rate=0.5", f"--workdir={finished}", code=2)
    assert "another configuration, optimizer.learning_rate (0.002 there, 0.5 now): choose another --workdir" in err
    assert {f: f.read_bytes() for f in finished.rglob("*") if f.is_file()} == before


@pytest.mark.slow
def test_a_picture_that_turns_out_bad_loses_nothing(call, tmp_path):
    data, folder = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    for i in range(40):
        Image.fromarray(pixels).save(data / f"{i}.png")
    (data / "7.png").write_bytes((data / "7.png").read_bytes()[:2000])
    arguments = [
        *TINY[1:],
        "--config.net.blocks=1",
        "--config.data.size=8",
        "--config.data.channels=1",
        "--config.train.choose=False",  # which looks at the pictures beforehand
        f"--workdir={folder}",
    ]
    _, err = call("train.py", f"--config=configs/ddpm.py:folder={data}", *arguments, code=2)
    assert "7.png' cannot be read as a picture" in err
    assert list((folder / "checkpoints").glob("[0-9]*"))
    Image.fromarray(pixels).save(data / "7.png")
    call("train.py", f"--config=configs/ddpm.py:folder={data}", *arguments)
    assert int(state_of(folder).step) == 40


@pytest.fixture(scope="module")
def measured_run(call, tmp_path_factory):
    """With a second average, and its error on held-out data."""
    folder = tmp_path_factory.mktemp("runs") / "measured"
    call("train.py", *TINY, *FURTHER, f"--workdir={folder}")
    return folder


def test_each_average_has_its_own_pictures_which_name_it(measured_run):
    for file, name in (("samples.png", "ema_0.998"), ("samples-sigma_rel_0.1.png", "sigma_rel_0.1")):
        with Image.open(measured_run / file) as picture:
            assert picture.text["Comment"] == f"{name} of step 40"


@pytest.mark.slow
def test_the_model_in_the_checkpoint_with_the_least_error_is_the_one_measured(measured_run):
    measured = {row["step"]: row["held_out_mse"] for row in rows(measured_run, "held_out_mse")}
    assert list(measured) == [10, 20, 30, 40]
    assert checkpoint.best(measured_run / "checkpoints", "held_out_mse") == 40 == min(measured, key=measured.get)
    monitor = held_out.make_monitor(jaxdiff.load(measured_run), images.digits("test"), 60)
    again = monitor(state_of(measured_run).ema["ema_0.998"])["held_out_mse"]
    np.testing.assert_allclose(again, measured[40], rtol=1e-4)


@pytest.mark.slow
def test_weights_by_name_and_made_afterwards(call, refuse, measured_run):
    state, few = state_of(measured_run), ["--num=2", "--steps=3", f"--workdir={measured_run}"]
    for name, expected in {"params": state.params, "sigma_rel_0.1": state.ema["sigma_rel_0.1"]}.items():
        out, _ = call("sample.py", *few, f"--weights={name}")
        assert f"{measured_run}: {name} of step 40, ancestral" in out
        record = json.loads((measured_run / "samples" / "samples.json").read_text())
        assert (record["weights"], record["steps"], record["seed"]) == (f"{name} of step 40", 3, 0)
        chex.assert_trees_all_equal(jaxdiff.load(measured_run, name).params, expected)
    out, _ = call("sample.py", *few, "--weights=0.11")
    assert "sigma_rel_0.11, made of 2 averages," in out
    same = jaxdiff.load(measured_run, 0.1).params
    chex.assert_trees_all_close(same, state.ema["sigma_rel_0.1"], atol=1e-6)
    message = refuse("sample.py", *few, "--weights=sigma_rel_0.3")
    assert (
        "unknown weights 'sigma_rel_0.3' (did you mean 'sigma_rel_0.1'?): allowed are a number, ema_0.998, params"
        in message
    )


@pytest.mark.slow
def test_likelihood_of_held_out_data(call, finished):
    out, _ = call("sample.py", f"--workdir={finished}", "--likelihood", "--examples=8")
    figures = json.loads((finished / "likelihood.json").read_text())
    assert figures["examples"] == 8
    terms = [figures[name]["mean"] for name in ("prior", "diffusion", "reconstruction")]
    np.testing.assert_allclose(figures["variational bound"]["mean"], sum(terms), rtol=1e-4)
    for name in ("variational bound", "probability flow", "bound of 1000 steps"):
        assert f"{figures[name]['mean']:.3f} ± {figures[name]['error']:.3f}" in out
        assert figures[name]["mean"] > np.log2(17) / 4  # a network hardly trained is far from knowing the digits


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workdir={empty}"], "no run with a checkpoint at"),
        (["--workdir={run}", "--sampler=dimm"], "unknown sampler 'dimm' (did you mean 'ddim'?)"),
        (["--workdir={run}", "--eta=0.5"], "unknown option of sampler 'ancestral' 'eta'"),
        (["--workdir={run}", "--sampler=ddim", "--eta=2"], "eta=2.0: must be a number from 0 to 1"),
        (["--workdir={run}", "--steps=2000"], "from 1 to 1000"),
        (["--workdir={run}", "--num=0"], "draw at least one example"),
        (["--workdir={run}", "--label=1"], "trained without 'label'"),
        (["--workdir={run}", "--option=eta"], "--option eta: must be NAME=VALUE"),
        (["--workdir={run}", "--option=order=2"], "unknown option of sampler 'ancestral' 'order'"),
        (["--workdir={run}", "--eta=0.1", "--option=eta=0.2"], "--eta: is given by --option, too"),
        (["--workdir={run}", "--option=steps=5"], "unknown --option 'steps'"),
        (["--workdir={run}", "--seed=-1"], "--seed -1: must be from 0 to 4294967295"),
        (["--workdir={run}", "--examples=5"], "--examples: goes with --likelihood"),
        (
            ["--workdir={run}", "--likelihood", "--label=9"],
            "--label: goes with plain drawing and --task",
        ),
        (["--workdir={run}", "--likelihood", "--examples=1000"], "n=1000: there are 360 held-out examples"),
    ],
)
def test_bad_input_to_sampling_is_one_line_and_code_2(refuse, finished, tmp_path, arguments, message):
    assert message in refuse("sample.py", *(a.format(empty=tmp_path, run=finished) for a in arguments))
