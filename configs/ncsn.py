"""Noise-conditional score networks and annealed Langevin dynamics (Song and Ermon 2019, 2020).

    python train.py --config=configs/ncsn.py                   the embedded digits, a few minutes on 2 CPU cores
    python train.py --config=configs/ncsn.py:cifar10           232 levels, 5 steps at each (the 2020 paper: FID 10.9)

and the other settings of configs/ddpm.py. Pixels are in [-1, 1] here, so every sigma is twice the papers'.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = ddpm.get_config(setting)
    levels, sigma_max, repeats = (32, 10.0, 20) if setting == "digits" else (232, 100.0, 5)
    config.process = ConfigDict({"name": "ncsn", "levels": levels, "sigma_min": 0.02, "sigma_max": sigma_max})
    config.parameterization = ConfigDict({"name": "eps", "unit_input": True})
    config.loss = ConfigDict(
        {"name": "diffusion", "weight": {"name": "eps"}, "times": {"name": "uniform", "steps": levels}}
    )
    config.sample = ConfigDict(
        {
            "sampler": {"name": "annealed_langevin", "rate": 0.124, "repeats": repeats},
            "steps": levels,
            "grid": {"name": "trailing", "total": levels},
            "clip": 1.0,
        }
    )
    if setting == "cifar10":
        config.train.steps = 300_000
    return config
