"""Latent folders: Stable Diffusion 1, 2 and XL as diffusers saves them, and the networks that control it.

    model_index.json  unet/  vae/  scheduler/scheduler_config.json  text_encoder/  tokenizer/  [text_encoder_2/ ...]

The text encoders are read by themselves; a safety checker, an image encoder and a feature extractor are left where they
are. A control network or an adapter is a folder of its own, with a config.json, whose class decides which it is, and
its weights; of a pipeline with control it is the folder controlnet/ or adapter/ (of several also controlnet_1/ ...).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError, unknown
from jaxdiff.interop.adapters import adapter_config, adapter_of
from jaxdiff.interop.autoencoders import autoencoder_of, kl_config
from jaxdiff.interop.conditional import conditional_config, conditional_of, control_config, control_of
from jaxdiff.interop.names import ADAPTER, AUTOENCODER, CONDITIONAL, CONTROL, Table, by_table, old_attention, squared
from jaxdiff.interop.schedulers import Schedule, read_scheduler
from jaxdiff.interop.settings import building, read_json, write_json
from jaxdiff.interop.weights import read_params, weights_file, write_params
from jaxdiff.nets.adapter import Adapter
from jaxdiff.nets.autoencoder import Autoencoder
from jaxdiff.nets.conditional_unet import ConditionalUNet
from jaxdiff.nets.control import Control, Controlled
from jaxdiff.nets.tiny_autoencoder import TinyAutoencoder
from jaxdiff.types import Params, Spec, missing

__all__ = ["KINDS", "Latent", "read_autoencoder", "read_control", "read_latent", "write_control", "write_latent"]

KINDS = (
    "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionDepth2ImgPipeline",
    "StableDiffusionInstructPix2PixPipeline",
    "StableDiffusionControlNetPipeline",
    "StableDiffusionAdapterPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline",
    "StableDiffusionXLControlNetPipeline",
    "StableDiffusionXLAdapterPipeline",
)
CONTROLS: dict[str, tuple[Callable[[Mapping[str, Any]], Control | Adapter], Table]] = {
    "ControlNetModel": (control_of, CONTROL),
    "T2IAdapter": (adapter_of, ADAPTER),
}
PARTS = ("controlnet", "adapter")
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Latent(NamedTuple):
    """A folder's parts: the diffusion network on latents of `shape`, the autoencoder around it, and how to sample."""

    net: ConditionalUNet | Controlled
    params: Params
    shape: tuple[int, int, int]
    schedule: Schedule
    autoencoder: Autoencoder | TinyAutoencoder
    autoencoder_params: Params


def read_latent(
    folder: Path,
    scheduler: Mapping[str, Any] | None = None,
    variant: str = "",
    size: tuple[int, int] | None = None,
    control: Sequence[str | Path] | None = None,
    dtype: str = "float32",
) -> Latent:
    """Read a folder.

    Args:
      scheduler: fields of a scheduler's configuration that take the place of the folder's own.
      variant: of the weights' files, such as "fp16".
      size: height and width of the pictures; by default those that the U-Net was trained on.
      control: folders of control networks and adapters; by default those within the folder.
      dtype: of the U-Net and of what controls it, "float32" or "bfloat16"; the autoencoder is in float32.

    Raises:
      InputError: a file that is missing or cannot be used; a field or a tensor that is not supported; a size that the
        networks cannot halve.
    """
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    config = read_json(folder / "unet" / "config.json")
    autoencoder, autoencoder_params = read_autoencoder(folder / "vae", variant)
    with building(folder / "unet" / "config.json"):
        net = conditional_of(config).clone(dtype=DTYPES[dtype])
        shape = (*sides(size, config.get("sample_size"), autoencoder.factor), net.outputs)
    if autoencoder.latents != net.outputs:
        raise InputError(f"{str(folder)!r}: a vae of {autoencoder.latents} channels and a unet of {net.outputs}")
    params = _read(folder / "unet", net, shape, CONDITIONAL, variant, DTYPES[dtype])
    if control is None:
        own = (sorted(folder.glob(f"{part}*"), key=lambda one: (len(one.name), one.name)) for part in PARTS)
        control = [one for found in own for one in found if one.is_dir()]
    net, params = controlled(net, params, control, shape, variant, dtype)
    place = folder / "scheduler" / "scheduler_config.json"
    schedule = read_scheduler(read_json(place) | dict(scheduler or {}))
    return Latent(net, params, shape, schedule, autoencoder, autoencoder_params)


