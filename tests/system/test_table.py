"""train.py and sample.py on tables, as a user runs them."""

import csv
import json

import numpy as np
import pytest

from tests.helpers.processes import size_of

pytestmark = pytest.mark.usefixtures("quick_compilation")

TINY = [
    "--config.net.widths=(16,16,16)",
    "--config.net.blocks=1",
    "--config.net.embedding=16",
    "--config.train.batch_size=32",
    "--config.train.steps=20",
    "--config.train.log_every=10",
    "--config.train.sample_every=10",
    "--config.train.checkpoint_every=10",
    "--config.train.held_out_examples=50",
    "--config.sample.steps=5",
]


@pytest.fixture(scope="module")
def run(call, tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "table"
    out, _ = call("train.py", "--config=configs/table.py:classes", *TINY, f"--workdir={place}")
    assert "455 rows of 30 columns" in out
    return place


def test_a_run_keeps_what_a_row_is_and_shows_it(run):
    assert {"samples.png", "loss.png", "metrics.jsonl"} <= {f.name for f in run.iterdir()}
    assert min(size_of(run / "samples.png")) > 500
    spec = json.loads((run / "config.json").read_text())["spec"]
    assert (spec["shape"], spec["modality"], spec["low"]) == ([30], "tables", None)
    assert spec["details"]["classes"] == ["malignant", "benign"]
    assert any("held_out_mse" in line for line in (run / "metrics.jsonl").read_text().splitlines())


@pytest.mark.slow
def test_the_same_command_again_goes_on(call, run):
    out, _ = call("train.py", "--config=configs/table.py:classes", *TINY, f"--workdir={run}")
    assert "continuing" in out


@pytest.mark.slow
def test_samples_are_in_the_units_of_the_table(call, run):
    out, _ = call("sample.py", f"--workdir={run}", "--num=30", "--batch=20")
    assert "figure.png, samples.csv and chain.png there" in out
    place = run / "samples"
    assert {f.name for f in place.iterdir()} == {
        "samples.npy",
        "samples.csv",
        "samples.json",
        ".lock",
        "figure.png",
        "chain.png",
    }
    rows = np.load(place / "samples.npy")
    assert (rows.shape, rows.dtype) == ((30, 30), np.float64)
    with open(place / "samples.csv", newline="") as file:
        header, *lines = csv.reader(file)
    assert (header[0], header[-1]) == ("mean radius", "diagnosis")
    assert [line[-1] for line in lines] == ["malignant", "benign"] * 15
    np.testing.assert_allclose(np.float64([line[:-1] for line in lines]), rows, rtol=1e-6)
    mean = dict(zip(header, rows.mean(0), strict=False))
    assert 200 < mean["mean area"] < 2000  # 655 in the table, and 0 on the scale of the network
    assert abs(mean["mean smoothness"]) < 0.3

    call("sample.py", f"--workdir={run}", "--num=3", "--label=1", "--guidance=2", "--sampler=ddim", "--steps=4")
    with open(place / "samples.csv", newline="") as file:
        assert [line[-1] for line in csv.reader(file)][1:] == ["benign"] * 3


@pytest.mark.parametrize("task", ["img2img", "denoise", "detect", "synthesize"])
def test_tasks_of_images_are_one_line(refuse, run, task):
    message = refuse("sample.py", f"--workdir={run}", f"--task={task}")
    assert f"--task {task}: is for images, and this data is of the modality 'tables'" in message


def test_the_likelihood_of_a_table_is_one_line(refuse, run):
    assert "no known levels" in refuse("sample.py", f"--workdir={run}", "--likelihood")


@pytest.mark.slow
def test_a_file_of_ones_own_which_is_gone_when_it_is_drawn(call, tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 2)) * [1, 100] + [0, 1000]
    path = tmp_path / "own.csv"
    path.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in rows))
    tiny = [text for text in TINY if "held_out" not in text]
    call("train.py", f"--config=configs/table.py:file={path}", *tiny, f"--workdir={tmp_path / 'run'}")
    path.unlink()
    out, err = call("sample.py", f"--workdir={tmp_path / 'run'}", "--num=20", "--json")
    assert "no real data is shown beside: " in err
    assert json.loads(out)["num"] == 20
    drawn = np.loadtxt(tmp_path / "run" / "samples" / "samples.csv", delimiter=",", skiprows=1)
    assert drawn.shape == (20, 2)
    assert 500 < drawn[:, 1].mean() < 1500
