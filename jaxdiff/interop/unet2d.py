"""UNet2DModel: its configuration as our network's, and back."""

from collections.abc import Mapping
from typing import Any

from jaxdiff.errors import InputError
from jaxdiff.interop.settings import fields_of
from jaxdiff.nets.unet2d import UNet2D

__all__ = ["unet2d_config", "unet2d_of"]

FIELDS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (224, 448, 672, 896),
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "dropout": 0.0,
    "act_fn": "silu",
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "attn_norm_num_groups": None,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
    "num_class_embeds": None,
}
ONLY = {
    "time_embedding_type": ("positional",),
    "mid_block_type": ("UNetMidBlock2D",),
    "mid_block_scale_factor": (1, None),
    "downsample_padding": (0, 1),
    "downsample_type": ("conv",),
    "upsample_type": ("conv",),
    "act_fn": ("silu", "swish"),
    "attn_norm_num_groups": (None,),
    "resnet_time_scale_shift": ("default",),
    "class_embed_type": (None,),
}
INERT = "sample_size num_train_timesteps"
DOWN = {"DownBlock2D": False, "AttnDownBlock2D": True}
UP = {"UpBlock2D": False, "AttnUpBlock2D": True}


def unet2d_of(given: Mapping[str, Any]) -> UNet2D:
    """The network of a configuration.

    Raises:
      InputError: a field or a block that is not supported.
    """
    config = fields_of("UNet2DModel", given, FIELDS, ONLY, INERT)
    return UNet2D(
        widths=tuple(config["block_out_channels"]),
        blocks=config["layers_per_block"],
        down=attends("down_block_types", config, DOWN),
        up=attends("up_block_types", config, UP),
        middle=config["add_attention"],
        head_channels=config["attention_head_dim"] or 0,
        outputs=config["out_channels"],
        num_classes=config["num_class_embeds"] or 0,
        groups=config["norm_num_groups"],
        epsilon=config["norm_eps"],
        centered=config["downsample_padding"] == 1,
        shift=config["freq_shift"],
        cosine_first=config["flip_sin_to_cos"],
        time_width=config["time_embedding_dim"] or 0,
        from_unit=config["center_input_sample"],
        dropout=config["dropout"],
    )


def unet2d_config(net: UNet2D, shape: tuple[int, ...]) -> dict[str, Any]:
    """The configuration of a network for images of a shape (height, width, channels)."""
    height, width, channels = shape
    return FIELDS | {
        "_class_name": "UNet2DModel",
        "sample_size": height if height == width else [height, width],
        "in_channels": channels,
        "out_channels": net.outputs or channels,
        "center_input_sample": net.from_unit,
        "time_embedding_dim": net.time_width or None,
        "freq_shift": net.shift,
        "flip_sin_to_cos": net.cosine_first,
        "down_block_types": [f"{'Attn' * attends}DownBlock2D" for attends in net.down],
        "up_block_types": [f"{'Attn' * attends}UpBlock2D" for attends in net.up],
        "block_out_channels": list(net.widths),
        "layers_per_block": net.blocks,
        "downsample_padding": int(net.centered),
        "dropout": net.dropout,
        "attention_head_dim": net.head_channels or None,
        "norm_num_groups": net.groups,
        "norm_eps": net.epsilon,
        "add_attention": net.middle,
        "num_class_embeds": net.num_classes or None,
    }


def attends(field: str, config: Mapping[str, Any], kinds: Mapping[str, bool]) -> tuple[bool, ...]:
    """Which levels attend, by the names of their blocks.

    Raises:
      InputError: a block of another kind, or another number of them than there are levels.
    """
    blocks = config[field]
    for block in blocks:
        if block not in kinds:
            raise InputError(f"{field}: {block!r} is not supported: {', '.join(kinds)} are")
    if len(blocks) != len(config["block_out_channels"]):
        raise InputError(f"{field}: {len(blocks)} blocks for {len(config['block_out_channels'])} block_out_channels")
    return tuple(kinds[block] for block in blocks)
