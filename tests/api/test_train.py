"""Training from Python: data, parts and fields, against the same parts put together by hand."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxdiff
from jaxdiff.config.given import with_parts
from jaxdiff.config.names import Given, in_words
from jaxdiff.data.source import batches
from jaxdiff.errors import InputError
from jaxdiff.gaussian import betas, parameterization, schedules
from jaxdiff.losses.diffusion import diffusion_loss
from jaxdiff.losses.times import stratified
from jaxdiff.losses.weights import simple
from jaxdiff.modalities.images.memory import image_array
from jaxdiff.nets.functional import from_nnx
from jaxdiff.samplers.base import Sampler, State
from tests.helpers.api import IMAGES, KEY, LABELS, PARAMS, TEN, UNET, Small, draw, plain


class Pair(nnx.Module):
    def __init__(self, rngs, stream="dropout"):
        self.layers = nnx.List([nnx.Linear(65, 16, rngs=rngs), nnx.Linear(16, 64, rngs=rngs)])
        self.drop = nnx.Dropout(0.5, rng_collection=stream, rngs=rngs)

    def __call__(self, x, t, condition):
        h = jnp.concatenate([x.reshape(x.shape[0], -1), t[:, None] / 1000], 1)
        return self.layers[1](self.drop(nnx.silu(self.layers[0](h)))).reshape(x.shape)


@pytest.mark.system
def test_the_same_as_by_hand():
    """Two steps of `train` are two steps of the loss, the optimizer and the average, written out."""
    net = Small()
    model = jaxdiff.train(IMAGES, net=net, optimizer=optax.sgd(0.1), fields=TEN | {"ema.decay": (0.5,)}, progress=False)
    network = lambda params, x, t, condition=None, key=None: net.apply({"params": params}, x, t)
    chain = schedules.ddpm(betas.cosine(1000))
    loss_fn = diffusion_loss(chain, parameterization.v(), network, simple(), stratified(steps=1000))
    init_key, train_key, _ = jax.random.split(KEY, 3)
    params = average = net.init(init_key, jnp.zeros((1, 8, 8, 1)), jnp.zeros(1))["params"]
    stream = batches(image_array(IMAGES), 10, 0)
    gradient = jax.jit(jax.grad(lambda *given: loss_fn(*given)[0]))
    for n in range(2):
        grads = gradient(params, jax.random.fold_in(train_key, n), next(stream))
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
        decay = min(0.5, (1 + n) / (10 + n))
        average = jax.tree.map(lambda a, p, decay=decay: decay * a + (1 - decay) * p, average, params)
    chex.assert_trees_all_close(model.params, average, rtol=1e-5, atol=1e-6)


@pytest.mark.system
def test_labels_are_learned_and_asked_for(model):
    assert model.num_classes == 3
    assert not np.allclose(draw(model, condition=0), draw(model, condition=2))


@pytest.mark.system
@pytest.mark.parametrize(
    "part",
    [
        {"net": (plain, PARAMS)},
        pytest.param({"net": Pair(nnx.Rngs(0))}, marks=pytest.mark.slow),
        pytest.param({"weight": lambda process, parameterization, t: jnp.zeros_like(t)}, marks=pytest.mark.slow),
        pytest.param({"times": lambda process, key, n: jnp.full(n, 0.5)}, marks=pytest.mark.slow),
        {"process": schedules.flow(), "parameterization": "velocity", "grid": "uniform"},
        pytest.param({"optimizer": optax.lion(1e-3)}, marks=pytest.mark.slow),
        {"loss": lambda process, parameterization, network: lambda params, key, batch: (jnp.zeros(()), {})},
    ],
    ids=lambda part: next(iter(part)),
)
def test_own_parts(part):
    model = jaxdiff.train(IMAGES, fields=TEN, progress=False, **{"net": Small(), **part})
    assert np.isfinite(draw(model)).all()
    still = part.keys() & {"weight", "loss"}  # nothing to follow
    begun = jaxdiff.train(IMAGES, fields={**TEN, "train.steps": 0}, progress=False, **{"net": Small(), **part}).params
    same = jax.tree.map(np.array_equal, model.params, begun)
    assert all(jax.tree.leaves(same)) == bool(still)


@pytest.mark.slow
def test_a_function_is_told_its_classes():
    model = jaxdiff.train(IMAGES, labels=LABELS, net=(plain, PARAMS), fields=TEN, progress=False)
    assert model.num_classes == 3
    assert not np.allclose(draw(model, condition=0), draw(model, condition=2))


@pytest.mark.slow
def test_a_function_that_is_given_again_is_told_its_classes_again(tmp_path):
    told = {"net": (plain, PARAMS), "labels": LABELS, "fields": {**TEN, "sample.steps": 2}, "progress": False}
    model = jaxdiff.train(IMAGES, **told)
    loaded = jaxdiff.load(model.save(tmp_path / "model", picture=False), net=(plain, PARAMS))
    assert loaded.num_classes == jaxdiff.train(IMAGES, workdir=tmp_path / "run", **told).num_classes == 3
    np.testing.assert_array_equal(draw(loaded, condition=2), draw(model, condition=2))


@pytest.mark.slow
def test_a_network_by_name_is_told_the_classes():
    fields = {**TEN, "train.steps": 0}
    model = jaxdiff.train(IMAGES, labels=np.array(["dog", "cat"])[LABELS % 2], net=UNET, fields=fields, progress=False)
    assert (model.num_classes, model.spec.details["classes"]) == (2, ["cat", "dog"])
    told = jaxdiff.train(IMAGES, 0, net=UNET, optimizer="adamw", learning_rate=0.5, progress=False).config["optimizer"]
    assert (told["name"], told["learning_rate"], told["clip"]) == ("adamw", 0.5, 1.0)


@pytest.mark.system
def test_what_is_not_given_is_told_to_be_unknown(model):
    """This network takes -1 for a class of its own, as it learns from labels that are dropped, and None for none."""
    able, unknown = dataclasses.replace(model, guidable=True), np.full(4, -1)
    nothing = draw(able, condition=unknown)
    np.testing.assert_array_equal(draw(able, condition={}), nothing)
    np.testing.assert_allclose(draw(able, condition=1, guidance=0.0), nothing, atol=1e-5)
    assert not np.allclose(draw(able, condition=1), nothing)


def test_texts_are_numbered_in_the_order_of_the_classes():
    texts = np.array(["dog", "cat", "dog"])
    for given, names, numbers in ((["dog", "cat", "emu"],) * 2 + ([0, 1, 0],), ((), ["cat", "dog"], [1, 0, 1])):
        source = image_array(IMAGES[:3], texts, classes=given)
        np.testing.assert_array_equal(source.take(np.arange(3)).condition["label"], numbers)
        assert (source.spec.details["classes"], source.conditions["label"].values) == (names, len(names))


@pytest.mark.system
@pytest.mark.parametrize("stream", ["default", "dropout", "noise"])
def test_dropout_of_an_nnx_module_acts_in_training_alone(stream):
    net = from_nnx(Pair(nnx.Rngs(0, **({} if stream == "default" else {stream: 1})), stream))
    x, t = jnp.asarray(IMAGES[:4]), jnp.ones(4)
    out = [net.apply({"params": net.params}, x, t, train=True, rngs={"dropout": jax.random.key(k)}) for k in (0, 0, 1)]
    chex.assert_trees_all_equal(out[0], out[1])
    assert not np.allclose(out[0], out[2])
    assert not np.allclose(out[0], net.apply({"params": net.params}, x, t))


@pytest.mark.system
def test_own_sampler(model):
    def lazy(process, denoiser):
        """Takes the denoiser's answer for x."""
        return Sampler(State, lambda key, state, t, s: State(denoiser(state.x, t)))

    by_default = dataclasses.replace(model, sampler={"name": lazy})
    np.testing.assert_array_equal(draw(model, sampler=lazy, condition=1), draw(by_default, condition=1))
    assert "lazy" in repr(by_default)


