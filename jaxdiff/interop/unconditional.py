"""Unconditional folders: the pipelines DDPM, DDIM and PNDM of diffusers, a U-Net and a scheduler, both ways.

    model_index.json  unet/config.json  unet/diffusion_pytorch_model.safetensors  scheduler/scheduler_config.json

In folders of the first years all files lie side by side.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.interop.names import UNET2D, by_table, old_attention, own_unet, squared
from jaxdiff.interop.schedulers import Schedule, read_scheduler
from jaxdiff.interop.settings import building, read_json, write_json
from jaxdiff.interop.unet2d import unet2d_config, unet2d_of
from jaxdiff.interop.weights import read_params, weights_file, write_params
from jaxdiff.nets.unet import UNet
from jaxdiff.nets.unet2d import UNet2D
from jaxdiff.types import Params

__all__ = ["KINDS", "Unconditional", "plain", "read_unconditional", "shapes", "write_unconditional"]

KINDS = ("DDPMPipeline", "DDIMPipeline", "PNDMPipeline")
STEPS = {"DDPMPipeline": 1000}


class Unconditional(NamedTuple):
    """A folder's parts: a network with its parameters, the shape of its images, how to sample and in how many steps."""

    net: UNet2D
    params: Params
    shape: tuple[int, int, int]
    schedule: Schedule
    steps: int


def read_unconditional(folder: Path, scheduler: Mapping[str, Any] | None = None, variant: str = "") -> Unconditional:
    """Read a folder.

    Args:
      scheduler: a configuration to use in place of the folder's own; fields that it does not name are the folder's.
      variant: of the weights' files, such as "fp16".

    Raises:
      InputError: a file that is missing or cannot be used; a field or a tensor that is not supported.
    """
    kind = read_json(folder / "model_index.json").get("_class_name")
    place = folder / "unet" if (folder / "unet").is_dir() else folder
    config = read_json(place / "config.json")
    if config.get("_class_name", "UNet2DModel") != "UNet2DModel":
        raise InputError(f"{str(place)!r} holds a {config['_class_name']}: a {kind} has a UNet2DModel")
    size = config.get("sample_size")
    if size is None:
        raise InputError(f"{str(place / 'config.json')!r} does not say sample_size, the side of its images: add it")
    with building(place / "config.json"):
        net = unet2d_of(config)
        height, width = size if isinstance(size, list) else (size, size)
        shape = (height, width, config.get("in_channels", 3))
        like = shapes(net, shape)
    params = read_params(weights_file(place, variant=variant), like, by_table(UNET2D), old_attention, dtype=jnp.float32)
    place = folder / "scheduler" if (folder / "scheduler").is_dir() else folder
    schedule = read_scheduler(read_json(place / "scheduler_config.json") | dict(scheduler or {}))
    return Unconditional(net, params, shape, schedule, STEPS.get(str(kind), 50))


def write_unconditional(
    folder: Path, net: UNet2D | UNet, params: Params, shape: tuple[int, ...], scheduler: Mapping[str, Any]
) -> None:
    """Write a folder that diffusers loads as a DDPMPipeline.

    Args:
      net: also the network of `jaxdiff.nets.unet`, if it is a plain one: without labels, conditions, patches and
        blocks that change the size.
      scheduler: the fields of a DDPMScheduler.

    Raises:
      InputError: a network that diffusers does not have, or a field that is not supported.
    """
    read_scheduler({**scheduler, "_class_name": "DDPMScheduler"})
    table = UNET2D if isinstance(net, UNet2D) else own_unet(len(net.multipliers))
    net = net if isinstance(net, UNet2D) else plain(net, shape)
    index = {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
    configs = {
        "model_index.json": index,
        "unet/config.json": unet2d_config(net, shape),
        "scheduler/scheduler_config.json": {"_class_name": "DDPMScheduler", **scheduler},
    }
    write_params(folder / "unet" / "diffusion_pytorch_model.safetensors", params, by_table(table), squared)
    for name, content in configs.items():
        write_json(folder / name, content)


def plain(net: UNet, shape: tuple[int, ...]) -> UNet2D:
    """The same network in other words, for images of a shape.

    Raises:
      InputError: it has something that the other does not.
    """
    usual = UNet()
    fields = ("num_classes", "vectors", "images", "sequences", "fourier", "patch", "outputs", "scale_shift")
    for field in (*fields, "resample_blocks"):
        if getattr(net, field) != getattr(usual, field):
            raise InputError(f"net.{field}={getattr(net, field)!r}: a UNet2DModel of diffusers is written without it")
    if net.heads > 1:
        raise InputError(f"net.heads={net.heads}: a UNet2DModel of diffusers has heads of one width: set head_channels")
    attends = [shape[0] // 2**level in net.attention for level in range(len(net.multipliers))]
    return UNet2D(
        widths=tuple(m * net.channels for m in net.multipliers),
        blocks=net.blocks,
        down=tuple(attends),
        up=tuple(reversed(attends)),
        head_channels=net.head_channels,
        groups=net.groups,
        dropout=net.dropout,
    )


def shapes(net: Any, shape: tuple[int, ...], condition: Mapping[str, Any] | None = None) -> Params:
    """The shapes of a network's parameters, for one image; a label is given to one that has classes."""
    if getattr(net, "num_classes", 0):
        condition = {**(condition or {}), "label": np.zeros(1, np.int32)}
    x = jnp.zeros((1, *shape))
    return jax.eval_shape(lambda key: net.init(key, x, jnp.zeros(1), condition), jax.random.key(0))["params"]
