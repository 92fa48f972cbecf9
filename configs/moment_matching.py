"""Inductive moment matching (Zhou et al. 2025, IMM): jumps from two times have one law, without a teacher.

    python train.py --config=configs/moment_matching.py        the embedded digits
    python train.py --config=configs/moment_matching.py:cifar10
    python sample.py --workdir runs/moment_matching --steps 2

and the other settings of configs/ddpm.py.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import flow


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = flow.get_config(setting)
    config.loss = ConfigDict({"name": "moment_matching", "particles": 4, "gap": 0.08, "width": 1.0})
    config.sample = ConfigDict(
        {"sampler": {"name": "jump"}, "steps": 1, "grid": {"name": "angles"}, "clip": float("inf")}
    )
    return config