def test_a_loss_keeps_the_weight_that_is_given_beside_it():
    before = {"loss": {"name": "diffusion", "weight": {"name": "simple"}, "times": {"name": "uniform"}}}
    for parts in ({"weight": "p2", "loss": "importance"}, {"loss": "importance", "weight": "p2"}):
        assert with_parts(before, parts)["loss"] == {"name": "importance", "weight": {"name": "p2"}}


@pytest.mark.slow
def test_a_table_needs_no_configuration(tmp_path):
    file = tmp_path / "rows.csv"
    np.savetxt(
        file, np.random.default_rng(0).normal([1, 50], [2, 5], (40, 2)), delimiter=",", header="a,b", comments=""
    )
    small = {"net.widths": (8, 8, 8), "net.blocks": 1, "net.embedding": 8, "train.batch_size": 10}
    model = jaxdiff.train(file, 1, fields=small, progress=False)
    assert model.spec.details["columns"] == ["a", "b"]
    assert draw(model).shape == (4, 2)


@pytest.mark.system
def test_a_model_begins_with_another(model, capsys):
    begun = jaxdiff.train(IMAGES, 0, labels=LABELS, net=Small(3), init=model)
    chex.assert_trees_all_equal(begun.params, model.params)
    fewer = jaxdiff.train(IMAGES, 0, labels=LABELS % 2, net=Small(2), init=model)
    for name in model.params.keys() - {"Embed_0"}:
        chex.assert_trees_all_equal(fewer.params[name], model.params[name])
    assert "new: Embed_0/embedding (3, 4) ((4, 4) there)" in capsys.readouterr().out


