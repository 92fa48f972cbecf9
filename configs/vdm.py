"""Variational diffusion models (Kingma et al. 2021): trained on the bound itself, with a learned schedule.

    python train.py --config=configs/vdm.py                    the embedded digits, a few minutes on 2 CPU cores
    python train.py --config=configs/vdm.py:cifar10            32 blocks, as in the paper (2.65 bits/dim)

and the other settings of configs/ddpm.py. `python sample.py --workdir runs/vdm --likelihood` gives the bits.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = ddpm.get_config(setting)
    start, levels = (7.6, 17) if setting == "digits" else (13.3, 256)
    config.process = ConfigDict({"name": "learned", "start": start, "end": -5.0})
    config.loss = ConfigDict({"name": "bound", "levels": levels})
    config.optimizer.name = "adamw"
    config.sample = ConfigDict(
        {"sampler": {"name": "ancestral"}, "steps": 1000, "grid": {"name": "uniform"}, "clip": 1.0}
    )
    if setting == "cifar10":
        config.net.update(multipliers=(1,), blocks=32, attention=(), fourier=(6, 7))
        config.train.steps = 10_000_000
    return config
