"""Published networks have the published numbers of parameters and tensors, and each tensor has a name of its own."""

import math

import jax
import jax.numpy as jnp
import pytest

from jaxdiff.interop import names
from jaxdiff.interop.autoencoders import autoencoder_of
from jaxdiff.interop.conditional import conditional_of, control_of
from jaxdiff.interop.unet2d import unet2d_of
from jaxdiff.types import Spec, missing, path_name

pytestmark = pytest.mark.slow

DDPM = {
    "attention_head_dim": None,
    "norm_eps": 1e-6,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
}
CIFAR = DDPM | {
    "block_out_channels": [128, 256, 256, 256],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}
CELEBA = DDPM | {
    "block_out_channels": [128, 128, 256, 256, 512, 512],
    "down_block_types": [*["DownBlock2D"] * 4, "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", *["UpBlock2D"] * 4],
}
SD1 = {"cross_attention_dim": 768}
SD2 = {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}
XL = {
    "block_out_channels": [320, 640, 1280],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
}
XL_UP = {"up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]}
KL = {
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
PLAIN = {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}

# name: (of a configuration, configuration, parameters, tensors or None)
PUBLISHED = {
    "ddpm-cifar10-32": (unet2d_of, CIFAR, 35_746_307, None),
    "ddpm-celebahq-256": (unet2d_of, CELEBA, 113_673_219, None),
    "stable-diffusion-v1": (conditional_of, SD1, 859_520_964, 686),
    "stable-diffusion-2": (conditional_of, SD2, 865_910_724, 686),
    "stable-diffusion-2-depth": (conditional_of, SD2 | {"in_channels": 5}, 865_913_604, 686),
    "controlnet of version 1": (control_of, SD1, 361_279_120, 340),
    "autoencoder": (autoencoder_of, KL, 83_653_863, 248),
    "autoencoder of 16 channels": (autoencoder_of, KL | PLAIN, 83_819_683, 244),
    "tiny autoencoder": (autoencoder_of, {"_class_name": "AutoencoderTiny"}, 2_445_063, None),
    "stable-diffusion-xl": (conditional_of, XL | XL_UP, 2_567_463_684, 1680),
    "controlnet of xl": (control_of, XL, 1_251_014_160, None),
}
LONG = ("xl", "celebahq", "depth", "2")


def parameters(of, config):
    """The paths and shapes of a network's parameters, and its table."""
    if of is autoencoder_of:
        net, table = of(config)
        arguments = (jnp.zeros((1, 64, 64, 3)),)
    else:
        net = of(config)
        table = {unet2d_of: names.UNET2D, conditional_of: names.CONDITIONAL, control_of: names.CONTROL}[of]
        shape = (64, 64, 3) if of is unet2d_of else (16, 16, 4)
        told = missing(net.condition_spec(Spec(shape, "images")), 1)
        arguments = (jnp.zeros((1, *shape)), jnp.zeros(1), told)
        arguments += (jnp.zeros((1, 128, 128, 3)),) if of is control_of else ()
    like = jax.eval_shape(lambda key: net.init(key, *arguments), jax.random.key(0))["params"]
    return {path_name(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(like)}, table


def slow(name):
    return [pytest.mark.slow] if any(part in name for part in LONG) else []


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow(name)) for name in PUBLISHED])
def test_sizes(name):
    of, config, count, tensors = PUBLISHED[name]
    shapes, table = parameters(of, config)
    assert sum(map(math.prod, shapes.values())) == count
    assert len(set(map(names.by_table(table), shapes))) == len(shapes)
    assert tensors in (None, len(shapes))
