"""CLIP's text transformers from the folders of transformers (`CLIPTextModel`), as `jaxdiff.nets.text.TextTransformer`.

Files name the tensors with or without `text_model.` in front; some hold the positions' numbers, too. Of a folder of a
whole CLIP the text half is read, and the projections to the space that it shares with images are not.
"""

from pathlib import Path
from typing import Any

from jaxdiff.errors import InputError
from jaxdiff.interop.settings import read_json
from jaxdiff.interop.tensors import Reader
from jaxdiff.nets.text import TextTransformer

__all__ = ["STEM", "read_clip"]

STEM = "model"
LAYERS = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "out"}
ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
NO_WEIGHTS = ("position_ids", "logit_scale", "text_projection.weight", "visual_projection.weight")
OLD_END = 2
"""The `eos_token_id` of the files that take the vector for the whole caption at the largest id."""


def read_clip(folder: str | Path) -> tuple[TextTransformer, dict[str, Any]]:
    """The text transformer of a folder, and its parameters.

    Args:
      folder: with config.json and model.safetensors (or its parts).

    Raises:
      InputError: another kind of model, or a tensor too few or too many.
    """
    folder = Path(folder)
    net, read = _net(folder), Reader(folder, STEM)
    before = "text_model." if any(name.startswith("text_model.") for name in read.tensors) else ""
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
    read.asked |= {name for name in read.tensors if name.startswith("vision_model.")}
    read.finish(NO_WEIGHTS)
    return net, params


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
