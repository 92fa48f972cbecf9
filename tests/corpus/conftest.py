"""A run and a model that several files damage or ask."""

from unittest import mock

import jax
import numpy as np
import optax
import pytest

from jaxdiff.config import record as run_record
from jaxdiff.pipelines import experiment
from jaxdiff.training.checkpoints.checkpoint import Checkpoints
from jaxdiff.training.step import init_state
from tests.helpers.configs import SPEC, tiny
from tests.helpers.runs import AVERAGE


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A run as train.py leaves it, with two checkpoints, and the averaged weights of the newest and of the older."""
    place, config = tmp_path_factory.mktemp("run"), tiny()
    parts = experiment.build(config, SPEC)
    params = jax.tree.map(lambda p: jax.device_put(np.ones(p.shape, p.dtype), p.sharding), parts.model.params)
    state = init_state(params, optax.identity(), parts.ema)
    run_record.write_record(place, run_record.Record(config, SPEC))
    averages = []
    with Checkpoints(place / "checkpoints") as checkpoints:
        for step in (10, 20):
            state = state._replace(
                step=state.step * 0 + step, ema={AVERAGE: jax.tree.map(lambda x, by=step: x + by, params)}
            )
            checkpoints.save(state)
            averages.append(jax.tree.map(np.asarray, state.ema[AVERAGE]))
    return place, averages


@pytest.fixture(scope="session")
def built():
    return experiment.build(tiny(), SPEC).model


@pytest.fixture
def model(built):
    """Checks and traces, and computes nothing."""

    def draw(params, key, times, keep, given, traced, name, fixed, denoise, shape, inputs, hooks):
        hash((name, fixed, denoise, shape))
        return np.zeros(shape, np.float32), np.zeros((len(keep), *shape), np.float32)

    with mock.patch("jaxdiff.pipelines.progress.make_draw", return_value=draw):
        yield built


@pytest.fixture(autouse=True)
def quickly(quick_compilation):
    """Many networks, few numbers."""
