"""Latent diffusion (Rombach et al. 2022): a model of what an autoencoder makes of images, whose samples are decoded.

    python train.py --config=configs/autoencoder.py
    jaxdiff data latents latents --workdir runs/autoencoder
    python train.py --config=configs/latent.py:latents
    python sample.py --workdir runs/latent-latents --label 3

EDM's process and preconditioning (Karras et al. 2022) on latents of deviation 1; told the class, where there are some.
A latent has no bound, so that nothing is clipped.
"""

import json
from pathlib import Path

from ml_collections import ConfigDict

from jaxdiff.configs import edm
from jaxdiff.errors import InputError

SIGMA_DATA = 1.0


def get_config(setting: str = "latents") -> ConfigDict:
    """The configuration for a folder of latents."""
    try:
        about = json.loads((Path(setting) / "latents.json").read_text())
        classes, of = about["num_classes"], about["autoencoder"]
        side = of["shape"][0] // 2 ** (len(of["net"]["widths"]) - 1)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"setting {setting!r}: must be a folder of latents; `jaxdiff data latents {setting} --workdir "
            "runs/autoencoder` writes it"
        ) from error
    config = edm.get_config("digits")
    config.data = ConfigDict({"name": "latents", "path": setting, "split": "train"})
    held_out = (Path(setting) / "held_out.npz").is_file()
    config.held_out = ConfigDict({"name": "latents", "path": setting, "split": "held_out"} if held_out else {})
    config.parameterization.sigma_data = config.loss.weight.sigma_data = SIGMA_DATA
    config.loss.times.mean = -0.5  # EDM's -1.2 is for data of deviation 0.5
    halved = side % 2 == 0
    config.net.update(channels=64 if side > 4 else 32, multipliers=(1, 2) if halved else (2,), blocks=1, groups=16)
    config.net.update(attention=(side // 2 if halved else side,), num_classes=classes)
    config.train.update(cond_dropout=0.1 if classes else 0.0, steps=4000)
    config.optimizer.update(learning_rate=1e-3)
    config.sample.clip = float("inf")
    return config
