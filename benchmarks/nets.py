"""The networks that the benchmarks run, in jaxdiff, in Flax as one usually writes it, and in diffusers.

All three have the same parameters: cifar10 is the network of the DDPM paper (35,746,307 of them), small the same at 64
channels (8.95M), digits the one of configs/ddpm.py (0.7M).
"""

import contextlib
from collections.abc import Iterator
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdiff import nets
from jaxdiff.config import build
from jaxdiff.nets import attention, layers, unet
from jaxdiff.types import Network

PAPER = {"channels": 128, "multipliers": (1, 2, 2, 2), "blocks": 2, "attention": (16,), "dropout": 0.0}
NETS = {
    "cifar10": ((32, 32, 3), PAPER),
    "small": ((32, 32, 3), {**PAPER, "channels": 64}),
    "digits": ((8, 8, 1), {"channels": 32, "multipliers": (1, 2), "blocks": 1, "attention": (4,), "dropout": 0.0}),
}


def ours(name: str, **changes) -> tuple[tuple[int, ...], nets.UNet, Network]:
    """`(shape, module, network)` of jaxdiff."""
    shape, fields = NETS[name]
    module = nets.UNet(**{**fields, **changes})
    return shape, module, build.linen_network(module)


def theirs(name: str):
    """diffusers' network with as many parameters."""
    from diffusers import UNet2DModel

    (size, _, channels), net = NETS[name]
    attends = [size // 2**level in net["attention"] for level in range(len(net["multipliers"]))]
    return UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(net["channels"] * m for m in net["multipliers"]),
        layers_per_block=net["blocks"],
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        attention_head_dim=None,
        norm_eps=1e-6,
    )


def forward_flops(name: str) -> float:
    """Of one image through jaxdiff's network, as XLA counts them."""
    shape, module, _ = ours(name)
    x, t = jax.ShapeDtypeStruct((1, *shape), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.float32)
    params = jax.eval_shape(module.init, jax.random.key(0), x, t)
    return jax.jit(module.apply).lower(params, x, t).compile().cost_analysis()["flops"]


class UsualNorm(nn.Module):
    """Flax's GroupNorm, and SiLU after it."""

    groups: int = 32
    dtype: jnp.dtype = jnp.float32
    silu: bool = False
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x):
        h = nn.GroupNorm(self.groups, epsilon=self.epsilon, dtype=self.dtype, name="norm")(x)
        return nn.silu(h) if self.silu else h


class UsualUpsample(nn.Module):
    """Enlarge, then convolve."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x):
        batch, height, width, channels = x.shape
        h = jax.image.resize(x, (batch, 2 * height, 2 * width, channels), "nearest")
        return nn.Conv(channels, (3, 3), dtype=self.dtype, name="conv")(h)


@contextlib.contextmanager
def usual_layers() -> Iterator[None]:
    """Within, `jaxdiff.nets.UNet` is made of the layers that a Flax user would take."""
    with (
        mock.patch.object(unet, "GroupNorm", UsualNorm),
        mock.patch.object(layers, "GroupNorm", UsualNorm),
        mock.patch.object(unet, "Upsample", UsualUpsample),
        mock.patch.object(attention, "GroupNorm", UsualNorm),
        mock.patch.object(attention, "attend", jax.nn.dot_product_attention),
    ):
        yield
