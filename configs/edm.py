"""EDM (Karras et al. 2022): preconditioning, log-normal noise levels, Heun's method in 18 steps.

    python train.py --config=configs/edm.py                    the embedded digits, a few minutes on 2 CPU cores
    python train.py --config=configs/edm.py:cifar10            the paper's batch, rate, average (FID 1.97 there)

and the other settings of configs/ddpm.py. The network for CIFAR-10 has the paper's widths, depth and dropout, and no
augmentation.
"""

from ml_collections import ConfigDict

from configs import ddpm


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = ddpm.get_config(setting)
    sigma_data = 0.75 if setting == "digits" else 0.5
    config.process = ConfigDict({"name": "edm", "sigma_max": 80.0})
    config.parameterization = ConfigDict({"name": "edm", "sigma_data": sigma_data})
    config.loss = ConfigDict(
        {"weight": {"name": "edm", "sigma_data": sigma_data}, "times": {"name": "log_normal", "mean": -1.2, "std": 1.2}}
    )
    config.sample = ConfigDict({"sampler": {"name": "heun"}, "steps": 18, "grid": {"name": "karras"}, "clip": 1.0})
    return config
