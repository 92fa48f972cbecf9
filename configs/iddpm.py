"""Improved DDPM (Nichol and Dhariwal 2021): learned variances, a hybrid loss, a cosine schedule, fewer steps.

    python train.py --config=configs/iddpm.py                  the embedded digits, a few minutes on 2 CPU cores
    python train.py --config=configs/iddpm.py:cifar10          T = 4000, as in the paper (3.27 FID, 2.94 bits/dim there)

and the other settings of configs/ddpm.py. The network is that of configs/ddpm.py with the paper's blocks, attention and
dropout (one head where the paper has four).
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = ddpm.get_config(setting)
    steps, levels = (1000, 17) if setting == "digits" else (4000, 256)
    config.process.betas = ConfigDict({"name": "cosine", "steps": steps})
    config.loss = ConfigDict({"name": "hybrid", "steps": steps, "levels": levels, "bound_weight": 1e-3})
    config.sample = ConfigDict(
        {
            "sampler": {"name": "ancestral", "variance": "learned"},
            "steps": 250,
            "grid": {"name": "trailing", "total": steps},
            "clip": 1.0,
        }
    )
    if setting == "cifar10":
        config.net.update(blocks=3, attention=(16, 8), dropout=0.3)
        config.optimizer.learning_rate = 1e-4
        config.train.steps = 500_000
    return config
