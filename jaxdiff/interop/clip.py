"""CLIP's text transformers as `jaxdiff.nets.text.TextTransformer`, from folders of transformers (`CLIPTextModel`) and
from single files, which hold OpenCLIP's by its own names, too.

Files name the tensors with or without `text_model.` in front; some hold the positions' numbers, too. Of a folder of a
whole CLIP the text half is read, and the projections to the space that it shares with images are not, unless they are
asked for.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.interop.settings import read_json
from jaxdiff.interop.tensors import Reader, from_linear
from jaxdiff.nets.text import TextTransformer

__all__ = ["STEM", "read_clip", "read_clip_part", "read_open_clip"]

STEM = "model"
LAYERS = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "out"}
ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
NO_WEIGHTS = ("position_ids", "logit_scale", "text_projection.weight", "visual_projection.weight")
OLD_END = 2
"""The `eos_token_id` of the files that take the vector for the whole caption at the largest id."""
HEAD = 64
"""The width of a head in every CLIP that is in use, which tensors do not tell."""
LEFT_OUT = "transformer.resblocks.23."
"""Stable Diffusion 2 stops before the last of OpenCLIP-H's 24 blocks, which its files hold all the same."""


def read_clip(folder: str | Path, projected: bool = False) -> tuple[TextTransformer, dict[str, Any]]:
    """The text transformer of a folder, and its parameters.

    Args:
      folder: with config.json and model.safetensors (or its parts).
      projected: whether the vector for the whole is brought to the space shared with images, by `text_projection`.

    Raises:
      InputError: another kind of model, or a tensor too few or too many.
    """
    folder = Path(folder)
    net, read = _net(folder), Reader(folder, STEM)
    params = _blocks(net, read)
    if projected:
        params["project"] = read.linear("text_projection", bias=False)
        net = net.clone(projection=params["project"]["kernel"].shape[1])
    read.asked |= {name for name in read.tensors if name.startswith("vision_model.")}
    read.finish(NO_WEIGHTS)
    return net, params


def read_clip_part(file: Path, prefix: str) -> tuple[TextTransformer, dict[str, Any]]:
    """OpenAI's CLIP of a single file, by transformers' names after a prefix; its sizes are those of the tensors.

    Raises:
      InputError: a tensor too few or too many.
    """
    read = Reader(file, prefix=prefix)
    before = _before(read)
    hidden, _ = read(f"{before}encoder.layers.0.mlp.fc1.weight").shape
    net = _sized(
        read(f"{before}embeddings.token_embedding.weight"),
        read(f"{before}embeddings.position_embedding.weight"),
        _count(read, f"{before}encoder.layers."),
        hidden,
        "quick_gelu",
    )
    params = _blocks(net, read)
    read.finish(NO_WEIGHTS)
    return net, params


def read_open_clip(file: Path, prefix: str, last: bool = True) -> tuple[TextTransformer, dict[str, Any]]:
    """OpenCLIP's of a single file, by its own names after a prefix; its sizes are those of the tensors.

    Query, key and value lie in one tensor there.

    Args:
      last: whether there is a last block and a projection, as in XL; Stable Diffusion 2 leaves them out.

    Raises:
      InputError: a tensor too few or too many.
    """
    read = Reader(file, prefix=prefix)
    if not last:
        read.tensors = {n: t for n, t in read.tensors.items() if not n.startswith((LEFT_OUT, "text_projection"))}
    hidden, _ = read("transformer.resblocks.0.mlp.c_fc.weight").shape
    tokens, positions = read("token_embedding.weight"), read("positional_embedding")
    net = _sized(tokens, positions, _count(read, "transformer.resblocks."), hidden, "gelu").clone(pad=0)
    params: dict[str, Any] = {
        "tokens": {"embedding": tokens},
        "positions": positions,
        "norm_out": read.norm("ln_final"),
    }
    for i in range(net.depth):
        there = f"transformer.resblocks.{i}"
        params |= {f"block{i}_norm{n}": read.norm(f"{there}.ln_{n}") for n in (1, 2)}
        weights = np.split(read(f"{there}.attn.in_proj_weight"), 3)
        biases = np.split(read(f"{there}.attn.in_proj_bias"), 3)
        names = ("query", "key", "value")
        attention = {name: from_linear(w, b) for name, w, b in zip(names, weights, biases, strict=True)}
        params[f"block{i}_attention"] = attention | {"out": read.linear(f"{there}.attn.out_proj")}
        forward = {"up": read.linear(f"{there}.mlp.c_fc"), "down": read.linear(f"{there}.mlp.c_proj")}
        params[f"block{i}_feed_forward"] = forward
    if last:
        params["project"] = {"kernel": read("text_projection")}
        net = net.clone(projection=params["project"]["kernel"].shape[1])
    read.finish(("logit_scale", "attn_mask"))
    return net, params


