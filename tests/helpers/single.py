"""Tiny single files of Stable Diffusion 1, 2 and XL, with random weights, written from the tables of names."""

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from jaxdiff.interop import ldm
from jaxdiff.interop.names import projections
from jaxdiff.interop.weights import named
from jaxdiff.nets.autoencoder import Autoencoder
from jaxdiff.nets.conditional_unet import ConditionalUNet
from jaxdiff.types import Spec, missing
from tests.helpers import latent_folder as tiny

AUTOENCODER = Autoencoder(widths=(32, 64), blocks=1)
COMMON = {"blocks": 1, "context": 12, "outputs": 4, "size_width": 256}
UNETS = {
    "1": ConditionalUNet(**COMMON, widths=(32, 64), depths=(1, 0), up_depths=(0, 1), heads=(8, 8)),
    "2": ConditionalUNet(**COMMON, widths=(64, 128), depths=(1, 0), up_depths=(0, 1), heads=(1, 2)),
    "XL": ConditionalUNet(
        **COMMON | {"blocks": 2},
        widths=(64, 128),
        depths=(0, 2),
        up_depths=(2, 0),
        middle_depth=2,
        heads=(1, 2),
        pooled=10,
    ),
}
"""With the heads that each family has."""


def squared(path):
    """1x1 convolutions: in the autoencoder also those around its attention."""
    return path.split("/")[-2] in ("shortcut", "quant", "post_quant", "query", "key", "value", "out")


def unet_params(net):
    told = missing(net.condition_spec(Spec(tiny.SHAPE, "images")), 1)
    return tiny.random(tiny.shapes(net, jnp.zeros((1, *tiny.SHAPE)), jnp.zeros(1), told))


def tensors(family, average=False):
    """All tensors of a file by name, and the parameters of the U-Net and the autoencoder."""
    net = UNETS[family]
    params, coded = unet_params(net), tiny.random(tiny.shapes(AUTOENCODER, jnp.zeros((1, 16, 16, 3))), 1)
    one = projections if family == "1" else lambda path: path.split("/")[-2] == "shortcut"
    found = {ldm.UNET + name: t for name, t in named(params, ldm.of_unet(net), one).items()}
    found |= {ldm.AUTOENCODER + name: t for name, t in named(coded, ldm.of_autoencoder(AUTOENCODER), squared).items()}
    if average:
        mean = jax.tree.map(lambda p: 0.5 * p, params)
        found |= {ldm.AVERAGE + name: t for name, t in named(mean, ldm.averaged(ldm.of_unet(net)), one).items()}
        found["model_ema.decay"] = np.float32([0.9999])
    return found, params, coded


def write(file, family, more=None, average=False):
    """Write a file, with more tensors."""
    found, params, coded = tensors(family, average)
    save_file({name: np.ascontiguousarray(t) for name, t in (found | (more or {})).items()}, file)
    return params, coded


def open_clip(rng, depth, width=64, hidden=80, vocabulary=99, projected=True):
    """The tensors of OpenCLIP's text transformer, by its own names."""
    make = lambda *shape: rng.normal(size=shape).astype(np.float32)
    found = {"token_embedding.weight": make(vocabulary, width), "positional_embedding": make(9, width)}
    found |= {"ln_final.weight": make(width), "ln_final.bias": make(width), "logit_scale": np.full(1, 4.6, np.float32)}
    found |= {"text_projection": make(width, 24)} if projected else {}
    for i in range(depth):
        sizes = {"attn.in_proj_": (3 * width, width), "attn.out_proj.": (width, width)}
        sizes |= {"mlp.c_fc.": (hidden, width), "mlp.c_proj.": (width, hidden), "ln_1.": (width,), "ln_2.": (width,)}
        for name, shape in sizes.items():
            found[f"transformer.resblocks.{i}.{name}weight"] = 0.2 * make(*shape)
            found[f"transformer.resblocks.{i}.{name}bias"] = 0.2 * make(shape[0])
    return found
