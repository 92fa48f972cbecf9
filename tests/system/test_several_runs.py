"""Runs of all kinds, trained for a few steps by train.py, and what sample.py does with several of them."""

import json

import jax
import numpy as np
import pytest

import jaxdiff
from jaxdiff import pipelines
from jaxdiff.modalities import images
from jaxdiff.pipelines.load import load_classifier
from tests.helpers.processes import size_of

pytestmark = pytest.mark.slow

SHORT = [
    "--config.net.channels=32",
    "--config.net.attention=()",
    "--config.train.batch_size=16",
    "--config.train.steps=4",
    "--config.train.log_every=2",
    "--config.train.sample_every=4",
    "--config.train.checkpoint_every=4",
    "--config.sample.steps=3",
]


@pytest.fixture(scope="module")
def runs(call, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, config in {
        "classifier": "classifier.py",
        "large": "super_resolution.py",
        "small": "super_resolution.py:digits_4",
    }.items():
        call("train.py", f"--config=configs/{config}", *SHORT, f"--workdir={folder / name}")
    return folder


def test_previews_show_what_each_kind_does(runs):
    assert size_of(runs / "large" / "samples.png") == (16 * 66 + 2, 3 * 66 + 2)  # given, drawn, true
    assert size_of(runs / "small" / "samples.png") == (8 * 66 + 2, 8 * 66 + 2)
    rows = [json.loads(line) for line in (runs / "classifier" / "metrics.jsonl").read_text().splitlines()]
    assert 0 <= next(row["accuracy_ema_0.998"] for row in rows if "accuracy_ema_0.998" in row) <= 1
    assert (runs / "classifier" / "samples.png").stat().st_size > 1000


def test_a_cascade_and_a_guided_model_by_command(call, runs):
    out, _ = call(
        "sample.py", f"--workdir={runs / 'small'}", "--task=cascade", "--then", str(runs / "large"), "--num=5"
    )
    assert "all 5 are in images.npz" in out
    with np.load(runs / "small" / "samples" / "cascade" / "images.npz") as content:
        assert content["images"].shape == (5, 8, 8, 1)
    by_classifier, by_worse = f"--classifier={runs / 'classifier'}", f"--worse={runs / 'large'}"
    for led in (["--task=guide", by_classifier], ["--task=autoguide", by_worse]):
        call("sample.py", f"--workdir={runs / 'large'}", *led, "--num=3")
    assert load_classifier(runs / "classifier").num_classes == 10


def test_a_run_that_enlarges_is_read_as_one(runs):
    model = jaxdiff.load(runs / "large")
    assert (model.upscales, set(model.conditions)) == (2, {"low_res", "low_res_noise"})
    small = images.digits("test").take(np.arange(4)).x_0.reshape(4, 4, 2, 4, 2, 1).mean((2, 4))
    assert pipelines.upscale(model, jax.random.key(0), small).shape == (4, 8, 8, 1)


def test_a_run_of_the_wrong_kind_is_named(refuse, runs):
    assert "is a classifier, which draws nothing" in refuse("sample.py", f"--workdir={runs / 'classifier'}")
    led = ["--task=guide", f"--classifier={runs / 'large'}"]
    assert "is no classifier: train one with" in refuse("sample.py", f"--workdir={runs / 'large'}", *led)
    back = ["--task=cascade", "--then", str(runs / "small")]
    assert "model 2 does not upscale" in refuse("sample.py", f"--workdir={runs / 'large'}", *back)
