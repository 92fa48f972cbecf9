"""Basis: the configuration that training begins with when none is given."""

from typing import Any

from jaxdiff.config.schema import defaults
from jaxdiff.data.source import Source

__all__ = ["basis"]


def basis(source: Source) -> dict[str, Any]:
    """A small network for small images."""
    config = defaults()
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
    return config
