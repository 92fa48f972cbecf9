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

    For tables it is that of configs/table.py.

    Args:
      source: what to train on, and `data`, how a configuration names it.
      fields: that the user sets, by their dotted names, which nothing else chooses.
    """
    config = defaults()
    config["data"] = dict(data)
    if source.spec.modality == "tables":
        return config | _of_a_table(config)
    config["process"] = {"name": "ddpm", "betas": {"name": "cosine", "steps": 1000}}
    config["parameterization"] = {"name": "v"}  # a third nearer to the digits than eps, after as many steps
    if source.spec.high is None:
        config["sample"]["clip"] = float("inf")  # such as sounds, of deviation 1, and latents
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


def _of_a_table(config: Mapping[str, Any]) -> dict[str, Any]:
    """EDM's process and a residual network, for columns of mean 0 and standard deviation 1."""
    net = {"widths": (128, 256, 128), "blocks": 3, "embedding": 128, "dropout": 0.1, "dropout_out": 0.0}
    times = {"name": "log_normal", "mean": -0.5, "std": 1.2}
    draws = {"sampler": {"name": "heun"}, "steps": 64, "grid": {"name": "karras"}, "clip": float("inf")}
    return {
        "process": {"name": "edm", "sigma_max": 80.0},
        "parameterization": {"name": "edm", "sigma_data": 1.0},
        "loss": {"name": "diffusion", "weight": {"name": "edm", "sigma_data": 1.0}, "times": times},
        "net": {"name": "mlp", **net},
        "optimizer": config["optimizer"] | {"learning_rate": 1e-3, "warmup": 100},
        "ema": config["ema"] | {"decay": (0.998,)},
        "train": config["train"] | {"steps": 2000, "batch_size": 256},
        "sample": config["sample"] | draws,
    }
