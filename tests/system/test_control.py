"""A model learns to follow pictures: it begins as it was, stays so without them, and is a run like any other."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdiff
from jaxdiff import pipelines
from jaxdiff.cli.train import train
from jaxdiff.config.build import build_core, source
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import digits
from jaxdiff.modalities.images.controls import edges, specs
from jaxdiff.nets import UNet
from jaxdiff.pipelines.experiment import build
from jaxdiff.pipelines.follow import PIPELINES
from jaxdiff.pipelines.model import Model
from tests.helpers.cases import refused
from tests.helpers.configs import SPEC, get_config
from tests.helpers.models import a_model

NET = {"channels": 16, "multipliers": (1, 2), "blocks": 1, "attention": (4,), "groups": 8, "dropout": 0.0}


def perturbed(tree):
    return jax.tree.map(lambda p: p + 0.05 * jax.random.normal(jax.random.key(p.size), p.shape), tree)


@pytest.fixture(scope="module")
def networks():
    """`(x, t, condition)` of a network that follows pictures, and all its parameters, of any values."""
    x, t = jax.random.normal(jax.random.key(0), (2, 8, 8, 1)), jnp.array([100.0, 500.0])
    told = {"control": jax.random.normal(jax.random.key(3), (2, 8, 8, 1)), "strength": jnp.ones(2)}
    known = {"label": jnp.array([0, 2])}
    net = UNet(**NET, num_classes=3, control=1)
    params = jax.jit(net.init)(jax.random.key(1), x, t, {**known, **told})["params"]
    return x, t, known, told, jax.tree.map(np.asarray, perturbed(params))


def test_strength_scales_what_the_copy_adds_and_zero_leaves_the_network_as_it_was(networks):
    x, t, known, told, params = networks
    with_control = jax.jit(lambda c: UNet(**NET, num_classes=3, control=1).apply({"params": params}, x, t, c))
    base = {name: one for name, one in params.items() if name != "control"}
    alone = jax.jit(lambda c: UNet(**NET, num_classes=3).apply({"params": base}, x, t, c))(known)
    np.testing.assert_array_equal(with_control({**known, **told, "strength": jnp.zeros(2)}), alone)
    np.testing.assert_allclose(with_control(known), alone, atol=1e-6)
    half = with_control({**known, **told, "strength": jnp.array([1.0, 0.0])})
    np.testing.assert_allclose(half[1], alone[1], atol=1e-5)
    np.testing.assert_allclose(half[0], with_control({**known, **told})[0], atol=1e-5)
    assert np.abs(half[0] - alone[0]).max() > 0.1


def test_a_copy_with_fresh_last_layers_adds_nothing_and_learns(networks):
    x, t, known, told, params = networks
    net = UNet(**NET, num_classes=3, control=1)
    fresh = dict(params["control"])
    for name in fresh:
        if name.startswith("zero"):
            fresh[name] = jax.tree.map(np.zeros_like, fresh[name])
    whole = {**params, "control": fresh}
    error = lambda p: jnp.mean(net.apply({"params": p}, x, t, {**known, **told}) ** 2)
    slopes = jax.jit(jax.grad(error))(whole)["control"]
    assert all(
        np.abs(leaf).max() > 0 for name in slopes if name.startswith("zero") for leaf in jax.tree.leaves(slopes[name])
    )
    alone = jax.jit(lambda c: net.apply({"params": whole}, x, t, c))
    np.testing.assert_array_equal(alone({**known, **told}), alone({**known, **told, "strength": jnp.zeros(2)}))


def test_what_deeper_levels_gave_is_remembered_with_the_control(networks):
    x, t, known, told, params = networks
    net = UNet(**NET, num_classes=3, control=1)
    out, left = net.apply({"params": params}, x, t, {**known, **told}, mutable=["intermediates"])
    again = net.apply({"params": params}, x, t, {**known, **told}, deep=left["intermediates"]["deep"][0])
    np.testing.assert_allclose(again, out, atol=1e-5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The run of a model, and that of one which begins as it, and follows edges."""
    place, config = tmp_path_factory.mktemp("runs"), get_config("digits", "guided")
    config["net"] |= {"channels": 16, "blocks": 1, "groups": 8, "multipliers": [1, 2], "attention": [4]}
    config["train"] |= {"steps": 3, "batch_size": 16, "log_every": 1, "checkpoint_every": 3, "sample_every": 3}
    config["sample"] |= {"steps": 2, "sampler": {"name": "ddim"}, "grid": {"name": "trailing", "total": 1000}}
    train(config, place / "base")
    follows = get_config(f"{place / 'base'},edges", "control")
    follows["train"] |= {"steps": 4, "checkpoint_every": 4, "sample_every": 4}
    train(follows, place / "control")
    return place


