"""A table from a configuration: what it refuses, and that it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff
from jaxdiff import pipelines
from jaxdiff.config import build
from jaxdiff.data.source import select
from jaxdiff.errors import InputError
from jaxdiff.pipelines import experiment
from jaxdiff.training.step import in_calls, init_state, make_train_step
from jaxdiff.types import Batch, ConditionSpec, class_label
from tests.helpers.configs import get_config, with_field

SCALE, OFFSET = np.array([1000, 2, 0.01]), np.array([5000, 0, 3])


def a_table(n=4000):
    """Two Gaussians with correlated columns of very different units; a third of the rows are of class 1."""
    rng = np.random.default_rng(0)
    label = (rng.random(n) < 0.3).astype(np.int32)
    mixing = np.array([[0.5, 0, 0], [0.4, 0.3, 0], [-0.15, 0.1, 0.45]])
    centers = np.array([[1, -0.5, 0], [-1.5, 1, 0.5]])
    return (rng.normal(size=(n, 3)) @ mixing.T + centers[label]) * SCALE + OFFSET, label


def a_config(tmp_path, **data):
    rows, label = a_table()
    np.savez(tmp_path / "table.npz", x=rows, y=label)
    config = get_config(f"file={tmp_path / 'table.npz'}", "table")
    config["data"] |= {"key": "x", **data}
    config["net"] |= {"widths": (64, 128, 64), "blocks": 2, "embedding": 64, "dropout": 0.0}
    config["optimizer"] |= {"learning_rate": 5e-3, "warmup": 50}
    config["optimizer"]["schedule"] = {"name": "cosine_decay_schedule", "decay_steps": 1000}
    config["ema"]["decay"] = (0.99,)
    return config


def trained(config, steps=1000, call=50, batch_size=256):
    source = build.source(config)
    parts = experiment.build(config, source.spec)
    build.check_conditions(source, parts.model.conditions)
    state = init_state(parts.init(jax.random.key(0)), parts.optimizer, parts.ema, parts.loss_fn)
    step = make_train_step(parts.loss_fn, parts.optimizer, parts.ema, jax.random.key(1), transforms=parts.transforms)
    run = jax.jit(in_calls(step, lambda every, rows: jax.tree.map(lambda x: x[rows], every)), donate_argnums=0)
    every = jax.tree.map(jnp.asarray, source.take(np.arange(source.size)))
    for first in range(0, steps, call):
        index = [select(source, batch_size, 0, i).index for i in range(first, first + call)]
        state, _ = run(state, every, np.stack(index))
    return dataclasses.replace(parts.model, params=state.ema["ema_0.99"])


def check_moments(drawn, rows, tolerance):
    """Means and covariances, in the standard deviations of the columns."""
    std = rows.std(0)
    np.testing.assert_allclose((drawn.mean(0) - rows.mean(0)) / std, 0, atol=tolerance)
    np.testing.assert_allclose((np.cov(drawn.T) - np.cov(rows.T)) / np.outer(std, std), 0, atol=tolerance)


@pytest.mark.statistical
def test_it_learns_the_means_and_covariances_of_each_class(tmp_path):
    """4,000 draws a class have standard errors of up to 0.022 in a covariance; the rest is what was not learned."""
    config = a_config(tmp_path, label="y")
    config["net"]["num_classes"], config["train"]["cond_dropout"] = 2, 0.3
    model = trained(config)
    rows, label = a_table()
    for c in (0, 1):
        drawn = model.sample(jax.random.key(c), 4000, condition=np.full(4000, c))
        check_moments(np.asarray(drawn, np.float64), rows[label == c], 0.15)
    both = np.concatenate(list(model.stream(jax.random.key(2), 4000, 2000, condition=np.full(4000, -1))))
    assert both.dtype == np.float64
    check_moments(both, rows, 0.1)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    config = a_config(tmp_path_factory.mktemp("table"))
    spec = build.source(config).spec
    parts = experiment.build(config, spec)
    return config, spec, dataclasses.replace(parts.model, params=parts.init(jax.random.key(0)), steps=3)


@pytest.mark.system
def test_samples_are_in_the_units_of_the_table_and_states_as_the_network_sees_them(built):
    _, _, model = built
    key = jax.random.key(0)
    x, frames = model.trajectory(key, 5, 2)
    np.testing.assert_allclose(model.sample(key, 5), model.codec.decode(np.asarray(x)), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(next(model.stream(key, 5)), model.codec.decode(np.asarray(x)), rtol=1e-5, atol=1e-5)
    assert frames.shape == (2, 5, 3)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("net.norm", "batch", "net MLP: keeps batch_stats beside its parameters, which a run does not save: .*layer"),
        ("net.norm", "group", "unknown net.norm 'group'"),
        ("net.widths", (8, 8), "give three or more"),
        ("net", {"name": "unet"}, "net 'unet'"),
        ("loss", {"name": "classification", "times": {"name": "uniform"}}, "needs logits"),
        ("train.augment", 0.1, "train.augment=0.1: is for images, and this data is of the modality 'tables'"),
        ("train.upscale", 2, "train.upscale=2: is for images, and this data is of the modality 'tables'"),
        ("train.downsample", 2, "train.downsample=2: is for images, and this data is of the modality 'tables'"),
        ("net.num_classes", 2, "net.num_classes=2, but dataset 'table' has 0 classes"),
    ],
)
def test_what_a_table_cannot_have_is_one_line(tmp_path, field, value, message):
    config = with_field(a_config(tmp_path), field, value)
    with pytest.raises(InputError, match=message) as caught:
        experiment.build(config, build.source(config).spec)
    assert "\n" not in str(caught.value)


@pytest.mark.system
def test_a_network_of_images_refuses_a_table_and_the_other_way_round(built):
    config, spec, _ = built
    with pytest.raises(InputError, match="an MLP takes vectors"):
        experiment.build(config, build.source(get_config()).spec)
    with pytest.raises(InputError, match="an example of tables has the axes"):
        experiment.build(config, spec._replace(shape=(3, 1)))


@pytest.mark.system
@pytest.mark.parametrize(
    ("has", "takes"),
    [
        (class_label(3), class_label(2)),
        (ConditionSpec((3,)), ConditionSpec((2,))),
        (ConditionSpec((3, 1)), ConditionSpec((3,))),
    ],
)
def test_conditions_that_the_network_does_not_take_are_refused(built, has, takes):
    config, _, _ = built
    source = build.source(config)
    build.check_conditions(source._replace(conditions={"a": has}), {"a": has, "b": takes})
    with pytest.raises(InputError, match="condition 'a': the data has shape"):
        build.check_conditions(source._replace(conditions={"a": has}), {"a": takes})


def test_any_length_fits_where_a_network_takes_any(built):
    source = build.source(built[0])._replace(conditions={"text": ConditionSpec((7, 4))})
    build.check_conditions(source, {"text": ConditionSpec((None, 4))})


@pytest.mark.slow
def test_it_trains_from_python_and_continues_only_on_the_same_scale(tmp_path):
    config = a_config(tmp_path)
    config["net"] |= {"widths": (8, 8, 8), "blocks": 1, "embedding": 8}
    config["train"] |= {"steps": 2, "log_every": 1, "sample_every": 2, "checkpoint_every": 2, "batch_size": 16}
    config["sample"]["steps"] = 2
    model = jaxdiff.train(config, workdir=tmp_path / "run")
    assert isinstance(model, jaxdiff.Model)
    assert jaxdiff.load(tmp_path / "run").spec == model.spec == build.source(config).spec
    assert (tmp_path / "run" / "samples.png").is_file()
    rows, label = a_table()
    np.savez(tmp_path / "table.npz", x=rows + 1, y=label)
    with pytest.raises(InputError, match=r"another configuration, .*spec.details.mean \(\["):
        jaxdiff.train(config, workdir=tmp_path / "run")


def test_a_batch_of_a_table_is_read_from_the_devices_too(tmp_path):
    from jaxdiff.training import feed
    from jaxdiff.training.sharding import make_mesh

    source = build.source(a_config(tmp_path))
    always, never = (feed.make_feed(source, make_mesh(), 8, 0, where) for where in ("always", "never"))
    one = [feed.examples(food.resident, jax.tree.map(lambda x: x[0], food.read(0, 1))) for food in (always, never)]
    assert isinstance(one[0], Batch)
    np.testing.assert_array_equal(one[0].x_0, one[1].x_0)


@pytest.mark.parametrize("task", ["img2img", "denoise", "detect", "outpaint"])
def test_tasks_of_images_are_refused_from_python_too(built, task):
    _, _, model = built
    with pytest.raises(InputError, match="is for images, and this data is of the modality 'tables'"):
        getattr(pipelines, task)(model, jax.random.key(0), np.zeros((2, *model.shape)))
