"""Folders of diffusers: read, sampled from, written, and refused where they have to be."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import jaxdiff
from jaxdiff.errors import InputError
from jaxdiff.interop import latent
from jaxdiff.interop.unconditional import read_unconditional, shapes, write_unconditional
from jaxdiff.nets.unet import UNet
from jaxdiff.nets.unet2d import UNet2D
from jaxdiff.pipelines import latents
from jaxdiff.pipelines.draw import make_draw
from tests.helpers import latent_folder as tiny
from tests.helpers.cases import refused

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compilation")]

KEY = jax.random.key(0)
NET = UNet2D(widths=(8, 16), blocks=1, down=(False, True), up=(True, False), groups=4)
DDPM = {"beta_schedule": "linear", "num_train_timesteps": 1000}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp("sd") / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    return jaxdiff.load(folder)


@pytest.fixture(scope="module")
def ddpm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddpm") / "tiny"
    write_unconditional(folder, NET, tiny.random(shapes(NET, (8, 8, 3))), (8, 8, 3), DDPM)
    return folder


def changed(folder, tmp_path, part, change):
    """A copy of a folder whose weights of a part are changed."""
    copy = tmp_path / "copy"
    for file in folder.rglob("*"):
        if file.is_file():
            (copy / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (copy / file.relative_to(folder)).write_bytes(file.read_bytes())
    file = copy / part / "diffusion_pytorch_model.safetensors"
    change(copy / part, load_file(file))
    return copy


def test_a_round_trip_changes_no_bit(folder, tmp_path):
    once = latent.read_latent(folder)
    latent.write_latent(tmp_path / "again", once, tiny.SCHEDULER)
    for part in ("unet", "vae"):
        before, after = (
            load_file(place / part / "diffusion_pytorch_model.safetensors") for place in (folder, tmp_path / "again")
        )
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[name], after[name]) for name in before)
    assert jax.tree.all(jax.tree.map(np.array_equal, once.params, tiny.parts().params))


def test_an_unconditional_folder(ddpm):
    model = jaxdiff.load(ddpm)
    drawn = model.sample(KEY, 2, steps=3)
    assert drawn.shape == (2, 8, 8, 3)
    assert np.abs(drawn).max() <= 1
    again = read_unconditional(ddpm)
    assert jax.tree.all(jax.tree.map(np.array_equal, again.params, tiny.random(shapes(NET, (8, 8, 3)))))


def test_other_samplers_clip_as_the_folder_does(ddpm):
    """Also where the folder's own clips by itself, which is DDIM's."""
    model = jaxdiff.load(ddpm, scheduler={"_class_name": "DDIMScheduler"})
    drawn = model.sample(KEY, 1, steps=3, sampler="ddim")
    assert np.abs(drawn).max() <= 1
    assert np.abs(model.sample(KEY, 1, steps=3) - drawn).max() > 1e-3
    assert np.abs(model.sample(KEY, 1, steps=3, sampler="ddim", clip=np.inf)).max() > 1


def test_a_network_of_the_house_is_written_too(tmp_path):
    """The same weights in the two networks give the same numbers; what a UNet2DModel lacks is refused by name."""
    net = UNet(channels=8, multipliers=(1, 2), blocks=1, attention=(4,), groups=4, dropout=0.0)
    params = tiny.random(shapes(net, (8, 8, 3)))
    write_unconditional(tmp_path / "own", net, params, (8, 8, 3), DDPM)
    there = read_unconditional(tmp_path / "own")
    x, t = jax.random.normal(KEY, (2, 8, 8, 3)), jnp.array([3.0, 712.0])
    ours, theirs = (jax.jit(n.apply)({"params": p}, x, t) for n, p in ((net, params), (there.net, there.params)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    with refused("net.patch=2"):
        write_unconditional(tmp_path / "other", net.clone(patch=2), params, (8, 8, 3), DDPM)


def test_shards_and_half_precision(ddpm, tmp_path):
    """Two files and their index give what one does; float16 and bfloat16 are read as float32."""
    whole = read_unconditional(ddpm).params

    def split(place, tensors):
        (place / "diffusion_pytorch_model.safetensors").unlink()
        names = sorted(tensors)
        files = {name: f"diffusion_pytorch_model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
        for file in set(files.values()):
            half = {name: tensors[name].astype(jnp.bfloat16) for name in names if files[name] == file}
            save_file(half, place / file)
        index = place / "diffusion_pytorch_model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": files}))

    copy = changed(ddpm, tmp_path, "unet", split)
    got = read_unconditional(copy).params
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(got))
    rounded = jax.tree.map(lambda p: np.asarray(p).astype(jnp.bfloat16).astype(np.float32), whole)
    assert jax.tree.all(jax.tree.map(np.array_equal, got, rounded))
    (copy / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with refused("00002-of-00002"):
        read_unconditional(copy)


def drop(place, tensors):
    del tensors["conv_in.weight"]
    save_file(tensors, place / "diffusion_pytorch_model.safetensors")


def add(place, tensors):
    save_file(tensors | {"extra.lora_A.weight": np.ones(3)}, place / "diffusion_pytorch_model.safetensors")


def reshape(place, tensors):
    tensors["conv_out.bias"] = np.ones(7, np.float32)
    save_file(tensors, place / "diffusion_pytorch_model.safetensors")


def pickle(place, tensors):
    (place / "diffusion_pytorch_model.safetensors").rename(place / "diffusion_pytorch_model.bin")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop, "conv_in.weight"),
        (add, "extra.lora_A.weight"),
        (reshape, r"conv_out.bias.*\(7,\).*\(3,\)"),
        (pickle, "programs"),
    ],
)
def test_weights_that_do_not_fit(ddpm, tmp_path, change, said):
    with refused(said):
        jaxdiff.load(changed(ddpm, tmp_path, "unet", change))


def reconfigured(**fields):
    """A change of a part's configuration."""

    def change(place, tensors):
        file = place / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    return change


