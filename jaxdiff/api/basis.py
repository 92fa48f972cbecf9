"""Basis: the configuration that training begins with when none is given."""

from collections.abc import Mapping
from typing import Any

from jaxdiff.cli.fit import facts
from jaxdiff.config.choose import choose
from jaxdiff.config.given import with_fields
from jaxdiff.config.schema import defaults
from jaxdiff.data.source import Source

__all__ = ["SMALL", "basis"]

SMALL = 16
"""Pixels a side, up to which the network of the digits is used."""


def basis(source: Source, data: Mapping[str, Any], fields: Mapping[str, Any] = {}) -> dict[str, Any]:
    """A network for small images as it is for the digits; one chosen by the data and the machine for larger ones.

    Args:
      source: what to train on, and `data`, how a configuration names it.
      fields: that the user sets, by their dotted names, which nothing else chooses.
    """
    config = defaults()
    config["data"] = dict(data)
    config["process"] = {"name": "ddpm", "betas": {"name": "cosine", "steps": 1000}}
    side = source.spec.shape[0]
    config["net"] = {"name": "unet", "channels": 32, "multipliers": (1, 2), "blocks": 1, "attention": (side // 2,)}
    config["loss"] = {
        "name": "diffusion",
        "weight": {"name": "simple"},
        "times": {"name": "stratified", "steps": 1000},
    }
    config["optimizer"] |= {"learning_rate": 2e-3, "warmup": 100}
    config["ema"]["decay"] = (0.998,)
    config["train"] |= {"steps": 2000, "batch_size": 64}
    config["sample"] |= {"sampler": {"name": "dpmpp_2m"}, "steps": 50, "grid": {"name": "trailing", "total": 1000}}
    if source.spec.modality != "images" or max(source.spec.shape[:2]) <= SMALL:
        return config
    config = with_fields(config, fields)
    fixed = ("train.steps", "sample", *fields)
    return choose(facts(config, fixed), config, fixed)[0]
