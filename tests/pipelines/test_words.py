"""A model that reads captions: how it is built, told and drawn from."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.cli import sample
from jaxdiff.cli.setup import prepare
from jaxdiff.config import build
from jaxdiff.config.sampling import Bound
from jaxdiff.data.captions import text_details
from jaxdiff.data.tokenizer import from_details
from jaxdiff.errors import InputError
from jaxdiff.modalities.images.low_resolution import specs
from jaxdiff.modalities.images.show import save_samples
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines import experiment
from jaxdiff.pipelines.autoguide import autoguide
from jaxdiff.pipelines.cascade import cascade
from jaxdiff.types import Batch
from tests.helpers.configs import get_config
from tests.helpers.models import PATH, a_model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compilation")]


def tiny_text(net="dit"):
    config = get_config("scenes", "text")
    for part in ("data", "held_out"):
        config[part]["n"] = 300
    text = {"width": 16, "depth": 1, "heads": 2, "vocabulary": 400}
    if net == "unet":
        small = {"channels": 8, "multipliers": (1,), "blocks": 1, "attention": (), "groups": 4, "dropout": 0.0}
        config["net"] = {"name": "unet", **small, "text": text}
    else:
        config["net"] |= {"depth": 1, "width": 16, "heads": 2, "text": text}
    config["sample"]["steps"] = 3
    return config


@pytest.fixture(scope="module")
def parts():
    config = tiny_text()
    source = build.source(config)
    made = experiment.build(config, source.spec)
    perturb = lambda p: p + 0.3 * jax.random.normal(jax.random.key(p.size), p.shape)
    params = jax.jit(lambda key: jax.tree.map(perturb, made.init(key)))(jax.random.key(0))
    return config, source, dataclasses.replace(made.model, params=params)


def test_the_vocabulary_is_that_of_the_data_and_the_record_keeps_it(parts):
    config, source, model = parts
    details = source.spec.details["text"]
    assert model.conditions["text"] == source.conditions["text"]
    assert model.params["text"]["tokens"]["embedding"].shape[0] == details["vocabulary"]
    assert json.loads(json.dumps(details)) == details
    held = build.held_out(config, source.spec)
    assert held.spec.details["text"] == details
    assert held.conditions == source.conditions


def test_a_prompt_is_the_condition_that_its_ids_are(parts):
    *_, model = parts
    key, n = jax.random.key(1), 3
    asked = ["a red seven", "a blue one at the top left", "a white two above a pink four"]
    told = model.check_condition({"text": asked}, n)
    drawn = model.sample(key, n, prompt=asked)
    np.testing.assert_array_equal(drawn, model.sample(key, n, condition=told))
    np.testing.assert_array_equal(drawn, model.sample(key, n, condition=asked))
    streamed = np.concatenate(list(model.stream(key, n, batch=2, prompt=asked)))
    np.testing.assert_allclose(streamed, drawn, atol=1e-5)
    other = model.sample(key, n, prompt="a red seven")
    np.testing.assert_allclose(other[0], drawn[0], atol=1e-5)
    assert jnp.abs(other[1] - drawn[1]).max() > 1e-3


def test_no_caption_is_the_empty_caption_and_the_negative_one_by_default(parts):
    *_, model = parts
    key = jax.random.key(2)
    np.testing.assert_array_equal(model.sample(key, 2), model.sample(key, 2, prompt=""))
    guided = model.sample(key, 2, prompt="a red seven", guidance=2.0)
    np.testing.assert_array_equal(guided, model.sample(key, 2, prompt="a red seven", guidance=2.0, negative=""))
    away = model.sample(key, 2, prompt="a red seven", guidance=2.0, negative="a blue one")
    assert jnp.abs(guided - away).max() > 1e-3


def test_one_compilation_for_all_prompts_negatives_scales_and_seeds(parts):
    *_, model = parts
    bound, inner = [], model.bind
    model = dataclasses.replace(model, bind=lambda *given: bound.append(1) or inner(*given))
    for seed, asked in enumerate(
        (
            {"prompt": "a red seven", "guidance": 2.0},
            {"prompt": ["a", "b"], "guidance": 0.0},
            {"prompt": "a red seven", "negative": "a blue one", "guidance": 3.5},
            {"prompt": ["x", ""], "negative": ["", "y"], "guidance": 1.0, "guidance_high": 10.0},
            {"guidance": 1.0},
        )
    ):
        model.sample(jax.random.key(seed), 2, **asked)
    assert len(bound) == 2  # to the caption, and to the negative one, in one tracing


def test_a_worse_model_is_told_the_prompt_too(parts):
    """Led away from itself, a model is itself."""
    *_, model = parts
    key, asked = jax.random.key(3), ["a red seven", "a blue one"]
    led = autoguide(model, key, 2, model, 3.0, prompt=asked)
    np.testing.assert_allclose(led, model.sample(key, 2, prompt=asked), atol=1e-4)


def test_a_run_that_begins_with_another_tokenizer_keeps_the_vector_of_each_piece(parts, capsys):
    """As the other tokenizer, of other captions, numbers its pieces in another way, and lacks some."""
    config, source, model = parts
    other = text_details([caption.replace("red", "vermilion") for caption in source.captions], vocabulary=400)
    details = {**model.spec.details, "text": other}
    old = np.random.default_rng(0).normal(size=(other["vocabulary"], 16)).astype(np.float32)
    params = {**model.params, "text": {**model.params["text"], "tokens": {"embedding": old}}}
    trained = dataclasses.replace(model, params=params, spec=model.spec._replace(details=details))
    setup = prepare(config)
    new = np.asarray(setup.begun(setup.first(), lambda: trained).params["text"]["tokens"]["embedding"])
    there, here = (from_details(one).core.get_vocab() for one in (other, source.spec.details["text"]))
    both = here.keys() & there.keys()
    assert any(here[piece] != there[piece] for piece in both)
    for piece in both:
        np.testing.assert_array_equal(new[here[piece]], old[there[piece]])
    assert 0 < len(both) < len(here)
    assert f"learned with another tokenizer ({len(both)} of the {len(here)} pieces" in capsys.readouterr().out


def test_a_cascade_tells_the_prompt_to_those_that_read(parts):
    """And not to one that enlarges what they draw, which is none of them."""
    *_, model = parts
    spec, same = image_spec((32, 32, 3)), lambda params, told: Bound(PATH, lambda x, t: told["low_res"])
    large = dataclasses.replace(a_model(), spec=spec, conditions=specs(spec.shape), bind=same, upscales=2)
    key, asked = jax.random.key(4), {"prompt": ["a red seven", "a blue one"], "steps": 2}
    small, _ = cascade(model, key, 2, [large], noise=0.0, **asked)
    np.testing.assert_array_equal(small, model.sample(jax.random.split(key)[0], 2, **asked))
    with pytest.raises(InputError, match="prompt: this model reads no captions"):
        cascade(a_model(), key, 2, [dataclasses.replace(large, spec=image_spec((4, 4, 1)))], **asked)


def test_a_cascade_tells_classes_beside_the_prompt(parts):
    """The class that is given, or all in turn, as without a prompt; this model heeds the class alone."""
    *_, model = parts
    spec, told = a_model().spec, {"text": model.conditions["text"]}
    spec = spec._replace(details={"text": model.spec.details["text"]})
    both = dataclasses.replace(a_model(2, steps=2), spec=spec, conditions=a_model(2).conditions | told)
    large, same = image_spec((4, 4, 1)), lambda params, given: Bound(PATH, lambda x, t: given["low_res"])
    large = dataclasses.replace(a_model(steps=2), spec=large, conditions=specs(large.shape), bind=same, upscales=2)
    key, first = jax.random.key(5), jax.random.split(jax.random.key(5))[0]
    for given, labels in ((None, [0, 1]), ([1, 1], [1, 1]), (1, [1, 1]), ({"label": np.array([1, 1])}, [1, 1])):
        small, _ = cascade(both, key, 2, [large], noise=0.0, condition=given, prompt="a red seven")
        np.testing.assert_array_equal(small, both.sample(first, 2, condition={"label": np.array(labels)}))


def test_a_long_prompt_is_cut_and_that_is_said_once(parts, caplog):
    *_, model = parts
    model.sample(jax.random.key(0), 2, prompt="seven " * 100)
    said = [r.message for r in caplog.records if "cut" in r.message]
    assert said == [f"prompts: 2 of 2 are longer than the {model.conditions['text'].shape[0]} ids that are read: cut"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"prompt": ["a", "b", "c"]}, "prompt: 3 captions for 2 examples: give one for all, or one for each"),
        ({"prompt": 7}, "prompt='7': must be a text, or a list of them"),
        ({"prompt": "a", "condition": [1, 2]}, "prompt: goes with condition="),
        ({"condition": {"text": np.zeros((2, 3), int)}}, "'text' must be 2 rows of .* whole numbers from 0"),
        ({"condition": {"text": np.full((2, 1), -1)}}, "'text' must be 2 rows of"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(parts, asked, message):
    *_, model = parts
    with pytest.raises(InputError, match=message):
        model.sample(jax.random.key(0), 2, **asked)


def test_a_model_without_text_takes_no_prompt():
    with pytest.raises(InputError, match="prompt: this model reads no captions: take one trained with net.text"):
        a_model(classes=2).sample(jax.random.key(0), 2, prompt="a red seven")


def test_a_unet_reads_captions_too():
    config = tiny_text("unet")
    source = build.source(config)
    made = experiment.build(config, source.spec)
    batch = source.take(np.arange(4))
    told = {"text": jnp.asarray(batch.condition["text"])}
    perturb = lambda p: p + 0.3 * jax.random.normal(jax.random.key(p.size), p.shape)
    params = jax.jit(lambda key: jax.tree.map(perturb, made.init(key)))(jax.random.key(0))
    run = jax.jit(lambda told: made.model.bind(params, told).denoiser(jnp.asarray(batch.x_0), jnp.full(4, 0.5)))
    rolled = {"text": told["text"][::-1]}
    assert jnp.abs(run(told) - run(rolled)).reshape(4, -1).max(1).min() > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"name": "digits"}, "held_out": {}}, "net.text: this data has no captions to be read"),
        ({"net.text.widht": 8}, r"unknown field 'config.net.text.widht' \(did you mean 'config.net.text.width'"),
        ({"net.text.width": "wide"}, "config.net.text.width='wide': must be a whole number"),
        ({"net.text.vocabulary": 100}, "vocabulary=100: 256 bytes and 3 special ids need at least 259"),
        ({"net.text.length": 2}, "config.net.text.length=2: holds no more than a start and an end"),
        ({"net.text.tokenizer": "/nowhere"}, "no tokenizer at '/nowhere'"),
        ({"net.text.heads": 3}, "net.text.width=16 is not a multiple of net.text.heads=3"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    config = tiny_text()
    for name, value in changes.items():
        *parents, last = name.split(".")
        part = config
        for parent in parents:
            part = part[parent]
        part[last] = value
    with pytest.raises(InputError, match=message):
        experiment.build(config, build.source(config).spec)


def test_a_network_without_text_is_not_told_the_captions_of_its_data():
    config = tiny_text()
    config["net"]["text"] = {}
    source = build.source(config)
    assert (source.conditions, source.take(np.arange(2)).condition) == ({}, None)
    config["train"]["cond_dropout"] = 0.0
    assert not experiment.build(config, source.spec).model.conditions


def test_a_sheet_shows_captions_under_the_pictures(parts, tmp_path):
    _, source, _ = parts
    batch = source.take(np.arange(5))
    files = save_samples(tmp_path, source.spec, batch, None, "")
    assert files == ["captions.png", "grid.png"]
    plain = save_samples(tmp_path, source.spec, Batch(batch.x_0), None, "")
    assert plain == ["grid.png"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt=a", "--prompts=b"], "--prompts: captions are given by --prompt, too"),
        (["--prompt=a", "--task=inpaint"], "--prompt: goes with plain drawing, not with --task"),
        (["--prompt=a", "--likelihood"], "--prompt: goes with plain drawing, not with --likelihood"),
        (["--prompt=a", "--fill=b"], "--prompt: goes with plain drawing, not with --fill"),
        (["--prompts=a", "--smiles=C"], "--prompts: goes with plain drawing, not with --smiles"),
        (["--atoms=5", "--smiles=C"], "--atoms: goes with plain drawing and --task, not with --smiles"),
        (["--property=5", "--fill=b"], "--property: goes with plain drawing and --task, not with --fill"),
        (["--smiles=C", "--fill=b"], "--smiles: goes without --fill"),
        (["--num=5", "--likelihood"], "--num: goes with .*, not with --likelihood"),
        (["--batch=5", "--likelihood"], "--batch: goes with .*, not with --likelihood"),
        (["--option=eta=0", "--likelihood"], "--option: goes with .*, not with --likelihood"),
        (["--first=1", "--task=outpaint"], "--first: goes with .*, not with --task"),
        (["--json", "--fill=b"], "--json: goes with plain drawing, not with --fill"),
        (["--label=1", "--smiles=C"], "--label: goes with plain drawing and --task, not with --smiles"),
        (["--negative=a"], "--negative: is led away from by --guidance"),
    ],
)
def test_flags_that_do_not_go_together(flags, message):
    with pytest.raises(InputError, match=message):
        sample.check(sample.make_parser().parse_args(flags))


def test_prompts_of_a_file_come_in_turn(parts, tmp_path):
    *_, model = parts
    file = tmp_path / "prompts.txt"
    file.write_text("a red seven\n\n a blue one \n")
    arguments = sample.make_parser().parse_args([f"--prompts={file}"])
    captions = sample.prompts.read_prompts(arguments)
    assert captions == ["a red seven", "a blue one"]
    assert sample.prompts.told(model, None, captions, 1, 3)["text"] == ["a blue one", "a red seven", "a blue one"]
    with pytest.raises(InputError, match="--prompt: this model reads no captions"):
        sample.prompts.told(a_model(), None, captions, 0, 3)
    for content, message in (("\n", "holds no caption"), (None, "cannot be read as text")):
        file.unlink(missing_ok=True)
        if content:
            file.write_text(content)
        with pytest.raises(InputError, match=message):
            sample.prompts.read_prompts(arguments)
