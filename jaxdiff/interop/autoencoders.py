"""AutoencoderKL and AutoencoderTiny: their configurations as our networks'."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxdiff.errors import InputError, unknown
from jaxdiff.interop.names import AUTOENCODER, TINY, Table
from jaxdiff.interop.settings import fields_of
from jaxdiff.nets.autoencoder import Autoencoder
from jaxdiff.nets.tiny_autoencoder import TinyAutoencoder

__all__ = ["autoencoder_of", "kl_config"]

KL: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",),
    "up_block_types": ("UpDecoderBlock2D",),
    "block_out_channels": (64,),
    "layers_per_block": 1,
    "act_fn": "silu",
    "latent_channels": 4,
    "norm_num_groups": 32,
    "scaling_factor": 0.18215,
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}
TINY_FIELDS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "encoder_block_out_channels": (64, 64, 64, 64),
    "decoder_block_out_channels": (64, 64, 64, 64),
    "act_fn": "relu",
    "upsample_fn": "nearest",
    "latent_channels": 4,
    "upsampling_scaling_factor": 2,
    "num_encoder_blocks": (1, 3, 3, 3),
    "num_decoder_blocks": (3, 3, 3, 1),
    "scaling_factor": 1.0,
    "shift_factor": 0.0,
}
ONLY_TINY = {"act_fn": ("relu",), "upsample_fn": ("nearest",), "upsampling_scaling_factor": (2,)}


def autoencoder_of(given: Mapping[str, Any]) -> tuple[Autoencoder | TinyAutoencoder, Table]:
    """The autoencoder of a configuration, and its table of names.

    Raises:
      InputError: another class, or a field or a block that is not supported.
    """
    name = given.get("_class_name", "AutoencoderKL")
    if name == "AutoencoderTiny":
        return _tiny(given), TINY
    if name != "AutoencoderKL":
        raise unknown("autoencoder", name, ("AutoencoderKL", "AutoencoderTiny"))
    config = fields_of(name, given, KL, {"act_fn": ("silu", "swish")}, "sample_size force_upcast")
    for field, block in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
        if set(config[field]) != {block} or len(config[field]) != len(config["block_out_channels"]):
            raise InputError(f"{name}: {field}={config[field]} is not supported: {block} for each level is")
    _same_channels(name, config)
    scale, shift = config["scaling_factor"], config["shift_factor"] or 0.0
    if config["latents_mean"] is not None and config["latents_std"] is not None:
        shift = tuple(config["latents_mean"])
        scale = tuple(scale / std for std in config["latents_std"])
    return Autoencoder(
        widths=tuple(config["block_out_channels"]),
        blocks=config["layers_per_block"],
        latents=config["latent_channels"],
        channels=config["in_channels"],
        scale=scale,
        shift=shift,
        attention=config["mid_block_add_attention"],
        quantized=config["use_quant_conv"],
        unquantized=config["use_post_quant_conv"],
        groups=config["norm_num_groups"],
    ), AUTOENCODER


def kl_config(net: Autoencoder) -> dict[str, Any]:
    """The configuration of an autoencoder with one scale and one shift for all channels.

    Raises:
      InputError: they are several.
    """
    if isinstance(net.scale, Sequence) or isinstance(net.shift, Sequence):
        raise InputError("an autoencoder with a scale for each channel is not written for diffusers: give it one")
    levels = len(net.widths)
    return KL | {
        "_class_name": "AutoencoderKL",
        "in_channels": net.channels,
        "out_channels": net.channels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": list(net.widths),
        "layers_per_block": net.blocks,
        "latent_channels": net.latents,
        "norm_num_groups": net.groups,
        "scaling_factor": net.scale,
        "shift_factor": net.shift or None,
        "use_quant_conv": net.quantized,
        "use_post_quant_conv": net.unquantized,
        "mid_block_add_attention": net.attention,
    }


def _tiny(given: Mapping[str, Any]) -> TinyAutoencoder:
    inert = "force_upcast latent_magnitude latent_shift block_out_channels sample_size"
    config = fields_of("AutoencoderTiny", given, TINY_FIELDS, ONLY_TINY, inert)
    _same_channels("AutoencoderTiny", config)
    return TinyAutoencoder(
        widths=tuple(config["encoder_block_out_channels"]),
        blocks=tuple(config["num_encoder_blocks"]),
        decoder_widths=tuple(config["decoder_block_out_channels"]),
        decoder_blocks=tuple(config["num_decoder_blocks"]),
        latents=config["latent_channels"],
        channels=config["in_channels"],
        scale=config["scaling_factor"],
        shift=config["shift_factor"],
    )


def _same_channels(name: str, config: Mapping[str, Any]) -> None:
    if config["in_channels"] != config["out_channels"]:
        raise InputError(f"{name}: in_channels and out_channels differ, which is not supported")
