"""The mesh: what lies where, that results do not depend on it, and that wrong ones are refused."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from jaxdiff.errors import InputError
from jaxdiff.nets import tensor_axis
from jaxdiff.training.sharding import check_batch, make_mesh, shard, use_compilation_cache
from tests.helpers.processes import ROOT

CACHE = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture(scope="module")
def seen(environment):
    flags = environment | {"XLA_FLAGS": f"{environment['XLA_FLAGS']} --xla_force_host_platform_device_count=8"}
    command = [sys.executable, "-m", "tests.helpers.meshes"]
    done = subprocess.run(command, env=flags, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.statistical
@pytest.mark.parametrize("mesh", ["data", "fsdp", "all"])
def test_the_losses_are_those_of_one_device(seen, mesh):
    losses, alone = seen[mesh]["losses"], seen["one"]["losses"]
    assert len(losses) == 20
    assert losses[-1] < 0.9 * losses[0]
    np.testing.assert_allclose(losses[0], alone[0], rtol=1e-6)
    np.testing.assert_allclose(losses, alone, rtol=1e-4)


@pytest.mark.slow
def test_fsdp_and_tensor_share_the_state(seen):
    assert seen["data"]["share"] == 1
    assert seen["fsdp"]["share"] < 0.13
    assert seen["all"]["share"] < 0.3


@pytest.mark.slow
def test_a_step_gathers_what_its_gradient_needs_and_nothing_of_the_optimizer(seen):
    assert seen["fsdp"]["gathered"] == seen["fsdp"]["gathered_by_gradient"] > 0


@pytest.mark.slow
def test_a_draw_that_the_devices_do_not_divide_is_filled_up_and_cut_off(seen):
    three, eight = np.array(seen["data"]["images"]), np.array(seen["one"]["images"])
    assert three.shape == (3, 8, 8, 1)
    np.testing.assert_allclose(three, eight[:3], atol=1e-5)


def abstract(data, fsdp, tensor):
    return AbstractMesh((data, fsdp, tensor), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)


def placed(mesh, name, *shape):
    layer, parameter = name.split("/")
    tree = {"block": {layer: {parameter: jax.ShapeDtypeStruct(shape, np.float32)}}}
    return shard(mesh, tree, tensor_axis)["block"][layer][parameter].spec


@pytest.mark.parametrize(
    ("name", "shape", "spec"),
    [
        ("conv1/kernel", (3, 3, 64, 128), (None, None, "fsdp", "tensor")),
        ("conv1/bias", (128,), ("tensor",)),
        ("conv2/kernel", (3, 3, 128, 64), (None, None, "tensor", "fsdp")),
        ("conv2/bias", (64,), ("fsdp",)),
        ("query/kernel", (64, 64), ("fsdp", "tensor")),
        ("out/kernel", (64, 64), ("tensor", "fsdp")),
        ("norm1/scale", (64,), ("fsdp",)),
        ("conv_in/kernel", (3, 3, 3, 64), (None, None, None, "fsdp")),
        ("odd/bias", (3,), (None,)),
    ],
)
def test_where_parameters_lie(name, shape, spec):
    assert placed(abstract(2, 2, 2), name, *shape) == PartitionSpec(*spec)


def test_an_axis_that_tensor_does_not_divide_is_refused():
    with pytest.raises(InputError, match=r"tensor=3 does not divide the 64 channels of block/conv1/bias.*net.channels"):
        placed(abstract(1, 1, 3), "conv1/bias", 64)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"data": 3}, r"mesh data=3, fsdp=1, tensor=1: 3 does not equal the \d+ cpu device\(s\) there are"),
        ({"data": -1, "fsdp": 64}, r"64 does not divide the \d+ cpu device\(s\)"),
        ({"data": -1, "tensor": -1}, "at most one is -1"),
        ({"data": 0}, "sizes are positive"),
    ],
)
def test_meshes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(InputError, match=message):
        make_mesh(**sizes)


def test_batches_that_cannot_be_split_are_refused():
    check_batch(16, 2, 8)
    with pytest.raises(InputError, match=r"batch_size=20 cannot be split over 8 device\(s\).*a multiple of 8"):
        check_batch(20, 1, 8)
    with pytest.raises(InputError, match="batch_size=0"):
        check_batch(0, 1, 1)


def test_compiled_programs_are_kept_in_the_users_cache(monkeypatch, tmp_path):
    before = {name: getattr(jax.config, name) for name in CACHE}
    try:
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        use_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "jaxdiff")
        jax.config.update("jax_compilation_cache_dir", None)
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
        use_compilation_cache()
        assert jax.config.jax_compilation_cache_dir is None  # JAX itself reads the variable, when it is imported
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
