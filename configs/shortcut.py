"""Shortcut models (Frans et al. 2025): one network for steps of any length, each twice one of half of it.

    python train.py --config=configs/shortcut.py               the embedded digits
    python train.py --config=configs/shortcut.py:cifar10
    python sample.py --workdir runs/shortcut --steps 4

and the other settings of configs/ddpm.py.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import flow


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = flow.get_config(setting)
    config.loss = ConfigDict({"name": "shortcut", "levels": 7, "share": 0.25, "half_life": 20_000.0})
    config.sample = ConfigDict(
        {"sampler": {"name": "jump"}, "steps": 1, "grid": {"name": "uniform"}, "clip": float("inf")}
    )
    return config