def _blocks(net: TextTransformer, read: Reader) -> dict[str, Any]:
    """The parameters of a transformer, by transformers' names."""
    before = _before(read)
    params: dict[str, Any] = {
        "tokens": {"embedding": read(f"{before}embeddings.token_embedding.weight")},
        "positions": read(f"{before}embeddings.position_embedding.weight"),
        "norm_out": read.norm(f"{before}final_layer_norm"),
    }
    for i in range(net.depth):
        layer = f"{before}encoder.layers.{i}"
        params[f"block{i}_norm1"] = read.norm(f"{layer}.layer_norm1")
        params[f"block{i}_norm2"] = read.norm(f"{layer}.layer_norm2")
        params[f"block{i}_attention"] = {
            ours: read.linear(f"{layer}.self_attn.{theirs}") for theirs, ours in LAYERS.items()
        }
        forward = {"up": read.linear(f"{layer}.mlp.fc1"), "down": read.linear(f"{layer}.mlp.fc2")}
        params[f"block{i}_feed_forward"] = forward
    return params


def _before(read: Reader) -> str:
    return "text_model." if any(name.startswith("text_model.") for name in read.tensors) else ""


def _count(read: Reader, before: str) -> int:
    """How many blocks there are, each of several tensors whose names begin so."""
    return len({name[len(before) :].split(".")[0] for name in read.tensors if name.startswith(before)})


def _sized(tokens: np.ndarray, positions: np.ndarray, depth: int, hidden: int, activation: str) -> TextTransformer:
    """A transformer of the sizes of its tensors."""
    (length, width), vocabulary = positions.shape, len(tokens)
    return TextTransformer(
        vocabulary=vocabulary,
        length=length,
        width=width,
        depth=depth,
        heads=max(1, width // HEAD),
        hidden=hidden,
        activation=activation,
        start=vocabulary - 2,
        end=vocabulary - 1,
        pad=vocabulary - 1,
    )


def _net(folder: Path) -> TextTransformer:
    config = read_json(folder / "config.json")
    config = config.get("text_config") or config
    try:
        activation, end = config.get("hidden_act", "quick_gelu"), config.get("eos_token_id", 49_407)
        if activation not in ACTIVATIONS:
            raise InputError(f"{str(folder)!r}: hidden_act={activation!r}: known are {', '.join(ACTIVATIONS)}")
        if (epsilon := config.get("layer_norm_eps", 1e-5)) != 1e-5:
            raise InputError(f"{str(folder)!r}: layer_norm_eps={epsilon}: only 1e-05 can be read")
        vocabulary, old = config.get("vocab_size", 49_408), end == OLD_END
        return TextTransformer(
            vocabulary=vocabulary,
            length=config.get("max_position_embeddings", 77),
            width=config["hidden_size"],
            depth=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            hidden=config["intermediate_size"],
            activation=ACTIVATIONS[activation],
            start=vocabulary - 2 if old else config.get("bos_token_id", vocabulary - 2),
            end=vocabulary - 1 if old else end,
            pad=vocabulary - 1 if old else config.get("pad_token_id", end),
            legacy_pool=old,
        )
    except KeyError as error:
        raise InputError(f"{str(folder)!r}: its config.json lacks {error}: it is no CLIP text model's") from error