def controlled(
    net: ConditionalUNet,
    params: Params,
    control: Sequence[str | Path],
    shape: tuple[int, int, int],
    variant: str,
    dtype: str,
) -> tuple[ConditionalUNet | Controlled, Params]:
    """A U-Net with the control networks and adapters of these folders; as it is without any."""
    if not control:
        return net, params
    read = [read_control(Path(one), shape, variant, dtype) for one in control]
    params = {"unet": params, **{f"controls_{i}": values for i, (_, values) in enumerate(read)}}
    return Controlled(net, tuple(one for one, _ in read)), params


def read_autoencoder(folder: Path, variant: str = "") -> tuple[Autoencoder | TinyAutoencoder, Params]:
    """An autoencoder and its parameters, in float32."""
    config = read_json(folder / "config.json")
    with building(folder / "config.json"):
        net, table = autoencoder_of(config)
        x = jnp.zeros((1, net.factor, net.factor, net.channels))
        like = jax.eval_shape(net.init, jax.random.key(0), x)["params"]
    file = weights_file(folder, variant=variant)
    return net, read_params(file, like, by_table(table), old_attention, dtype=jnp.float32)


def read_control(
    folder: Path, shape: tuple[int, int, int], variant: str = "", dtype: str = "float32"
) -> tuple[Control | Adapter, Params]:
    """A control network or an adapter and its parameters, for latents of a shape."""
    config = read_json(folder / "config.json")
    name = config.get("_class_name", "ControlNetModel")
    if name not in CONTROLS:
        raise InputError(f"{str(folder)!r} holds a {name}: what controls a model is a {' or a '.join(CONTROLS)}")
    make, table = CONTROLS[name]
    with building(folder / "config.json"):
        net = make(config).clone(dtype=DTYPES[dtype])
    return net, _read(folder, net, shape, table, variant, DTYPES[dtype])


def write_latent(folder: Path, parts: Latent, scheduler: Mapping[str, Any]) -> None:
    """Write a folder of a U-Net, an autoencoder and a scheduler, which diffusers loads part by part.

    Args:
      scheduler: a scheduler's configuration, with "_class_name".

    Raises:
      InputError: networks or a scheduler that diffusers does not have.
    """
    read_scheduler(scheduler)
    net, autoencoder = parts.net, parts.autoencoder
    if not isinstance(net, ConditionalUNet) or not isinstance(autoencoder, Autoencoder):
        raise InputError("a latent folder is written of a ConditionalUNet and an Autoencoder, and control apart")
    write_part(folder / "unet", conditional_config(net, parts.shape), parts.params, CONDITIONAL)
    write_part(folder / "vae", kl_config(autoencoder), parts.autoencoder_params, AUTOENCODER)
    name = scheduler["_class_name"]
    index = {"_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", name]}
    index |= {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    write_json(folder / "model_index.json", index)


def write_control(folder: Path, net: Control | Adapter, params: Params) -> None:
    """Write a folder that diffusers loads as a ControlNetModel or a T2IAdapter."""
    if isinstance(net, Adapter):
        write_part(folder, adapter_config(net), params, ADAPTER)
    else:
        write_part(folder, control_config(net), params, CONTROL)


def write_part(folder: Path, config: Mapping[str, Any], params: Params, table: Table) -> None:
    """Write a network's configuration and weights."""
    write_json(folder / "config.json", config)
    write_params(folder / "diffusion_pytorch_model.safetensors", params, by_table(table), squared)


def _read(
    folder: Path,
    net: ConditionalUNet | Control | Adapter,
    shape: tuple[int, int, int],
    table: Table,
    variant: str,
    dtype: Any,
) -> Params:
    """The parameters of a network that is told of latents of a shape."""
    if isinstance(net, Adapter):
        side = net.patch * 2 ** sum(net.halved)
        start = lambda key: net.init(key, jnp.zeros((1, side, side, net.picture)))
    else:
        given = missing(net.condition_spec(Spec(shape, "images")), 1)
        further = ()
        if isinstance(net, Control):
            further = (jnp.zeros((1, net.factor * shape[0], net.factor * shape[1], net.picture)),)
        start = lambda key: net.init(key, jnp.zeros((1, *shape)), jnp.zeros(1), given, *further)
    with building(folder / "config.json"):
        like = jax.eval_shape(start, jax.random.key(0))["params"]
    return read_params(weights_file(folder, variant=variant), like, by_table(table), dtype=dtype)


def sides(size: tuple[int, int] | None, sample_size: Any, factor: int) -> tuple[int, int]:
    """Height and width of the latents, of pictures of a size or else of a configuration's `sample_size`."""
    if size is None:
        if sample_size is None:
            raise InputError("this model does not say how large its pictures are: give size=(height, width)")
        return (sample_size, sample_size) if isinstance(sample_size, int) else tuple(sample_size)
    height, width = size
    if height % factor or width % factor:
        raise InputError(f"size={size}: height and width must be multiples of {factor}")
    return int(np.int64(height) // factor), int(np.int64(width) // factor)
