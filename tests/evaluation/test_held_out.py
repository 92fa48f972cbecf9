import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.config.record import Record, write_record
from jaxdiff.config.sampling import Bound
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.evaluation import held_out
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.schedules import flow, ve, vp
from jaxdiff.likelihood import bits_per_dim
from jaxdiff.types import Batch, Spec
from tests.helpers.cases import refused
from tests.helpers.configs import SPEC, get_config, small
from tests.helpers.models import a_model, images

SCRIPT = """
import dataclasses, sys
import jax
from jaxdiff.config import build, schema
from jaxdiff.configs import edm
from jaxdiff.evaluation import held_out
from jaxdiff.pipelines import experiment
from jaxdiff.training.sharding import make_mesh, replicated

assert jax.device_count() == 2
config = edm.get_config().to_dict()
source = build.source(config)
made = experiment.build(config, source.spec)
leaves, form = jax.tree.flatten(made.init(jax.random.key(0)))
keys = jax.random.split(jax.random.key(1), len(leaves))
params = form.unflatten([p + 0.05 * jax.random.normal(k, p.shape) for k, p in zip(keys, leaves)])
for every in (jax.devices()[0], replicated(make_mesh())):
    model = dataclasses.replace(made.model, params=jax.device_put(params, every))
    print(held_out.measure(model, source, jax.random.key(2), 64)["probability flow"].mean)
"""


@pytest.mark.slow
def test_the_flow_is_that_of_one_device_on_two(environment):
    """Simulated devices that run one program, all of it each, race (XLA for CPU, jax 0.10.2)."""
    flags = environment | {"XLA_FLAGS": f"{environment['XLA_FLAGS']} --xla_force_host_platform_device_count=2"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=flags, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    one, two = map(float, run.stdout.split())
    np.testing.assert_allclose(two, one, rtol=1e-4)


def test_of_sorted_data_every_class_is_measured():
    model, labels = a_model(classes=2), np.repeat([0, 1], 3)
    source = Source(6, model.spec, lambda indices: Batch(images(6)[indices], {"label": labels[indices]}))
    np.testing.assert_array_equal(held_out.examples(model, source, 2).condition["label"], [0, 1])
    np.testing.assert_array_equal(held_out.examples(model, source, 6).x_0, images(6))


def test_a_model_that_always_had_labels_is_not_asked_without_them():
    model = dataclasses.replace(a_model(classes=2), guidable=False)
    x = images(6)
    of = lambda condition: Source(6, model.spec, lambda indices: Batch(x[indices], condition))
    with pytest.raises(InputError, match="never trained without its 'label'"):
        held_out.examples(model, of(None), 4)
    found = held_out.examples(model, of({"label": np.array([0, 1, 0, 1]), "other": np.zeros(4)}), 4).condition
    np.testing.assert_array_equal(found["label"], [0, 1, 0, 1])
    assert list(found) == ["label"]
    unknown = held_out.examples(dataclasses.replace(model, guidable=True), of(None), 4).condition
    np.testing.assert_array_equal(unknown["label"], -1)


@pytest.mark.slow
def test_the_likelihood_of_the_flow_is_that_of_the_data_on_any_path():
    """Where the noise is small beside the levels, alpha is 1 on one path, and 0.98 on another."""
    width = 2 / 16
    means = jnp.asarray(-1 + width * ((np.arange(60) + 0.5) / 60 - 0.5))[:, None]  # of a level's width, about -1
    found = []
    for process in (vp(), flow()):
        known = Bound(process, gaussian_mixture(process, jnp.ones(60), means, jnp.full((60, 1), width / 120)))
        x_0, bind = jnp.full((32, 1), -1.0), lambda params, condition, known=known: known
        nats = held_out._nats(None, jax.random.key(0), x_0, None, bind, 17, 1, 0, "fixed_small")[1]
        found.append(float(bits_per_dim(-nats, 1, 17).mean()))
    assert found[1] == pytest.approx(found[0], abs=0.01)


@pytest.mark.system
def test_the_likelihood_of_a_flow_that_begins_with_noise():
    """Of `ve`, whose least noise is more than the best for 256 levels: from t = 0 no flow starts."""
    process, std = ve(0.02, 20.0), 0.5
    known = Bound(process, gaussian_mixture(process, jnp.ones(1), jnp.zeros((1, 1)), jnp.full((1, 1), std)))
    x_0 = jnp.full((4, 1), 1 / 255)
    nats = held_out._nats(None, jax.random.key(0), x_0, None, lambda *_: known, 256, 1, 0, "fixed_small")[1]
    np.testing.assert_allclose(nats, -0.5 * np.log(2 * np.pi * (std**2 + 0.02**2)), atol=5e-3)


@pytest.mark.system
def test_ends_that_are_held_are_shown_without_noise_and_do_not_count():
    """Trajectories that stay where they begin, and a denoiser that knows it, but for their start."""
    x = np.random.default_rng(0).normal(size=(8, 4, 2))[:, :1].repeat(4, 1).astype(np.float32)
    spec = Spec((4, 2), "trajectories")
    stays = lambda params, condition: Bound(vp(), lambda x_t, t: jnp.repeat(params * x_t[:, :1], 4, 1))

    def error(loss, factor=1.0):
        model = dataclasses.replace(a_model(), spec=spec, bind=stays, config={"loss": loss})
        source = Source(8, spec, lambda indices: Batch(x[indices]))
        return held_out.make_monitor(model, source, 8)(jnp.float32(factor))["held_out_mse"]

    assert error({"name": "held", "last": 0}) < 1e-10
    assert error({"name": "diffusion"}) > 0.1
    # Of a denoiser that says 0, all states are as wrong, so that the mean is that of those that are free.
    np.testing.assert_allclose(error({"name": "held"}, 0.0), error({"name": "diffusion"}, 0.0), rtol=1e-5)
    # Ends that are seldom held are as seldom shown.
    seldom = {"name": "held", "last": 0, "share": 0.0}
    np.testing.assert_allclose(error(seldom), error({"name": "diffusion"}), rtol=1e-5)


def test_students_of_few_steps_have_no_error_to_be_kept_by():
    student = dataclasses.replace(a_model(), samplers=("renoise",))
    source = Source(4, student.spec, lambda indices: Batch(images(4)[indices]))
    with refused("train.held_out_examples=4 .*this model has learned jumps"):
        held_out.make_monitor(student, source, 4)


def test_a_student_is_trained_whole_whatever_of_its_teacher_was(tmp_path):
    config = small("flow")
    config["train"] |= {"freeze": "down*", "held_out_examples": 8, "keep_best": "held_out_mse", "patience": 3}
    write_record(tmp_path / "teacher", Record(config, SPEC))
    train = get_config(f"progressive,teacher={tmp_path / 'teacher'}", "distill")["train"]
    assert (train["freeze"], train["held_out_examples"], train["keep_best"], train["patience"]) == ("", 0, "", 0)
