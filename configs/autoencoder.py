"""Autoencoders of latent diffusion (Rombach et al. 2022): images to latents, and back.

    python train.py --config=configs/autoencoder.py                      the embedded digits, a minute on 2 CPU cores
    python train.py --config=configs/autoencoder.py:arrays=images.npz    64x64, say, to 16x16 of four channels
    python train.py --config=configs/autoencoder.py:folder=PICTURES
    jaxdiff data latents latents --workdir runs/autoencoder
    python train.py --config=configs/latent.py:latents

A small network for a CPU, at a quarter of the sides, without the paper's adversary and its perceptual features; the
paper's is net.widths=(128,256,512,512), net.blocks=2, net.attention=True. process, parameterization and sample are of
diffusion, and mean nothing here.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm
from jaxdiff.errors import unknown


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    if name not in ("digits", "arrays", "folder") or (name == "digits") == bool(path):
        raise unknown("setting", setting, ["digits", "arrays=PATH", "folder=PATH"])
    config = ddpm.get_config(setting)
    config.loss = ConfigDict({"name": "reconstruction", "kl": 1e-6})
    size = {"widths": (32, 64), "latents": 2} if name == "digits" else {"widths": (32, 64, 128), "latents": 4}
    config.net = ConfigDict({"name": "autoencoder", **size, "blocks": 1, "attention": False, "groups": 16})
    config.optimizer.update(learning_rate=1e-3, warmup=100)
    config.ema.decay = (0.998,)
    config.train.update(choose=False, cond_dropout=0.0, log_every=50, sample_every=500, checkpoint_every=500)
    config.train.update(steps=1500 if name == "digits" else 8000, batch_size=128 if name == "digits" else 32)
    return config
