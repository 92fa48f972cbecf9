"""`jaxdiff sample --model` run whole: words, masks, depth, XL and single files, from the command to the pictures.

The folders and files are tiny, with random weights in every tensor and text encoders and tokenizers of their own. What
is drawn is compared with the same pipelines called from Python, and under `-m parity` with diffusers' own.
"""

import functools
import json
import shutil
import warnings

import jax
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import jaxdiff
from jaxdiff.cli import latents as command
from jaxdiff.cli import sample
from jaxdiff.interop.conditional import BESIDE
from jaxdiff.pipelines import latents
from jaxdiff.pipelines.words import read_words
from tests.helpers import latent_folder as tiny
from tests.helpers import single
from tests.interop.test_clip import clip_files  # noqa: F401
from tests.interop.test_single_file import words_of

slow = pytest.mark.slow
pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY, STEPS = jax.random.key(0), 4
CAPTION = "a photo of the cat"
WIDTH, POOLED = 64, 24
"""Of the text encoders of `words_of`, and of XL's vector."""
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (16, 16, 3), np.uint8)


@pytest.fixture
def drawn(tmp_path, capsys):
    """`drawn(model, ...) -> pictures` of the command line."""

    def run(model, *words, prompt=CAPTION, num=2):
        plain = ["--model", str(model), "--prompt", prompt, "--num", str(num), "--steps", str(STEPS), "--json"]
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        code = sample.main([*plain, *map(str, words), "--out", str(tmp_path / "out")])
        told = capsys.readouterr()
        assert code == 0, told.err
        record = json.loads(told.out)
        assert record["files"][-1] == f"{num - 1:04d}.png"
        found = np.load(tmp_path / "out" / "samples.npy")
        shown = np.asarray(Image.open(tmp_path / "out" / "0000.png"), np.float32)
        assert np.abs(shown / 127.5 - 1 - found[0]).max() < 0.005
        return found

    return run


@pytest.fixture
def given_words(monkeypatch):
    """Words of no text encoder, for folders without one."""
    monkeypatch.setattr(command, "read_words", lambda *_: lambda captions: {"context": tiny.words(len(captions))})
    return {"context": tiny.words(2)}


def saved(path, picture):
    Image.fromarray(picture).save(path)
    return path


def a_mask(path):
    """White where the picture is known: a mask, and the picture of it."""
    mask = np.ones((1, 16, 16, 1), np.float32)
    mask[:, 4:12, 6:] = 0
    return mask, saved(path, np.uint8(255 * mask[0, ..., 0]))


@slow
@pytest.mark.parametrize("channels", [4, 9])
def test_a_part_of_a_picture(channels, tmp_path, drawn, given_words):
    """By a network that is told the mask, and by one that is not, of which what is known is put back."""
    folder = tiny.write(tmp_path / "sd", beside=BESIDE[channels - 4])
    image = saved(tmp_path / "image.png", PICTURE)
    mask, file = a_mask(tmp_path / "mask.png")
    found = drawn(folder, "--image", image, "--mask", file, "--guidance", 3, "--sampler", "ddim")
    model, pictures = jaxdiff.load(folder), np.repeat(np.float32(PICTURE / 127.5 - 1)[None], 2, 0)
    options = {"steps": STEPS, "sampler": "ddim", "guidance": 3.0, "negative": given_words}
    ours = latents.fill(model, KEY, pictures, mask, given_words, **options)
    np.testing.assert_allclose(found, ours, atol=1e-5)
    other = latents.fill(model, KEY, pictures, np.roll(mask, 4, 1), given_words, **options)
    assert np.abs(found - other).max() > 0.05


@slow
def test_a_picture_of_a_depth(tmp_path, drawn, given_words, capsys):
    """Of nothing, and of another picture; depth is stretched to its own range."""
    folder, depth = tiny.write(tmp_path / "sd", beside=BESIDE[1]), RNG.integers(40, 200, (8, 8), np.uint8)
    image, file = saved(tmp_path / "image.png", PICTURE), saved(tmp_path / "depth.png", depth)
    told = 2 * (depth - np.float32(depth.min())) / np.ptp(depth) - 1
    condition = given_words | {"depth": np.repeat(told[None, ..., None], 2, 0)}
    model, options = jaxdiff.load(folder), {"steps": STEPS}
    found = drawn(folder, "--depth", file)
    np.testing.assert_allclose(found, latents.generate(model, KEY, 2, condition, **options), atol=1e-5)
    pictures = np.repeat(np.float32(PICTURE / 127.5 - 1)[None], 2, 0)
    ours = latents.edit(model, KEY, pictures, condition, strength=0.5, **options)
    np.testing.assert_allclose(drawn(folder, "--depth", file, "--image", image, "--strength", 0.5), ours, atol=1e-5)
    flat = saved(tmp_path / "flat.png", np.full((8, 8), 7, np.uint8))
    for words, said in ((["--depth", str(flat)], "is the same everywhere"), ([], "--depth: goes with a model")):
        assert sample.main(["--model", str(folder), "--prompt", "a", *words]) == 2
        assert said in capsys.readouterr().err


def text_encoder(place, size, seed, projected):
    """Write a text encoder as transformers does, with two blocks."""
    stored = {n.partition("transformer.")[2]: t for n, t in words_of("1", size, seed).items()}
    if projected:
        stored["text_projection.weight"] = np.random.default_rng(seed).normal(size=(POOLED, WIDTH)).astype(np.float32)
    config = {"vocab_size": size, "hidden_size": WIDTH, "intermediate_size": 80, "num_hidden_layers": 2}
    config |= {"num_attention_heads": 1, "max_position_embeddings": 9, "hidden_act": "gelu" if seed else "quick_gelu"}
    config |= {"bos_token_id": size - 2, "eos_token_id": size - 1, "projection_dim": POOLED}
    place.mkdir()
    save_file(stored, place / "model.safetensors")
    (place / "config.json").write_text(json.dumps(config))