@pytest.mark.parametrize(
    ("kind", "part", "fields"),
    [
        ("sd", "unet", {"attention_head_dim": None}),
        ("sd", "unet", {"norm_num_groups": 3}),
        ("sd", "unet", {"transformer_layers_per_block": [1]}),
        ("sd", "unet", {"sample_size": "8"}),
        ("sd", "vae", {"scaling_factor": None}),
        ("sd", "vae", {"latents_mean": [0, 0], "latents_std": [1, 1]}),
        ("ddpm", "unet", {"norm_num_groups": 3}),
        ("ddpm", "unet", {"block_out_channels": 8}),
    ],
)
def test_fields_that_do_not_fit_together_are_refused_with_their_file(folder, ddpm, tmp_path, kind, part, fields):
    given = changed({"sd": folder, "ddpm": ddpm}[kind], tmp_path, part, reconfigured(**fields))
    with refused(f"{part}/config.json': no network can be built of these fields"):
        jaxdiff.load(given)


def test_a_whole_number_is_one_scale(folder, tmp_path):
    once = latent.read_latent(changed(folder, tmp_path, "vae", reconfigured(scaling_factor=1)))
    latent.write_latent(tmp_path / "again", once, tiny.SCHEDULER)
    assert latent.read_latent(tmp_path / "again").autoencoder.scale == 1


