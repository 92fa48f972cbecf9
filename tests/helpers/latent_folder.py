"""A tiny folder of Stable Diffusion with random weights, written without diffusers, for the tests and the docs."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.interop.latent import Latent, write_control, write_latent
from jaxdiff.interop.schedulers import read_scheduler
from jaxdiff.nets.adapter import Adapter
from jaxdiff.nets.autoencoder import Autoencoder
from jaxdiff.nets.conditional_unet import ConditionalUNet
from jaxdiff.nets.control import Control
from jaxdiff.types import Spec, missing

SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "clip_sample": False,
}
SHAPE = (8, 8, 4)
XL = {"depths": (0, 2), "up_depths": (2, 0), "middle_depth": 2, "pooled": 10, "size_width": 8}
LEVELS = {"widths": (8, 16), "blocks": 1, "depths": (1, 0), "heads": (2, 4), "groups": 4, "context": 12}


def random(like, seed=0):
    """Random parameters: norms around 1, the rest around 0, nothing zero."""

    def made(path, leaf):
        x = np.random.default_rng([seed, *map(ord, jax.tree_util.keystr(path))]).normal(size=leaf.shape)
        fan = np.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 25
        return jnp.asarray(x / np.sqrt(fan) + path[-1].key.endswith("scale"), jnp.float32)

    return jax.tree_util.tree_map_with_path(made, like)


def shapes(net, *arguments):
    return jax.eval_shape(lambda key: net.init(key, *arguments), jax.random.key(0))["params"]


def parts(beside=(), scheduler=SCHEDULER, **other):
    """A U-Net of two levels, and an autoencoder that halves pictures of 16x16."""
    net = ConditionalUNet(**LEVELS | {"up_depths": (0, 1), "outputs": 4, "beside": beside} | other)
    told = missing(net.condition_spec(Spec(SHAPE, "images")), 1)
    params = random(shapes(net, jnp.zeros((1, *SHAPE)), jnp.zeros(1), told))
    autoencoder = Autoencoder(widths=(8, 16), blocks=1, groups=4)
    coded = random(shapes(autoencoder, jnp.zeros((1, 16, 16, 3))), 1)
    return Latent(net, params, SHAPE, read_scheduler(scheduler), autoencoder, coded)


def write(folder, beside=(), scheduler=SCHEDULER, **other):
    """Write the folder."""
    write_latent(folder, parts(beside, scheduler, **other), scheduler)
    return folder


def write_tiny_control(folder, seed=2):
    """Write a control network for it."""
    net = Control(**LEVELS, hint_widths=(4, 8))
    told = {"context": jnp.zeros((1, 7, 12))}
    like = shapes(net, jnp.zeros((1, *SHAPE)), jnp.zeros(1), told, jnp.zeros((1, 16, 16, 3)))
    write_control(folder, net, random(like, seed))
    return folder


def write_tiny_adapter(folder, seed=2, **other):
    """Write an adapter for it."""
    net = Adapter(**{"widths": (8, 16), "halved": (False, True), "blocks": 1, "patch": 2} | other)
    like = shapes(net, jnp.zeros((1, 16, 16, 3)))
    write_control(folder, net, random(like, seed))
    return folder


def words(n, seed=0):
    """Embeddings of n captions of 7 words."""
    return np.random.default_rng(seed).normal(size=(n, 7, 12)).astype(np.float32)
