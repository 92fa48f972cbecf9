"""`jaxdiff sample` with folders of diffusers: what it refuses, and what it hands on."""

import argparse
import json

import jax
import numpy as np
import pytest
from PIL import Image

from jaxdiff.cli import latents, sample
from jaxdiff.pipelines import latents as pipelines
from jaxdiff.pipelines.words import no_words
from tests.helpers import latent_folder as tiny
from tests.helpers.cases import refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of which only the index is read."""
    place = tmp_path_factory.mktemp("sd")
    (place / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    return str(place)


def parsed(folder, *words):
    return sample.make_parser(latent=True).parse_args(["--model", folder, *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "img2img"], "--task: is not for folders of diffusers"),
        (["--likelihood"], "--likelihood: is not"),
        (["--label", "3"], "--label: is not"),
        (["--property", "0"], "--property: is not"),
        (["--control-net", "a"], "1 given with 0 --control and 0 --control-strength"),
        (["--control-net", "a", "--control", "a", "--control-strength", "1", "--control-strength", "2"], "and 2"),
        (["--strength", "0.5"], "--strength: goes with --image"),
        (["--mask", "a.png"], "--mask: goes with --image"),
        (["--blur", "2"], "--blur: goes with"),
        (["--negative", "a"], "--negative: is led away from by --guidance"),
    ],
)
def test_what_would_be_ignored(folder, words, said):
    with refused(said):
        sample.check(parsed(folder, *words))


def test_flags_of_stable_diffusion_are_refused_elsewhere(tmp_path):
    with refused("--control: is for folders of diffusers"):
        sample.check(parsed(str(tmp_path), "--control", "a.png"))


def test_fields_and_sizes():
    given = argparse.Namespace(control_net=["a"], size="16x32", scheduler=["use_karras_sigmas=true", "_class_name=X"])
    assert latents._parts(given) == {
        "control": ["a"],
        "size": (16, 32),
        "scheduler": {"use_karras_sigmas": True, "_class_name": "X"},
    }
    for wrong in ({"size": "16x"}, {"scheduler": ["steps"]}):
        with refused("must be"):
            latents._parts(argparse.Namespace(**vars(given) | wrong))


@pytest.mark.parametrize(
    ("name", "value", "usual"),
    [
        ("adapter_conditioning_factor", 0.5, 1.0),
        ("control_guidance_start", 0.2, 0.0),
        ("control_guidance_end", 0.8, 1.0),
        ("guess_mode", True, False),
    ],
)
def test_control_that_is_not_always_there_is_refused_by_name(name, value, usual):
    """From Python, before anything is drawn; with the value that means nothing, the next complaint is another."""
    key = jax.random.key(0)
    with refused(f"{name}={value}: only {usual} is supported"):
        pipelines.generate(None, key, 1, {}, **{name: value})
    with pytest.raises(AttributeError, match="conditions"):
        pipelines.generate(None, key, 1, {}, **{name: usual})


def test_what_stands_for_no_caption(tmp_path):
    index = tmp_path / "model_index.json"
    index.write_text("{}")
    assert no_words(tmp_path) == ""
    (tmp_path / "text_encoder_2").mkdir()
    assert no_words(tmp_path) is None
    index.write_text('{"force_zeros_for_empty_prompt": false}')
    assert no_words(tmp_path) == ""


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
def test_a_picture_that_follows_two_others(tmp_path, monkeypatch, capsys):
    """By a control network and an adapter, and from another picture; at strength 0 it is the model's own."""
    folder, rng = tiny.write(tmp_path / "sd"), np.random.default_rng(0)
    nets = [str(tiny.write_tiny_control(tmp_path / "net")), str(tiny.write_tiny_adapter(tmp_path / "adapter"))]
    monkeypatch.setattr(latents, "read_words", lambda *_: lambda captions: {"context": tiny.words(len(captions))})
    for name in ("edges", "begin"):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / f"{name}.png")
    plain = ["--model", str(folder), "--prompt", "a", "--num", "2", "--steps", "4", "--guidance", "3"]

    def drawn(*words):
        assert sample.main([*plain, *words, "--out", str(tmp_path / "out"), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["files"][-1] == "0001.png"
        return np.load(tmp_path / "out" / "samples.npy")

    control = [word for net in nets for word in ("--control-net", net, "--control", str(tmp_path / "edges.png"))]
    strengths = lambda *each: [word for one in each for word in ("--control-strength", str(one))]
    alone = drawn()
    np.testing.assert_array_equal(drawn(*control, *strengths(0, 0)), alone)
    for one in ((1, 0), (0, 1)):
        assert np.abs(drawn(*control, *strengths(*one)) - alone).max() > 0.01
    assert np.abs(drawn("--image", str(tmp_path / "begin.png"), "--strength", "0.5") - alone).max() > 0.01
    assert sample.main(["--model", str(folder)]) == 2
    assert "--prompt" in capsys.readouterr().err
    by_one = drawn(*control[:4])
    tiny.write_tiny_control(folder / "controlnet")  # which is then the model's own
    np.testing.assert_array_equal(drawn("--control", str(tmp_path / "edges.png")), by_one)
    assert sample.main(plain) == 2
    assert "--control: 0 given, and 1 networks" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("quick_compilation")
def test_instructions_are_followed_without_guidance_and_know_no_strength(tmp_path, monkeypatch, capsys):
    folder, file = tiny.write(tmp_path / "sd", beside=(("image", 4),)), tmp_path / "a.png"
    monkeypatch.setattr(latents, "read_words", lambda *_: lambda captions: {"context": tiny.words(len(captions))})
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save(file)
    plain = ["--model", str(folder), "--prompt", "a", "--steps", "2", "--sampler", "ddim", "--image", str(file)]

    def drawn(*words):
        assert sample.main([*plain, *words, "--out", str(tmp_path / "out"), "--json"]) == 0
        return np.load(tmp_path / "out" / "samples.npy")

    np.testing.assert_array_equal(drawn(), drawn("--guidance", "7.5", "--image-guidance", "1.5"))
    for flag, value in (("--strength", "0.5"), ("--mask", str(file))):
        assert sample.main([*plain, flag, value]) == 2
        assert f"{flag}: this model is an InstructPix2Pix" in capsys.readouterr().err
    other = ["--model", str(tiny.write(tmp_path / "other")), "--prompt", "a", "--image", str(file)]
    assert sample.main([*other, "--image-guidance", "2"]) == 2
    assert "--image-guidance: this model is no InstructPix2Pix" in capsys.readouterr().err
