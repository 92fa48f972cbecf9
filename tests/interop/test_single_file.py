"""Single files of Stable Diffusion 1, 2 and XL: every tensor in its place, all else refused by name."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

import jaxdiff
from jaxdiff.interop import ldm
from jaxdiff.interop.autoencoders import autoencoder_of as autoencoder_of_config
from jaxdiff.interop.clip import read_clip, read_clip_part, read_open_clip
from jaxdiff.interop.conditional import conditional_of
from jaxdiff.interop.names import AUTOENCODER, CONDITIONAL, by_table
from jaxdiff.interop.single_file import read_single
from jaxdiff.interop.weights import read_params
from jaxdiff.pipelines.words import read_words
from tests.helpers import single
from tests.helpers.cases import refused
from tests.interop.test_clip import clip_files  # noqa: F401

EPS = {"prediction_type": "epsilon"}


def equal(a, b):
    return jax.tree.all(jax.tree.map(np.array_equal, a, b))


@pytest.mark.parametrize("family", single.UNETS)
def test_what_is_written_is_read(family, tmp_path):
    """The configuration follows from the tensors, and the rest from the family."""
    file = tmp_path / "model.safetensors"
    params, coded = single.write(file, family)
    read = read_single(file, scheduler=EPS, size=(16, 32))
    assert read.net == single.UNETS[family].clone(context=12)
    assert read.autoencoder == single.AUTOENCODER.clone(scale=0.13025 if family == "XL" else 0.18215)
    assert read.shape == (8, 16, 4)
    assert equal(read.params, params)
    assert equal(read.autoencoder_params, coded)
    assert read.schedule.sampler["name"] == {"1": "plms", "2": "ddim", "XL": "ddim"}[family]


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", single.UNETS)
def test_diffusers_makes_the_same_networks_of_it(family, tmp_path):
    """Its own converters, and then our tables for its names: not a bit differs, and no tensor is left over."""
    import torch
    from diffusers.loaders import single_file_utils as theirs

    params, coded = single.write(tmp_path / "model.safetensors", family)
    tensors, _, _ = single.tensors(family)
    stored = {name: torch.tensor(np.array(value)) for name, value in tensors.items()}
    net, levels = single.UNETS[family], {"down_block_types": [0, 0], "up_block_types": [0, 0]}
    added = {"addition_embed_type": "text_time"} if family == "XL" else {}
    unet = theirs.convert_ldm_unet_checkpoint(dict(stored), {"layers_per_block": net.blocks, **added})
    coder = theirs.convert_ldm_vae_checkpoint(dict(stored), levels)
    for found, like, table in ((unet, params, CONDITIONAL), (coder, coded, AUTOENCODER)):
        file = tmp_path / "converted.safetensors"
        save_file({name: np.ascontiguousarray(t.numpy()) for name, t in found.items()}, file)
        assert equal(read_params(file, like, by_table(table)), like)


def test_the_average_is_asked_for(tmp_path):
    file = tmp_path / "model.safetensors"
    params, _ = single.write(file, "1", average=True)
    assert equal(read_single(file).params, params)
    assert equal(read_single(file, "ema").params, jax.tree.map(lambda p: 0.5 * p, params))
    with refused("weights='params'"):
        jaxdiff.load(file, "params")
    single.write(file, "1")
    with refused("has no 'model_ema.diffusion_model"):
        read_single(file, "ema")


def test_what_is_no_weight(tmp_path):
    """What training left, and a scale of the latents, are known; a schedule of another kind is refused."""
    file = tmp_path / "model.safetensors"
    usual = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).astype(np.float16)
    left = {"alphas_cumprod": usual, "sqrt_alphas_cumprod": usual, "first_stage_model.loss.logvar": np.zeros(1, "f")}
    single.write(file, "1", left | {"scale_factor": np.float32(0.2)})
    assert read_single(file).autoencoder.scale == pytest.approx(0.2)
    single.write(file, "1", left | {"alphas_cumprod": usual * np.linspace(1, 0, 1000, dtype="f")})
    with refused("alphas_cumprod are not those of Stable Diffusion"):
        read_single(file)
    read_single(file, scheduler={"beta_schedule": "linear"})


def without(name):
    return lambda tensors: {n: t for n, t in tensors.items() if n != ldm.UNET + name}


def other(name):
    return lambda tensors: {**tensors, name: np.zeros(3, np.float32)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("time_embed.2.bias"), "has no 'model.diffusion_model.time_embed.2.bias'"),
        (without("input_blocks.0.0.weight"), "no checkpoint of Stable Diffusion 1, 2 or XL"),
        (other("model.diffusion_model.input_blocks.9.weight"), "no place for, such as 'model.diffusion_model.input"),
        (other("first_stage_model.more"), "no place for, such as 'first_stage_model.more'"),
        (other("edm_mean"), "1 tensors of no known part, such as 'edm_mean'"),
        (other("conditioner.embedders.0.model.text_projection"), "XL's refiner"),
        (lambda t: {n: v for n, v in t.items() if n.startswith(ldm.UNET)}, "has no autoencoder"),
        (lambda t: {"lora_unet_down.alpha": np.ones(1, "f")}, "such as a LoRA"),
    ],
)
def test_what_does_not_fit_is_named(change, said, tmp_path):
    save_file(change(single.tensors("1")[0]), tmp_path / "model.safetensors")
    with refused(said):
        jaxdiff.load(tmp_path / "model.safetensors")


def test_what_cannot_be_known_is_asked_for(tmp_path):
    single.write(tmp_path / "model.safetensors", "2")
    with refused("give scheduler={'prediction_type': 'v_prediction'}"):
        jaxdiff.load(tmp_path / "model.safetensors")
    with refused("'variant'"):
        jaxdiff.load(tmp_path / "model.safetensors", variant="fp16")
    for kind in ("ckpt", "pt", "bin"):
        (tmp_path / f"model.{kind}").write_bytes(b"\x80")
        with refused("programs, which are not run"):
            jaxdiff.load(tmp_path / f"model.{kind}")


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("last", [False, True])
def test_open_clip_by_diffusers_converter(last, tmp_path):
    """Of Stable Diffusion 2 the last of 24 blocks is left out; XL has all, and a projection."""
    import torch
    import transformers
    from diffusers.loaders import single_file_utils as theirs

    prefix, depth = (ldm.OPEN_CLIP_XL, 3) if last else (ldm.OPEN_CLIP, 24)
    found = {prefix + n: t for n, t in single.open_clip(np.random.default_rng(0), depth, 64).items()}
    save_file(found, tmp_path / "model.safetensors")
    net, params = read_open_clip(tmp_path / "model.safetensors", prefix, last)
    config = transformers.CLIPTextConfig(
        vocab_size=99,
        hidden_size=64,
        intermediate_size=80,
        num_hidden_layers=net.depth,
        num_attention_heads=1,
        max_position_embeddings=9,
        hidden_act="gelu",
        eos_token_id=98,
        bos_token_id=97,
        projection_dim=24,
    )
    assert (net.depth, net.heads, net.activation) == (3 if last else 23, 1, "gelu")
    text = transformers.CLIPTextModelWithProjection(config)
    stored = {n: torch.tensor(np.array(t)) for n, t in found.items()}
    converted = theirs.convert_open_clip_checkpoint(text, stored, prefix=prefix)
    (tmp_path / "there").mkdir()
    save_file({n: np.ascontiguousarray(t.numpy()) for n, t in converted.items()}, tmp_path / "there/model.safetensors")
    (tmp_path / "there/config.json").write_text(json.dumps(config.to_dict()))
    same, expected = read_clip(tmp_path / "there", projected=last)
    assert same.clone(pad=0) == net
    assert equal(params, expected)


def words_of(family, size, seed=0):
    """Text encoders as they are in a file."""
    rng = np.random.default_rng(seed)
    make = lambda *shape: (0.2 * rng.normal(size=shape)).astype(np.float32)
    openai = {"embeddings.token_embedding.weight": make(size, 64), "embeddings.position_embedding.weight": make(9, 64)}
    openai |= {f"final_layer_norm.{end}": make(64) for end in ("weight", "bias")}
    linear = {"self_attn.q_proj": (64, 64), "self_attn.k_proj": (64, 64), "self_attn.v_proj": (64, 64)}
    linear |= {"self_attn.out_proj": (64, 64), "mlp.fc1": (80, 64), "mlp.fc2": (64, 80)}
    linear |= {"layer_norm1": (64,), "layer_norm2": (64,)}
    for i in range(2):
        for name, shape in linear.items():
            openai[f"encoder.layers.{i}.{name}.weight"] = make(*shape)
            openai[f"encoder.layers.{i}.{name}.bias"] = make(shape[0])
    first = {f"text_model.{name}": t for name, t in openai.items()} | {
        "text_model.embeddings.position_ids": np.arange(9)
    }
    named = lambda prefix, found: {prefix + name: t for name, t in found.items()}
    other = single.open_clip(rng, 2, vocabulary=size)
    if family == "1":
        return named(ldm.CLIP, first)
    return named(ldm.OPEN_CLIP, other) if family == "2" else named(ldm.CLIP_XL, first) | named(ldm.OPEN_CLIP_XL, other)


def test_words_of_a_file(clip_files, tmp_path):  # noqa: F811
    """By the tokenizer that is named or lies beside; XL's are of two encoders before their last blocks."""
    size = len(json.loads((clip_files / "vocab.json").read_text()))
    for family in ("1", "XL"):
        save_file(words_of(family, size), tmp_path / f"{family}.safetensors")
    with refused("holds no tokenizer"):
        read_words(tmp_path / "1.safetensors")
    shapes = {
        family: {
            name: value.shape
            for name, value in jax.eval_shape(
                lambda family=family: read_words(tmp_path / f"{family}.safetensors", clip_files)(["a cat", None])
            ).items()
        }
        for family in ("1", "XL")
    }
    assert shapes == {"1": {"context": (2, 9, 64)}, "XL": {"context": (2, 9, 128), "pooled": (2, 24)}}
    assert read_clip_part(tmp_path / "1.safetensors", ldm.CLIP)[0].activation == "quick_gelu"
    (tmp_path / "tokenizer").symlink_to(clip_files)
    with refused("skip=2"):
        read_words(tmp_path / "1.safetensors", skip=2)


def test_configurations_agree_with_those_of_folders():
    """Of Stable Diffusion 1: what the tensors tell is what its folder says."""
    from jaxdiff.interop.single_file import autoencoder_of, unet_of

    folder = {"cross_attention_dim": 12, "block_out_channels": [32, 64], "layers_per_block": 1}
    folder |= {"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "attention_head_dim": 8}
    folder |= {"up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}
    shapes = {name: value.shape for name, value in single.tensors("1")[0].items()}
    cut = lambda prefix: {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}
    assert unet_of("file", cut(ldm.UNET))[1] == conditional_of(folder)
    coder = {"block_out_channels": [32, 64], "down_block_types": ["DownEncoderBlock2D"] * 2}
    coder |= {"up_block_types": ["UpDecoderBlock2D"] * 2}
    assert autoencoder_of("file", cut(ldm.AUTOENCODER)) == autoencoder_of_config(coder)[0]