@pytest.mark.system
@pytest.mark.parametrize(
    "optimizer", [optax.adamw(0.1, weight_decay=0.5), pytest.param(optax.sgd(0.1), marks=pytest.mark.slow)]
)
def test_frozen_parameters_stay(model, optimizer):
    fields = TEN | {"train.freeze": "Conv_0, *_0/bias"}
    trained = jaxdiff.train(
        IMAGES, labels=LABELS, net=Small(3), init=model, fields=fields, optimizer=optimizer, progress=False
    )
    for path, before in jax.tree_util.tree_leaves_with_path(model.params):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        after = trained.params[name.split("/")[0]][name.split("/")[1]]
        assert np.array_equal(before, after) == (name.startswith("Conv_0") or name == "Dense_0/bias"), name


@pytest.mark.system
def test_a_run_from_python_goes_on(tmp_path):
    told = {"net": (plain, PARAMS), "fields": {"train.batch_size": 10, "sample.steps": 2}}
    jaxdiff.train(IMAGES, 2, workdir=tmp_path / "run", **told)
    longer = jaxdiff.train(IMAGES, 4, workdir=tmp_path / "run", **told)
    chex.assert_trees_all_equal(longer.params, jaxdiff.train(IMAGES, 4, progress=False, **told).params)
    with pytest.raises(InputError, match="given in Python: plain"):
        jaxdiff.load(tmp_path / "run")
    chex.assert_trees_all_equal(jaxdiff.load(tmp_path / "run", net=(plain, PARAMS)).params, longer.params)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # of ml_collections
def test_a_configuration_by_its_name_and_in_silence(tmp_path, capfd):
    told = {"config": "ddpm", "steps": 2, "net": UNET, "progress": False, "fields": {"train.batch_size": 4}}
    model = jaxdiff.train(**told)
    assert model.config["data"] == {"name": "digits", "split": "train"}
    assert model.config["process"]["betas"]["name"] == "cosine"
    run = jaxdiff.train(workdir=tmp_path / "run", **{**told, "fields": {**told["fields"], "sample.steps": 2}})
    chex.assert_trees_all_equal(run.params, model.params)
    said = capfd.readouterr()
    assert said.out == ""
    assert "step" not in said.err
    images = jaxdiff.train(IMAGES, 0, config="ddpm", net=UNET)
    assert images.config["process"] == model.config["process"]
    assert "40 images of 8x8" in capfd.readouterr().out


def test_what_cannot_be_imported_is_named():
    assert in_words(optax.adam) == "optax._src.alias:adam"
    assert in_words(lambda: 0).startswith("given in Python: ")
    assert in_words(Given(Small())) == "given in Python: Small"
