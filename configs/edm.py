"""EDM (Karras et al. 2022): preconditioning, log-normal noise levels, Heun's method in 18 steps.

    python train.py --config=configs/edm.py                    the embedded digits, a few minutes on 2 CPU cores
    python train.py --config=configs/edm.py:cifar10            the paper's batch, rate, average (FID 1.97 there)
    python train.py --config=configs/edm.py:folder=PATH        your own pictures

and the other settings of configs/ddpm.py. The network for CIFAR-10 has the paper's widths, depth, dropout and
augmentation, not its skip connections between resampled images.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = ddpm.get_config(setting)
    sigma_data = 0.75 if setting == "digits" else 0.5
    config.process = ConfigDict({"name": "edm", "sigma_max": 80.0})
    config.parameterization = ConfigDict({"name": "edm", "sigma_data": sigma_data})
    config.loss = ConfigDict(
        {
            "name": "diffusion",
            "weight": {"name": "edm", "sigma_data": sigma_data},
            "times": {"name": "log_normal", "mean": -1.2, "std": 1.2},
        }
    )
    if setting == "cifar10":  # 200 million images in batches of 512
        config.data.flip = False  # mirroring is part of the augmentation
        config.net.update(channels=128, multipliers=(2, 2, 2), blocks=4, dropout=0.13)
        config.optimizer.update(learning_rate=1e-3, warmup=10_000_000 // 512, clip=0.0)
        config.ema = ConfigDict({"decay": (), "half_life": (500_000,), "sigma_rel": ()})
        config.train.update(batch_size=512, steps=200_000_000 // 512, augment=0.12)
    config.sample = ConfigDict({"sampler": {"name": "heun"}, "steps": 18, "grid": {"name": "karras"}, "clip": 1.0})
    return config
