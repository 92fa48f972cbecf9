"""Training from Python that ends early, or by the clock."""

import os
import signal

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxdiff
from jaxdiff.cli import preview
from jaxdiff.errors import InputError
from jaxdiff.training.checkpoints.stored import steps
from tests.helpers.api import IMAGES, PARAMS, TEN, plain


def counting(process, parameterization, network):
    """A loss by which a parameter counts the steps, and which is not finite from 6 on."""
    beyond = lambda a: jnp.where(a < 6, 0.0, jnp.log(6 - a))
    return lambda params, key, batch: (beyond(params["a"]) - params["a"], {})


ENDS = {
    "patience": ({"train.patience": 2, "train.keep_best": "held_out_mse"}, 4, "no better held_out_mse in 2 checkp"),
    "hours": ({"train.max_hours": 1e-9}, 1, "train.max_hours=1e-09 are over"),
}


@pytest.mark.system
@pytest.mark.parametrize("kind", ENDS)
def test_in_memory_training_ends_early(kind, monkeypatch):
    """Measured after 0 to 5 steps."""
    errors = [9.0, 5.0, 3.0, 3.5, 3.2, 1.0]
    monkeypatch.setattr(preview, "monitor", lambda *_: lambda params: {"held_out_mse": errors[int(params["a"])]})
    fields, end, said = ENDS[kind]
    every = {"train.steps": 5, "train.batch_size": 2, "train.checkpoint_every": 1, "ema.decay": (0.0,)}
    net = (plain, {**PARAMS, "a": jnp.float32(0)})
    with pytest.warns(UserWarning, match=said):
        model = jaxdiff.train(
            IMAGES, net=net, loss=counting, optimizer=optax.sgd(1.0), fields=every | fields, progress=False
        )
    assert model.params["a"] == end
    assert model.weights.endswith(f"of step {end}")


@pytest.mark.system
def test_in_memory_the_first_nan_is_named():
    fields = TEN | {"debug.nans": True}
    with pytest.raises(InputError, match="the first value that is not finite comes from"):
        jaxdiff.train(IMAGES, net=(plain, {**PARAMS, "a": jnp.float32(7)}), loss=counting, fields=fields)


@pytest.fixture
def number(request):
    """A signal that this process heeds, as one that runs behind a shell may not."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], indirect=True)
def test_a_signal_ends_a_run_that_is_saved(number, tmp_path, monkeypatch):
    """While step 2 is measured, so that it, or step 3, is the last."""
    every = {"train.batch_size": 2, "train.checkpoint_every": 2, "train.steps_per_call": 1, "sample.steps": 2}
    told = {"net": (plain, {**PARAMS, "a": jnp.float32(0)}), "loss": counting, "optimizer": optax.sgd(1.0)}
    told |= {"workdir": tmp_path / "run", "progress": False, "fields": every | {"ema.decay": (0.0,)}}
    with monkeypatch.context() as patch:
        patch.setattr(preview, "monitor", lambda *_: lambda params: os.kill(os.getpid(), number) or {})
        if number == signal.SIGINT:
            with pytest.warns(UserWarning, match="interrupted: this is ema_0 of step [23]$"):
                assert jaxdiff.train(IMAGES, 4, **told).params["a"] in (2, 3)
        else:
            with pytest.raises(SystemExit) as ended:
                jaxdiff.train(IMAGES, 4, **told)
            assert ended.value.code == 128 + number
    assert steps(tmp_path / "run" / "checkpoints")[-1] in (2, 3)
    assert jaxdiff.train(IMAGES, 4, **told).params["a"] == 4


@pytest.mark.statistical
def test_minutes_become_steps(monkeypatch, capsys):
    """Of a time, and nothing of it is kept where no steps were timed."""
    from jaxdiff.cli import fit
    from jaxdiff.config.budget import Speed

    monkeypatch.setattr(fit, "measure", lambda setup: Speed(1.0))
    images = np.zeros((8, 8, 8), np.uint8)
    model = jaxdiff.train(images, batch_size=4, fields={"train.minutes": 0.2, "net.channels": 32, "sample.steps": 1})
    said = capsys.readouterr().out
    steps = int(model.weights.rpartition(" ")[2])
    assert 1 < steps < 12
    assert f"--config.train.steps={steps} " in said
    with pytest.raises(InputError, match="train.minutes=5 and train.steps=2: set one of them"):
        jaxdiff.train(images, steps=2, fields={"train.minutes": 5.0})
