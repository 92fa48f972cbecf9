"""T2IAdapter: its configuration as our network's, and back."""

from collections.abc import Mapping
from typing import Any

from jaxdiff.errors import InputError
from jaxdiff.interop.settings import fields_of
from jaxdiff.nets.adapter import Adapter

__all__ = ["adapter_config", "adapter_of"]

FIELDS: dict[str, Any] = {
    "in_channels": 3,
    "channels": (320, 640, 1280, 1280),
    "num_res_blocks": 2,
    "downscale_factor": 8,
    "adapter_type": "full_adapter",
}
FULL, XL, LIGHT = "full_adapter", "full_adapter_xl", "light_adapter"


def adapter_of(given: Mapping[str, Any]) -> Adapter:
    """The adapter of a configuration.

    Raises:
      InputError: a field that is not supported.
    """
    config = fields_of("T2IAdapter", given, FIELDS, {"adapter_type": (FULL, XL, LIGHT)})
    widths, kind = tuple(config["channels"]), config["adapter_type"]
    widths = (*widths, widths[-1]) if kind == LIGHT else widths  # whose last level is not listed
    levels = range(len(widths))
    return Adapter(
        widths=widths,
        halved=tuple(level == 2 if kind == XL else level > 0 for level in levels),
        blocks=config["num_res_blocks"],
        patch=config["downscale_factor"],
        picture=config["in_channels"],
        light=kind == LIGHT,
    )


def adapter_config(net: Adapter) -> dict[str, Any]:
    """The configuration of an adapter.

    Raises:
      InputError: one that diffusers does not have.
    """
    for kind in (LIGHT,) if net.light else (FULL, XL):
        config = {
            "_class_name": "T2IAdapter",
            "in_channels": net.picture,
            "channels": list(net.widths[:-1] if net.light else net.widths),
            "num_res_blocks": net.blocks,
            "downscale_factor": net.patch,
            "adapter_type": kind,
        }
        if adapter_of(config).clone(dtype=net.dtype) == net:
            return config
    raise InputError(f"an adapter of widths {net.widths}, halved {net.halved}, is not written for diffusers")
