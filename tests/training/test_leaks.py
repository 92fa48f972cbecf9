"""What saving leaves behind in memory."""

import gc
import sys

import jax.numpy as jnp
import optax
import pytest
import tensorstore

from jaxdiff.training.checkpoints import leaks
from jaxdiff.training.checkpoints.checkpoint import Checkpoints
from jaxdiff.training.step import init_state


def test_a_folder_is_described_as_before_and_described_once():
    leaks.plug()
    asked = {"driver": "file", "path": '/tmp/it\'s "ä"/', "file_io_sync": False}
    spec = tensorstore.KvStore.Spec(asked)
    spec.to_json()["path"] = "changed"
    assert spec.to_json() == asked
    assert spec.to_json(include_defaults=True)["file_io_retries"] == "file_io_retries"
    before = sys.getallocatedblocks()
    for _ in range(100):
        tensorstore.KvStore.Spec(asked).to_json()
    assert sys.getallocatedblocks() - before < 100


@pytest.mark.slow
def test_saves_leave_no_objects_behind(tmp_path):
    params = {f"w{i}": jnp.ones(3) for i in range(30)}
    state = init_state(params, optax.adam(1e-3), ["power"])
    arrays = 4 * len(params)
    with Checkpoints(tmp_path) as checkpoints:
        left = []
        for step in range(8):
            checkpoints.save(state._replace(step=jnp.int32(step)))
            checkpoints.wait()
            gc.collect()
            left.append(sys.getallocatedblocks())
    assert left[-1] - left[2] < 2 * 5 * arrays  # a leak was of 10 for each array and save
