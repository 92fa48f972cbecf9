"""Training from Python: data, parts and fields, against the same parts put together by hand."""

import dataclasses
import json

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

import jaxdiff
from jaxdiff.cli import preview
from jaxdiff.config.given import with_parts
from jaxdiff.config.names import Given, in_words
from jaxdiff.config.schema import FIELDS
from jaxdiff.data.source import batches
from jaxdiff.errors import InputError
from jaxdiff.gaussian import betas, parameterization, schedules
from jaxdiff.losses.diffusion import diffusion_loss
from jaxdiff.losses.times import stratified
from jaxdiff.losses.weights import simple
from jaxdiff.modalities.images.memory import image_array
from jaxdiff.nets.functional import from_nnx
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Batch, class_label

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (40, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(40) % 3
TEN = {"train.steps": 2, "train.batch_size": 10}


UNET = {"name": "unet", "channels": 4, "multipliers": (1,), "blocks": 1, "attention": (), "groups": 4}


class Small(nn.Module):
    """One convolution and a shift for the time and the class."""

    classes: int = 0

    @nn.compact
    def __call__(self, x, t, condition=None, train=False):
        h = nn.Conv(4, (3, 3))(x) + nn.Dense(4)(t[:, None] / 1000)[:, None, None]
        if condition:
            h += nn.Embed(self.classes + 1, 4)(condition["label"] % (self.classes + 1))[:, None, None]
        return nn.Conv(x.shape[-1], (3, 3))(nn.silu(h))

    def condition_spec(self, spec):
        return {"label": class_label(self.classes)} if self.classes else {}


class Pair(nnx.Module):
    def __init__(self, rngs, stream="dropout"):
        self.layers = nnx.List([nnx.Linear(65, 16, rngs=rngs), nnx.Linear(16, 64, rngs=rngs)])
        self.drop = nnx.Dropout(0.5, rng_collection=stream, rngs=rngs)

    def __call__(self, x, t, condition):
        h = jnp.concatenate([x.reshape(x.shape[0], -1), t[:, None] / 1000], 1)
        return self.layers[1](self.drop(nnx.silu(self.layers[0](h)))).reshape(x.shape)


def plain(params, x, t, condition):
    shift = 0 if condition is None else params["label"][condition["label"]][:, None, None, None]
    return params["a"] * x + params["b"] + shift


PARAMS = {"a": jnp.float32(0.5), "b": jnp.float32(0.1), "label": jnp.arange(4.0)}


def draw(model, **options):
    return np.asarray(model.sample(KEY, 4, steps=3, **options))


@pytest.fixture(scope="module")
def model():
    return jaxdiff.train(IMAGES, labels=LABELS, net=Small(3), fields=TEN, progress=False)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    return model.save(tmp_path_factory.mktemp("models") / "small", picture=False, license="MIT")


@pytest.mark.system
def test_the_same_as_by_hand():
    """Two steps of `train` are two steps of the loss, the optimizer and the average, written out."""
    net = Small()
    model = jaxdiff.train(IMAGES, net=net, optimizer=optax.sgd(0.1), fields=TEN | {"ema.decay": (0.5,)}, progress=False)
    network = lambda params, x, t, condition=None, key=None: net.apply({"params": params}, x, t)
    chain = schedules.ddpm(betas.cosine(1000))
    loss_fn = diffusion_loss(chain, parameterization.eps(), network, simple(), stratified(steps=1000))
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


@pytest.mark.system
def test_a_saved_model_draws_the_same(model, saved):
    loaded = jaxdiff.load(saved, net=Small(3))
    np.testing.assert_array_equal(draw(loaded), draw(model))
    assert loaded.weights == model.weights
    assert len({file.stat().st_mode for file in saved.iterdir()}) == 1
    assert "MIT" in (saved / "README.md").read_text()
    assert "small" in (saved / "README.md").read_text()


@pytest.mark.system
def test_arrays_in_the_order_of_fortran_are_saved_as_they_are(model, tmp_path):
    """As those that come transposed from other libraries are: safetensors alone would mix up their numbers."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, order="F"), model.params)
    folder = dataclasses.replace(model, params=params).save(tmp_path / "other", picture=False)
    chex.assert_trees_all_equal(jaxdiff.load(folder, net=Small(3)).params, model.params)


@pytest.mark.system
def test_a_model_is_saved_as_it_draws_now(model, tmp_path):
    changed = {"steps": 2, "sampler": {"name": "ddim", "eta": 0.5}, "options": {"clip": 0.5, "noise_scale": 0.9}}
    other = dataclasses.replace(model, **changed)
    loaded = jaxdiff.load(other.save(tmp_path / "other", picture=False), net=Small(3))
    np.testing.assert_array_equal(loaded.sample(KEY, 4), other.sample(KEY, 4))


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
def test_half_precision_is_half_the_size(model, saved, tmp_path):
    half = model.save(tmp_path / "half", "float16", picture=False)
    assert {array.dtype.name for array in load_file(half / "model.safetensors").values()} == {"float16"}
    chex.assert_trees_all_close(jaxdiff.load(half, net=Small(3)).params, model.params, rtol=1e-3, atol=1e-6)


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
def test_a_loop_of_ones_own():
    step = jaxdiff.make_step((8, 8, 1), classes=3, net=Small(3), optimizer=optax.adam(1e-2))
    state = step.init(KEY)
    fresh, losses = step.model(state), []
    for _ in range(20):
        state = step(state, Batch(jnp.asarray(IMAGES), {"label": jnp.asarray(LABELS)}))
        losses.append(float(state.metrics["loss"]))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert step._compiled._cache_size() == 1
    assert draw(step.model(state)).shape == draw(fresh).shape == (4, 8, 8, 1)
    assert "of step 20" in step.model(state).weights


@pytest.mark.system
def test_a_network_that_is_told_what_is_not_known_is_refused():
    step = jaxdiff.make_step((8, 8, 1), classes=3, net=Small(3))
    state = step.init(KEY)
    for batch in (IMAGES, Batch(IMAGES), Batch(IMAGES, {"text": IMAGES})):
        with pytest.raises(InputError, match="condition 'label': the network is made to be told it"):
            step(state, batch)
    with pytest.raises(InputError, match="condition 'pose': the network is made to be told it"):
        jaxdiff.train(IMAGES, 1, net={**UNET, "vectors": {"pose": 2}}, progress=False)


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


def test_a_model_says_what_it_is_and_pictures_are_shown_inline(model):
    assert repr(model).startswith("Model: images of 8x8, 1 channel, told label; ")
    assert "draws with dpmpp_2m in 50 steps" in repr(model)
    assert jaxdiff.show(IMAGES[:1])._repr_png_()[:4] == b"\x89PNG"


def test_pictures():
    one = jaxdiff.show(IMAGES[0])
    assert one.size == (68, 68)
    assert jaxdiff.show(IMAGES[:5], columns=5).size == (5 * 66 + 2, 68)
    assert jaxdiff.show(np.zeros((3, 2, 8, 8, 3), np.uint8)).size == (3 * 66 + 2, 2 * 66 + 2)
    pixels = np.asarray(jaxdiff.show(np.full((1, 8, 8, 3), 255, np.uint8)))
    assert (pixels == 255).all()


WRONG = {
    "range": (lambda: jaxdiff.train((IMAGES + 1) / 2), "say which range they are in"),
    "outside": (lambda: jaxdiff.train(IMAGES * 2), r"outside the range \(-1, 1\)"),
    "channels first": (lambda: jaxdiff.train(IMAGES.transpose(0, 3, 1, 2).repeat(3, 1)), "the channels come last"),
    "integers": (lambda: jaxdiff.train(LABELS.reshape(10, 2, 2)), "must be uint8"),
    "labels": (lambda: jaxdiff.train(IMAGES, labels=[1, 2]), r"labels of shape \(2,\): must be \(40,\)"),
    "argument": (lambda: jaxdiff.train(IMAGES, bach_size=3), "batch_size"),
    "field": (lambda: jaxdiff.train(IMAGES, fields={"train.bach_size": 3}), "batch_size"),
    "section": (lambda: jaxdiff.train(IMAGES, fields={"trian.steps": 3}), "config.trian"),
    "argument of its own": (lambda: jaxdiff.train(IMAGES, step=2), "unknown argument 'step' .did you mean 'steps'"),
    "path": (lambda: jaxdiff.train("nowhere.zip"), "must be a folder"),
    "labels of a path": (lambda: jaxdiff.train("x.npy", labels=[1]), "labels: go with images in memory"),
    "two rates": (lambda: jaxdiff.train(IMAGES, optimizer=optax.sgd(1), learning_rate=1), "has its own"),
    "weight": (
        lambda: jaxdiff.train(IMAGES, net=Small(), weight=lambda gamma=5: None),
        "loss weight .* must be a function that returns .process, parameterization, t.",
    ),
    "labels that nobody reads": (lambda: jaxdiff.train(IMAGES, labels=LABELS, net=Small()), "is told no classes"),
    "no labels": (lambda: jaxdiff.train(IMAGES, labels=[None] * 40), "whole numbers from 0, or texts"),
    "a field of a part": (
        lambda: jaxdiff.train(IMAGES, net=Small(), fields={"net.channels": 8}),
        "net is given, and replaces 'net.channels': leave one",
    ),
    "a field of an optimizer": (
        lambda: jaxdiff.train(IMAGES, optimizer=optax.sgd(1), fields={"optimizer.warmup": 5}),
        "optimizer is given, and replaces 'optimizer.warmup'",
    ),
    "a field of a sampler": (
        lambda: jaxdiff.train(IMAGES, sampler="ddim", fields={"sample.sampler.eta": 0.5}),
        "replaces 'sample.sampler.eta': .* sampler=.'name': ..., 'eta': ...",
    ),
    "steps twice": (lambda: jaxdiff.train(IMAGES, 2, fields=TEN), "steps: is given as the field 'train.steps'"),
    "a field twice": (lambda: jaxdiff.train(IMAGES, seed=1, fields={"seed": 2}), "seed: is given as the field 'seed'"),
    "names without labels": (lambda: jaxdiff.train(IMAGES, classes=["a", "b"]), "classes: are the names of labels"),
    "a name twice": (lambda: jaxdiff.train(IMAGES, labels=LABELS, classes=["a", "b", "a"]), "each its own name"),
    "a label of no class": (lambda: jaxdiff.train(IMAGES, labels=["a"] * 40, classes=["b"]), "'a' is none of the"),
    "one picture": (
        lambda: jaxdiff.train(IMAGES[..., 0].repeat(3, 2)[0][..., None].repeat(3, 2)),
        r"give images\[None",
    ),
    "what is no model": (lambda: jaxdiff.train(IMAGES, net=Small(), init=3), "give a model"),
    "what is no configuration": (lambda: jaxdiff.train(IMAGES, config=3), "must be a configuration"),
    "nothing": (lambda: jaxdiff.train(), "config=None: must be a configuration, such as 'ddpm'"),
    "an unknown configuration": (lambda: jaxdiff.train(config="ddmp"), "did you mean 'ddpm'"),
    "a configuration as data": (lambda: jaxdiff.train("ddpm:cifar10"), "is config='ddpm:cifar10'"),
    "a function without parameters": (lambda: jaxdiff.train(IMAGES, net=plain), "give .*function, params"),
    "network": (lambda: jaxdiff.train(IMAGES, net=lambda x, t: x), "net"),
    "freeze": (lambda: jaxdiff.train(IMAGES, net=Small(), freeze="Cnov*"), "begin with Conv_0, Conv_1, Dense_0"),
    "freeze all": (lambda: jaxdiff.train(IMAGES, net=Small(), freeze="*"), "leaves no parameter to train"),
    "init": (lambda: jaxdiff.train(IMAGES, net=Small(), init="nowhere"), "train.init=nowhere: no run"),
    "steps": (lambda: jaxdiff.train(IMAGES, -1), "config.train.steps=-1"),
    "weights that nobody loads": (
        lambda: jaxdiff.make_step((8, 8, 1), net=Small(), fields={"train.init": "runs/teacher"}),
        "train.init: a loop of one's own begins with the parameters of",
    ),
    "shape": (lambda: jaxdiff.make_step((8, 8)), "must be .height, width, channels."),
    "grey pictures": (lambda: jaxdiff.show(IMAGES[..., 0]), r"give images\[..., None\] if these are grey"),
    "picture": (lambda: jaxdiff.show(np.zeros((2, 2))), r"images of shape \(2, 2\)"),
}


@pytest.mark.parametrize("name", [*(name for name, field in FIELDS.items() if field.folder), "train.cpu_devices"])
def test_a_field_that_would_do_nothing_is_refused(name):
    value = {int: 7, bool: True, str: "held_out_mse"}[FIELDS[name].kind]
    with pytest.raises(InputError, match=f"^{name}.* is of "):
        jaxdiff.train(IMAGES, net=Small(), fields={name: value})


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


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls_are_refused(case):
    call, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.system
def test_a_file_that_does_not_fit_is_refused(saved, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    arrays = load_file(saved / "model.safetensors")
    load = lambda: jaxdiff.load(folder, net=Small(3))
    save_file(arrays | {"Conv_0/kernel": np.zeros((1, 1, 1, 4), np.float32)}, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"'Conv_0/kernel' has the shape \(1, 1, 1, 4\) there, and \(3, 3, 1, 4\)"):
        load()
    save_file({k: v for k, v in arrays.items() if k != "Dense_0/bias"}, folder / "model.safetensors")
    with pytest.raises(InputError, match="'Dense_0/bias' has the shape none there"):
        load()
    (folder / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read"):
        load()
    record = (saved / "config.json").read_text()
    (folder / "config.json").write_text(record.replace('"format": 1', '"format": 2'))
    with pytest.raises(InputError, match="update it"):
        load()
    save = jaxdiff.train(IMAGES, 0, net=Small(), progress=False).save
    with pytest.raises(InputError, match="something else than a model"):
        save(tmp_path)
    (folder / "samples").mkdir()
    with pytest.raises(InputError, match="something else than a model"):
        save(folder, picture=False)
    (folder / "samples").rmdir()
    save(folder, picture=False)
    assert jaxdiff.load(folder, net=Small()).num_classes == 0


@pytest.mark.slow
def test_a_folder_that_would_take_minutes_to_trace_is_refused(tmp_path):
    folder = jaxdiff.train(IMAGES, 0, net=UNET, progress=False).save(tmp_path / "deep", picture=False)
    record = json.loads((folder / "config.json").read_text())
    del record["sha256"]
    record["config"]["net"]["blocks"] = 1000
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="net.blocks=1000 .* arrays in it"):
        jaxdiff.load(folder)


def test_what_cannot_be_imported_is_named():
    assert in_words(optax.adam) == "optax._src.alias:adam"
    assert in_words(lambda: 0).startswith("given in Python: ")
    assert in_words(Given(Small())) == "given in Python: Small"


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
