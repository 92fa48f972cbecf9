"""Denoising diffusion GAN (Xiao et al. 2022): four long steps, drawn by a generator against a critic.

    python train.py --config=configs/ddgan.py                  the embedded digits
    python train.py --config=configs/ddgan.py:cifar10

and the other settings of configs/ddpm.py. It draws in the number of steps that it was trained for, and in no others.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = ddpm.get_config(setting)
    config.process = ConfigDict({"name": "vp", "beta_min": 0.1, "beta_max": 20.0})
    config.parameterization = ConfigDict({"name": "x0"})
    config.loss = ConfigDict({"name": "ddgan", "steps": 4, "gamma": 0.05})
    config.optimizer.update(learning_rate=2e-4, b1=0.5, b2=0.9, clip=0.0)
    config.sample = ConfigDict(
        {
            "sampler": {"name": "posterior_jumps"},
            "steps": 4,
            "grid": {"name": "nested", "total": 4, "only": 4},
            "clip": 1.0,
        }
    )
    return config