def test_other_pipelines_and_options(folder, ddpm, tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with refused("FluxPipeline"):
        jaxdiff.load(tmp_path)
    with refused("scale"):
        jaxdiff.load(folder, scale=2)
    with refused("multiples of 2"):
        jaxdiff.load(folder, size=(17, 16))
    with refused("weights=ema"):
        jaxdiff.load(ddpm, "ema")


def test_old_names_of_attention(ddpm, tmp_path):
    """Files from before 2023, with 1x1 convolutions in place of linear layers."""

    def rename(place, tensors):
        old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        for name in [name for name in tensors if "attentions" in name]:
            for new, before in old.items():
                if f".{new}." in name:
                    value = tensors.pop(name)
                    value = value[:, :, None, None] if value.ndim == 2 else value
                    tensors[name.replace(f".{new}.", f".{before}.")] = value
        save_file(tensors, place / "diffusion_pytorch_model.safetensors")

    got = read_unconditional(changed(ddpm, tmp_path, "unet", rename)).params
    assert jax.tree.all(jax.tree.map(np.array_equal, got, read_unconditional(ddpm).params))


def test_samples_are_decoded(model):
    condition, negative = {"context": tiny.words(2)}, {"context": tiny.words(2, 1)}
    options = {"steps": 4, "guidance": 3.0}
    drawn = model.sample(KEY, 2, condition=condition, negative=negative, **options)
    assert drawn.shape == (2, 16, 16, 3)
    z, frames = model.trajectory(KEY, 2, 2, condition=condition, negative=negative, **options)
    assert frames.shape == (2, 2, 8, 8, 4)
    np.testing.assert_array_equal(model.codec.decode(z), drawn)
    other = model.sample(KEY, 2, condition=negative, negative=condition, **options)
    assert np.abs(other - drawn).max() > 0.01


def test_one_compile_for_any_words_and_strength(model):
    draw = make_draw(model.bind, model.path, model.mesh)
    sizes = []
    for seed in (1, 2, 3):
        condition, negative = {"context": tiny.words(1, seed)}, {"context": tiny.words(1, seed + 9)}
        latents.generate(model, jax.random.key(seed), 1, condition, negative, steps=4, guidance=float(seed))
        sizes.append(draw._cache_size())
    assert sizes[0] == sizes[-1]


def test_it_has_to_be_told_the_words(model):
    with refused("context"):
        model.sample(KEY, 1, steps=4)


def test_edit_begins_later(model):
    """At full strength from pure noise but for what is left of the picture; at the least, one step from it."""
    pictures = np.tanh(np.random.default_rng(0).normal(size=(2, 16, 16, 3))).astype(np.float32)
    condition = {"context": tiny.words(2)}
    near = latents.edit(model, KEY, pictures, condition, strength=0.25, steps=4)
    far = latents.edit(model, KEY, pictures, condition, strength=1.0, steps=4)
    through = model.codec.decode(model.codec.encode(pictures))
    assert np.abs(near - through).mean() < np.abs(far - through).mean()
    with refused("strength=0.1"):
        latents.edit(model, KEY, pictures, condition, strength=0.1, steps=4)


def test_fill_keeps_what_is_known(model):
    """The latents of what is known come back as they are, whatever is drawn beside them."""
    pictures = np.tanh(np.random.default_rng(0).normal(size=(1, 16, 16, 3))).astype(np.float32)
    mask = np.ones((1, 16, 16, 1))
    options = {"condition": {"context": tiny.words(1)}, "steps": 4, "sampler": "ddim"}
    through = model.codec.decode(model.codec.encode(pictures))
    np.testing.assert_allclose(latents.fill(model, KEY, pictures, mask, **options), through, atol=1e-5)
    mask[:, :, 8:] = 0
    filled = latents.fill(model, KEY, pictures, mask, **options)
    assert np.abs(filled - through)[:, :, 12:].max() > 0.01
    with refused("mask"):
        latents.fill(model, KEY, pictures, mask[:, 1:], **options)
    wider, between = mask.copy(), mask.copy()
    wider[:, :, 6:], between[:, :, 7:] = 0, 0  # a latent of 2x2 pixels that is known in part is not known
    filled = [latents.fill(model, KEY, pictures, m, **options) for m in (wider, between)]
    np.testing.assert_array_equal(*filled)
    for pixels in (np.uint8(pictures * 100 + 100), np.full_like(pictures, np.nan)):
        with refused("must be finite real numbers"):
            latents.fill(model, KEY, pixels, mask, **options)
        with refused("must be finite real numbers"):
            latents.edit(model, KEY, pixels, **options)


def test_control_of_strength_0_changes_no_bit(folder, model, tmp_path):
    control = tiny.write_tiny_control(tmp_path / "control")
    controlled = jaxdiff.load(folder, control=[control, control])
    picture = np.random.default_rng(0).uniform(size=(1, 16, 16, 3)).astype(np.float32)

    def drawn(first, second):
        told = {"context": tiny.words(1), "control0": picture, "control1": picture}
        told |= {"strength0": np.float32([first]), "strength1": np.float32([second])}
        return controlled.sample(KEY, 1, steps=4, condition=told)

    plain = model.sample(KEY, 1, steps=4, condition={"context": tiny.words(1)})
    np.testing.assert_array_equal(drawn(0, 0), plain)
    np.testing.assert_allclose(drawn(1, 0.5), drawn(0.5, 1), atol=1e-5)
    assert np.abs(drawn(1, 0) - plain).max() > 0.01
    with refused("control0"):
        controlled.sample(KEY, 1, steps=4, condition={"context": tiny.words(1), "control0": picture[:, 1:]})


def test_control_within_a_folder_is_read_with_it(folder, tmp_path):
    whole = shutil.copytree(folder, tmp_path / "whole")
    control = tiny.write_tiny_control(whole / "controlnet")
    own, given = jaxdiff.load(whole), jaxdiff.load(folder, control=[control])
    assert own.conditions.keys() == given.conditions.keys()
    assert "control0" in own.conditions
    assert jax.tree.all(jax.tree.map(np.array_equal, own.params, given.params))
    assert "control0" not in jaxdiff.load(whole, control=()).conditions


def test_bfloat16_is_near(folder, model):
    half = jaxdiff.load(folder, dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(half.params)} == {jnp.dtype("bfloat16")}
    x = jax.random.normal(KEY, (2, *model.shape))
    condition = {"context": jnp.asarray(tiny.words(2))}
    exact, near = (m.bind(m.params, condition).denoiser(x, jnp.float32(0.3)) for m in (model, half))
    assert np.linalg.norm(exact - near) < 2e-2 * np.linalg.norm(exact)


def test_models_are_values(model):
    assert dataclasses.replace(model, steps=3).steps == 3
    assert "conditional" not in repr(model)
    with pytest.raises(InputError, match="by hand"):
        model.save("nowhere")
