"""diffusers' folders of a DiT (`DiTTransformer2DModel`), in and out.

Three things are peculiar to them: the embedder of time and class is stored once in every block, and all copies are
equal; the frequencies of time are 10000^(-i / 127), `DiT.shift` of 1; and the second norm of a block has an epsilon of
its own, 1e-5. The last class of the table is the missing one, as here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.interop.settings import building, read_json, write_json
from jaxdiff.interop.tensors import Reader, from_linear, to_linear
from jaxdiff.interop.weights import write_tensors
from jaxdiff.nets.dit import DiT
from jaxdiff.nets.transformer import listed, stacked

__all__ = ["CLASS", "STEM", "read_dit", "write_dit"]

CLASS, STEM = "DiTTransformer2DModel", "diffusion_pytorch_model"
FIXED = {
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
    "norm_type": "ada_norm_zero",
}
"""What its configuration says and this network cannot do otherwise."""
LAYERS = {
    "attn1.to_q": ("attention", "query"),
    "attn1.to_k": ("attention", "key"),
    "attn1.to_v": ("attention", "value"),
    "attn1.to_out.0": ("attention", "out"),
    "ff.net.0.proj": ("feed_forward", "up"),
    "ff.net.2": ("feed_forward", "down"),
}
"""Of a block."""
TIME = {"timestep_embedder.linear_1": "time1", "timestep_embedder.linear_2": "time2"}


def read_dit(folder: str | Path, scan: bool = False) -> tuple[DiT, dict[str, Any]]:
    """The network and the parameters of a folder; every tensor in it is used.

    Args:
      folder: with config.json and diffusion_pytorch_model.safetensors (or its parts).
      scan: whether the blocks' parameters are stacked.

    Raises:
      InputError: another kind of model, or a tensor too few or too many.
    """
    folder = Path(folder)
    net, read = _net(folder, read_json(folder / "config.json"), scan), Reader(folder, STEM)
    params: dict[str, Any] = {name: read.linear(_embedder(0, theirs)) for theirs, name in TIME.items()}
    params["classes"] = {"embedding": read(_embedder(0, "class_embedder.embedding_table.weight"))}
    patches = read("pos_embed.proj.weight").transpose(0, 2, 3, 1)  # (out, in, row, column) -> (out, row, column, in)
    params["patches"] = from_linear(patches.reshape(len(patches), -1), read("pos_embed.proj.bias"))
    params["modulation"], params["out"] = read.linear("proj_out_1"), read.linear("proj_out_2")
    for i in range(net.depth):
        block: dict[str, Any] = {"modulation": read.linear(f"transformer_blocks.{i}.norm1.linear")}
        for theirs, (part, layer) in LAYERS.items():
            block.setdefault(part, {})[layer] = read.linear(f"transformer_blocks.{i}.{theirs}")
        params[f"block{i}"] = block
        _check_copy(read, i)
    read.finish()
    return net, stacked(params) if scan else params


def write_dit(folder: str | Path, net: DiT, params: Mapping[str, Any], size: int, channels: int) -> Path:
    """Write a folder that diffusers loads.

    Args:
      size: side of the images, in pixels (of latents).
      channels: of the images.

    Raises:
      InputError: a network that is none of diffusers'.
    """
    net_options = {
        "num_attention_heads": net.heads,
        "attention_head_dim": net.width // net.heads,
        "in_channels": channels,
        "out_channels": net.outputs * channels,
        "num_layers": net.depth,
        "dropout": net.dropout,
        "sample_size": size,
        "patch_size": net.patch,
        "num_embeds_ada_norm": net.num_classes,
        "norm_eps": net.epsilons[1],
        "norm_num_groups": 32,
        "upcast_attention": False,
    }
    plain = DiT(**_options({**net_options, **FIXED}), scan=net.scan, remat=net.remat, dtype=net.dtype)
    alike = net.clone(base=plain.base, parent=None)
    if alike != plain or net.base not in (0, plain.base) or not net.num_classes:
        ours = next((k for k in DiT.__dataclass_fields__ if getattr(alike, k, 0) != getattr(plain, k, 0)), "base")
        raise InputError(
            f"net.{ours}={getattr(net, ours)}: diffusers' {CLASS} has {getattr(plain, ours)}: train with that, and "
            "with net.shift=1 and classes, to write such a folder"
        )
    params = listed(params) if net.scan else params
    tensors = to_linear("proj_out_1", params["modulation"]) | to_linear("proj_out_2", params["out"])
    kernel = np.asarray(params["patches"]["kernel"]).T.reshape(net.width, net.patch, net.patch, channels)
    tensors["pos_embed.proj.weight"] = np.ascontiguousarray(kernel.transpose(0, 3, 1, 2))
    tensors["pos_embed.proj.bias"] = np.asarray(params["patches"]["bias"])
    for i in range(net.depth):
        block = params[f"block{i}"]
        tensors |= to_linear(f"transformer_blocks.{i}.norm1.linear", block["modulation"])
        for theirs, (part, layer) in LAYERS.items():
            tensors |= to_linear(f"transformer_blocks.{i}.{theirs}", block[part][layer])
        for theirs, name in TIME.items():
            tensors |= to_linear(_embedder(i, theirs), params[name])
        tensors[_embedder(i, "class_embedder.embedding_table.weight")] = np.asarray(params["classes"]["embedding"])
    config = {"_class_name": CLASS, "_diffusers_version": "0.42.1", **net_options, **FIXED}
    folder = Path(folder)
    write_tensors(folder / f"{STEM}.safetensors", tensors)
    write_json(folder / "config.json", config)
    return folder


def _embedder(block: int, name: str) -> str:
    return f"transformer_blocks.{block}.norm1.emb.{name}"


def _check_copy(read: Reader, block: int) -> None:
    """Refuse embedders that differ from the first block's, which is the one that is kept."""
    layers = [f"{theirs}.{kind}" for theirs in TIME for kind in ("weight", "bias")]
    for name in (*layers, "class_embedder.embedding_table.weight"):
        if not np.array_equal(read(_embedder(0, name)), read(_embedder(block, name))):
            raise InputError(
                f"{str(read.folder)!r}: {_embedder(block, name)!r} differs from that of block 0: this network has one "
                "embedder for all blocks"
            )


def _net(folder: Path, config: Mapping[str, Any], scan: bool) -> DiT:
    if config.get("_class_name") != CLASS:
        raise InputError(f"{str(folder)!r} holds a {config.get('_class_name')}, not a {CLASS}")
    for name, value in FIXED.items():
        if config.get(name, value) != value:
            raise InputError(f"{str(folder)!r}: {name}={config[name]!r}: only {value!r} can be read")
    with building(folder / "config.json"):
        return DiT(**_options(config), scan=scan)


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `DiT` by diffusers' configuration."""
    heads, patch = config["num_attention_heads"], config["patch_size"]
    return {
        "depth": config["num_layers"],
        "width": heads * config["attention_head_dim"],
        "heads": heads,
        "patch": patch,
        "num_classes": config["num_embeds_ada_norm"],
        "base": config["sample_size"] // patch,
        "shift": 1,
        "epsilons": (1e-6, config.get("norm_eps", 1e-5)),
        "dropout": config.get("dropout", 0.0),
        "outputs": (config.get("out_channels") or config["in_channels"]) // config["in_channels"],
    }
