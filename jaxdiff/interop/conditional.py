"""UNet2DConditionModel and ControlNetModel: their configurations as our networks'."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxdiff.errors import InputError
from jaxdiff.interop.settings import fields_of
from jaxdiff.interop.unet2d import attends
from jaxdiff.nets.conditional_unet import SIZES, ConditionalUNet
from jaxdiff.nets.control import Control

__all__ = ["BESIDE", "conditional_config", "conditional_of", "control_config", "control_of"]

SHARED: dict[str, Any] = {
    "in_channels": 4,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "only_cross_attention": False,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "act_fn": "silu",
    "norm_num_groups": 32,
    "norm_eps": 1e-5,
    "cross_attention_dim": 1280,
    "transformer_layers_per_block": 1,
    "attention_head_dim": 8,
    "num_attention_heads": None,
    "addition_embed_type": None,
    "addition_time_embed_dim": None,
    "projection_class_embeddings_input_dim": None,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "class_embed_type": None,
    "num_class_embeds": None,
    "resnet_time_scale_shift": "default",
}
UNET: dict[str, Any] = SHARED | {
    "out_channels": 4,
    "center_input_sample": False,
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "dropout": 0.0,
    "reverse_transformer_layers_per_block": None,
    "dual_cross_attention": False,
    "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1.0,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "time_embedding_act_fn": None,
    "timestep_post_act": None,
    "time_cond_proj_dim": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "attention_type": "default",
    "class_embeddings_concat": False,
    "mid_block_only_cross_attention": None,
    "cross_attention_norm": None,
}
CONTROL: dict[str, Any] = SHARED | {
    "conditioning_channels": 3,
    "controlnet_conditioning_channel_order": "rgb",
    "conditioning_embedding_out_channels": (16, 32, 96, 256),
    "global_pool_conditions": False,
}
ONLY: dict[str, Sequence[Any]] = {
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "only_cross_attention": (False,),
    "downsample_padding": (0, 1),
    "mid_block_scale_factor": (1,),
    "act_fn": ("silu", "swish"),
    "num_attention_heads": (None,),
    "addition_embed_type": (None, "text_time"),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
    "resnet_time_scale_shift": ("default",),
}
ONLY_UNET = ONLY | {
    "center_input_sample": (False,),
    "reverse_transformer_layers_per_block": (None,),
    "dual_cross_attention": (False,),
    "resnet_skip_time_act": (False,),
    "resnet_out_scale_factor": (1.0,),
    "time_embedding_type": ("positional",),
    "time_embedding_dim": (None,),
    "time_embedding_act_fn": (None,),
    "timestep_post_act": (None,),
    "time_cond_proj_dim": (None,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "attention_type": ("default",),
    "class_embeddings_concat": (False,),
    "mid_block_only_cross_attention": (None, False),
    "cross_attention_norm": (None,),
}
ONLY_CONTROL = ONLY | {"controlnet_conditioning_channel_order": ("rgb",), "global_pool_conditions": (False,)}
INERT = "sample_size upcast_attention use_linear_projection addition_embed_type_num_heads"
DOWN = {"DownBlock2D": False, "CrossAttnDownBlock2D": True}
UP = {"UpBlock2D": False, "CrossAttnUpBlock2D": True}
BESIDE = {0: (), 1: (("depth", 1),), 4: (("image", 4),), 5: (("mask", 1), ("masked", 4))}
"""What is beside the latents, by how many channels it has: of Stable Diffusion 2 depth, InstructPix2Pix, inpainting."""


def conditional_of(given: Mapping[str, Any]) -> ConditionalUNet:
    """The U-Net of a configuration.

    Raises:
      InputError: a field or a block that is not supported.
    """
    config = fields_of("UNet2DConditionModel", given, UNET, ONLY_UNET, INERT)
    latents = config["out_channels"]
    beside = config["in_channels"] - latents
    if beside not in BESIDE:
        raise InputError(
            f"UNet2DConditionModel: in_channels={config['in_channels']} with out_channels={latents} is not supported: "
            "there may be 0, 1 (depth), 4 (an image) or 5 (a mask and an image) more"
        )
    shared, layers = _branch("UNet2DConditionModel", config)
    ups = attends("up_block_types", config, UP)
    up_depths = tuple(n * crosses for n, crosses in zip(reversed(layers), ups, strict=True))
    return ConditionalUNet(
        **shared, up_depths=up_depths, outputs=latents, beside=BESIDE[beside], dropout=config["dropout"]
    )


def control_of(given: Mapping[str, Any]) -> Control:
    """The control network of a configuration.

    Raises:
      InputError: a field or a block that is not supported.
    """
    config = fields_of("ControlNetModel", given, CONTROL, ONLY_CONTROL, INERT)
    shared, _ = _branch("ControlNetModel", config)
    widths = tuple(config["conditioning_embedding_out_channels"])
    return Control(**shared, hint_widths=widths, picture=config["conditioning_channels"])


def conditional_config(net: ConditionalUNet, shape: tuple[int, ...]) -> dict[str, Any]:
    """The configuration of a U-Net for latents of a shape (height, width, channels)."""
    height, width, channels = shape
    return UNET | {
        "_class_name": "UNet2DConditionModel",
        **_shared(net),
        "sample_size": height if height == width else [height, width],
        "in_channels": channels + sum(n for _, n in net.beside),
        "out_channels": net.outputs or channels,
        "up_block_types": [f"{'CrossAttn' * (depth > 0)}UpBlock2D" for depth in net.up_depths],
        "dropout": net.dropout,
    }


def control_config(net: Control) -> dict[str, Any]:
    """The configuration of a control network of latents of four channels."""
    return CONTROL | {
        "_class_name": "ControlNetModel",
        **_shared(net),
        "conditioning_channels": net.picture,
        "conditioning_embedding_out_channels": list(net.hint_widths),
    }


def _shared(net: ConditionalUNet | Control) -> dict[str, Any]:
    """The fields of what both have in common; transformers begin with linear layers."""
    layers = [depth or net.middle_depth for depth in net.depths]
    text_time = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": net.size_width,
        "projection_class_embeddings_input_dim": net.pooled + SIZES * net.size_width,
    }
    return {
        "use_linear_projection": True,
        "flip_sin_to_cos": net.cosine_first,
        "freq_shift": net.shift,
        "down_block_types": [f"{'CrossAttn' * (depth > 0)}DownBlock2D" for depth in net.depths],
        "block_out_channels": list(net.widths),
        "layers_per_block": net.blocks,
        "downsample_padding": int(net.centered),
        "norm_num_groups": net.groups,
        "norm_eps": net.epsilon,
        "cross_attention_dim": net.context,
        "transformer_layers_per_block": layers,
        "attention_head_dim": list(net.heads),
        **(text_time if net.pooled else {}),
    }


def _branch(what: str, config: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[int, ...]]:
    """The attributes of `jaxdiff.nets.conditional_unet.Branch`, and the transformers' depths of all levels."""
    widths = tuple(config["block_out_channels"])
    crosses = attends("down_block_types", config, DOWN)
    layers = _each(config["transformer_layers_per_block"], widths)
    contexts, blocks = set(_each(config["cross_attention_dim"], widths)), set(_each(config["layers_per_block"], widths))
    for name, values in (("cross_attention_dim", contexts), ("layers_per_block", blocks)):
        if len(values) > 1:
            raise InputError(f"{what}: {name}={config[name]} is not supported: it must be the same on all levels")
    size_width, pooled = 256, 0
    if config["addition_embed_type"]:
        size_width = config["addition_time_embed_dim"]
        pooled = config["projection_class_embeddings_input_dim"] - SIZES * size_width
    shared = {
        "widths": widths,
        "blocks": blocks.pop(),
        "depths": tuple(n * crossing for n, crossing in zip(layers, crosses, strict=True)),
        "middle_depth": layers[-1],
        "heads": _each(config["attention_head_dim"], widths),
        "context": contexts.pop(),
        "pooled": pooled,
        "size_width": size_width,
        "groups": config["norm_num_groups"],
        "epsilon": config["norm_eps"],
        "centered": config["downsample_padding"] == 1,
        "shift": config["freq_shift"],
        "cosine_first": config["flip_sin_to_cos"],
    }
    return shared, layers


def _each(value: Any, widths: Sequence[int]) -> tuple[int, ...]:
    """A value for each level."""
    return tuple(value) if isinstance(value, Sequence) else (value,) * len(widths)