@pytest.fixture
def xl(clip_files, tmp_path):  # noqa: F811
    """A folder of XL with both text encoders and tokenizers, padded differently."""
    more = {"pooled": POOLED, "context": 2 * WIDTH}
    folder = tiny.write(tmp_path / "xl", **tiny.XL | more)
    size = len(json.loads((clip_files / "vocab.json").read_text()))
    for seed, pad in enumerate(("<|endoftext|>", "!")):
        end = "_2" if seed else ""
        text_encoder(folder / f"text_encoder{end}", size, seed, bool(seed))
        shutil.copytree(clip_files, folder / f"tokenizer{end}")
        settings = {"pad_token": pad, "model_max_length": 9, "tokenizer_class": "CLIPTokenizer"}
        settings |= {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
        (folder / f"tokenizer{end}" / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@slow
def test_a_folder_of_xl(xl, drawn):
    """Two encoders, sizes, and zeros in place of no caption, unless one is given to be avoided."""
    model, words = jaxdiff.load(xl), read_words(xl)
    told, options = words([CAPTION] * 2), {"steps": STEPS, "guidance": 3.0}
    found = drawn(xl, "--guidance", 3)
    ours = latents.generate(model, KEY, 2, told, words([None] * 2), **options)
    np.testing.assert_allclose(found, ours, atol=1e-5)
    avoided = drawn(xl, "--guidance", 3, "--negative", "whiskers")
    ours = latents.generate(model, KEY, 2, told, words(["whiskers"] * 2), **options)
    np.testing.assert_allclose(avoided, ours, atol=1e-5)
    assert np.abs(avoided - found).max() > 1e-3


@slow
@pytest.mark.parametrize("family", ["1", "XL"])
def test_a_single_file(family, clip_files, tmp_path, drawn, monkeypatch):  # noqa: F811
    """With its text encoders, by a tokenizer that is named; from nothing, and of version 1 from a picture."""
    size = len(json.loads((clip_files / "vocab.json").read_text()))
    wide = {"context": WIDTH} if family == "1" else {"context": 2 * WIDTH, "pooled": POOLED}
    monkeypatch.setitem(single.UNETS, family, single.UNETS[family].clone(**wide))
    file = tmp_path / "model.safetensors"
    single.write(file, family, words_of(family, size))
    model, words = jaxdiff.load(file, size=(16, 16)), read_words(file, clip_files)
    away, told = words(["" if family == "1" else None] * 2), words([CAPTION] * 2)
    flags = ["--tokenizer", clip_files, "--size", "16x16", "--guidance", 3]
    found = drawn(file, *flags)
    options = {"steps": STEPS, "guidance": 3.0}
    np.testing.assert_allclose(found, latents.generate(model, KEY, 2, told, away, **options), atol=1e-5)
    if family == "XL":
        return
    pictures = np.repeat(np.float32(PICTURE / 127.5 - 1)[None], 2, 0)
    image = saved(tmp_path / "image.png", PICTURE)
    ours = latents.edit(model, KEY, pictures, told, strength=0.5, negative=away, **options)
    np.testing.assert_allclose(drawn(file, *flags, "--image", image, "--strength", 0.5), ours, atol=1e-5)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
def test_diffusers_draws_the_same_of_a_folder_of_xl(xl, drawn, monkeypatch):
    """From the caption's letters to the pixels, of its own classes on the same folder, from the same noise."""
    import diffusers
    import torch
    import transformers

    euler = {k: v for k, v in tiny.SCHEDULER.items() if k.startswith("beta")}
    euler |= {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading", "steps_offset": 1}
    (xl / "scheduler" / "scheduler_config.json").write_text(json.dumps(euler))
    noise = RNG.normal(size=(2, *tiny.SHAPE)).astype(np.float32)
    monkeypatch.setattr(latents, "generate", functools.partial(latents.generate, noise=noise))
    found = drawn(xl, "--guidance", 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = diffusers.StableDiffusionXLPipeline(
            vae=diffusers.AutoencoderKL.from_pretrained(xl / "vae"),
            unet=diffusers.UNet2DConditionModel.from_pretrained(xl / "unet"),
            scheduler=diffusers.EulerDiscreteScheduler.from_config(euler),
            text_encoder=transformers.CLIPTextModel.from_pretrained(xl / "text_encoder"),
            text_encoder_2=transformers.CLIPTextModelWithProjection.from_pretrained(xl / "text_encoder_2"),
            tokenizer=transformers.CLIPTokenizer.from_pretrained(str(xl / "tokenizer")),
            tokenizer_2=transformers.CLIPTokenizer.from_pretrained(str(xl / "tokenizer_2")),
            add_watermarker=False,
        )
        theirs.set_progress_bar_config(disable=True)
        start = torch.tensor(np.ascontiguousarray(noise.transpose(0, 3, 1, 2)))
        given = {"num_inference_steps": STEPS, "guidance_scale": 3.0, "output_type": "np", "latents": start}
        there = 2 * theirs(prompt=[CAPTION] * 2, **given).images - 1
    assert there.std() > 0.1
    assert np.abs(found - there).max() < 2e-3