def test_a_control_net_begins_as_its_model_which_stays_as_it_was(runs):
    base, model, key = jaxdiff.load(runs / "base"), jaxdiff.load(runs / "control"), jax.random.key(0)
    assert set(model.conditions) == {"label", "control", "strength"}
    for name, leaf in base.params.items():
        jax.tree.map(np.testing.assert_array_equal, leaf, model.params[name])
    images = digits("test").take(np.arange(3)).x_0
    drawn = pipelines.follow(model, key, images, strength=0.0, condition=3)
    np.testing.assert_allclose(drawn, base.sample(key, 3, condition=3), atol=1e-6)
    led = pipelines.follow(model, key, images, strength=0.0, condition=3, guidance=2.0)
    np.testing.assert_allclose(led, base.sample(key, 3, condition=3, guidance=2.0), atol=1e-5)


def test_given_controls_take_the_place_of_those_of_the_images(runs):
    model, key = jaxdiff.load(runs / "control"), jax.random.key(0)
    images = digits("test").take(np.arange(2)).x_0
    drawn = pipelines.follow(model, key, images, condition=1)
    same = pipelines.follow(model, key, 0 * images, condition=1, control=edges(jnp.asarray(images)))
    with refused("control: from 0 to 1.*from -1 to 1"):
        pipelines.follow(model, key, images, condition=1, control=(edges(jnp.asarray(images)) + 1) / 2)
    np.testing.assert_array_equal(drawn, same)
    assert (runs / "control" / "samples.png").is_file()


def test_the_task_takes_images_that_are_edges_everywhere(monkeypatch):
    """Their control is nowhere -1, and none that somebody gave in another range."""
    monkeypatch.setattr(Model, "sample", lambda model, key, n, condition: condition["control"])
    follows = {"conditions": specs(SPEC.shape), "config": {"train": {"control": "edges"}}}
    model = dataclasses.replace(a_model(), spec=SPEC, **follows)
    y, x = (np.mgrid[:8, :8] + 1) // 2
    images = np.where((x + y) % 2, 1, -1).astype(np.float32)[None, ..., None]
    np.testing.assert_array_equal(PIPELINES["follow"].run(model, None, images).images, np.ones((1, 8, 8, 1)))
    with refused("control: from 1 to 1.*from -1 to 1"):
        pipelines.follow(model, None, images, control=np.ones((1, 8, 8, 1)))


def test_what_does_not_fit_is_refused_by_name(runs):
    images = digits("test").take(np.arange(2)).x_0
    with pytest.raises(InputError, match="follows no pictures"):
        pipelines.follow(jaxdiff.load(runs / "base"), jax.random.key(0), images)
    with pytest.raises(InputError, match="strength"):
        pipelines.follow(jaxdiff.load(runs / "control"), jax.random.key(0), images, strength=np.nan)
    with pytest.raises(InputError, match="RUN,edges"):
        get_config(f"{runs / 'base'},depth", "control")
    config = get_config()
    config["train"]["control"] = "edges"
    config["net"] = {"name": "dit", "depth": 1, "width": 16, "heads": 2, "patch": 2}
    with pytest.raises(InputError, match=r"train\.control"):
        build_core(config, SPEC)
    config = get_config()
    config["net"]["control"] = 1
    with pytest.raises(InputError, match=r"control"):
        build(config, source(config).spec)
