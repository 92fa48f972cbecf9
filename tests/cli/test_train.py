"""The loop of training: what a run that was stopped has in common with one that was not."""

import os
import signal

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.api.train import configured
from jaxdiff.cli import preview, setup
from jaxdiff.cli import train as program
from jaxdiff.data.source import Source
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.training import log
from jaxdiff.training.checkpoints.stored import best, metrics_of, steps, wrong_with

ERRORS = [9.0, 5.0, 3.0, 3.5, 3.2, 1.0]
"""Measured after so many steps: with a patience of 2, training ends after 4, and the best is that after 2."""
FIELDS = {
    "train.steps": 5,
    "train.batch_size": 2,
    "train.checkpoint_every": 1,
    "train.log_every": 3,
    "train.keep": 1,
    "train.steps_per_call": 1,
    "train.device_data": "never",
    "ema.decay": (0.0,),
}


def counting(process, parameterization, network):
    """A loss by which a parameter counts the steps."""
    return lambda params, key, batch: (-params["a"], {})


@pytest.fixture
def run(monkeypatch, tmp_path):
    """`(name, stops) -> folder`: train there, with a signal in the midst of these measurements, until nothing stops."""
    net = (lambda params, x, t, condition: x * params["a"], {"a": jnp.float32(0)})
    parts = {"net": net, "loss": counting, "optimizer": optax.sgd(1.0)}
    config = configured(np.zeros((4, 4, 4, 1), np.uint8), {}, None, FIELDS, parts)
    left = []

    def measure(params):
        step = int(params["a"])
        if step in left:
            left.remove(step)
            os.kill(os.getpid(), signal.SIGUSR1)
        return {"held_out_mse": ERRORS[step]}

    def aside(what, work, asked):
        done = None if asked() else work()
        return None if asked() else done

    made = setup.prepare(config)._replace(measure=measure, preview=lambda *_: None)
    monkeypatch.setattr(program, "prepare", lambda config: made)
    monkeypatch.setattr(program, "report", lambda *_: None)
    monkeypatch.setattr(program.stop, "aside", aside)
    config["train"] |= {"keep_best": "held_out_mse", "patience": 2}

    def start(name, *stops):
        left[:] = stops
        codes = [program.train(config, tmp_path / name, progress=False) for _ in range(len(stops) + 1)]
        assert codes == [128 + signal.SIGUSR1] * len(stops) + [0]
        return tmp_path / name

    return start


@pytest.mark.system
def test_a_run_that_was_stopped_has_the_patience_and_the_best_of_one_that_was_not(run):
    for folder in (run("whole"), run("stopped", 2, 3), run("at its end", 4)):
        rows = {row["step"]: row["held_out_mse"] for row in log.read(folder) if "held_out_mse" in row}
        assert rows == {step: ERRORS[step] for step in range(1, 5)}, folder
        checkpoints = folder / "checkpoints"
        assert steps(checkpoints) == [2, 4]
        assert best(checkpoints, "held_out_mse") == 2
        assert not any(wrong_with(checkpoints / str(step)) for step in (2, 4))
        assert "loss" not in metrics_of(checkpoints / "4")  # which is that of step 3
    run("whole")
    assert steps(checkpoints) == [2, 4]


def test_a_classifier_is_measured_on_examples_from_all_over():
    """Folders are sorted by class."""
    asked = []
    source = Source(5000, image_spec((4, 4, 1)), asked.append)
    preview.make_preview({}, None, source, None)
    assert len(asked[0]) == 1000
    np.testing.assert_allclose(asked[0], np.linspace(0, 4999, 1000), atol=1)
