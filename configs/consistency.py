"""Consistency training (Song et al. 2023; Song and Dhariwal 2024): to the data in one step, without a teacher.

    python train.py --config=configs/consistency.py            the embedded digits
    python train.py --config=configs/consistency.py:cifar10
    python sample.py --workdir runs/consistency --steps 2

and the other settings of configs/ddpm.py. From a trained run it takes far less time: configs/distill.py.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import edm


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = edm.get_config(setting)
    examples = config.train.steps * config.train.batch_size
    config.loss = ConfigDict(
        {"name": "consistency_training", "first": 10, "last": 1280, "stage": max(examples // 8, 1)}
    )
    config.optimizer.name = "radam"
    config.sample = ConfigDict({"sampler": {"name": "renoise"}, "steps": 1, "grid": {"name": "angles"}, "clip": 1.0})
    return config
