"""Autoencoders of latent diffusion (Rombach et al. 2022): images to latents, and back.

    python train.py --config=configs/autoencoder.py                      the embedded digits, a minute on 2 CPU cores
    python train.py --config=configs/autoencoder.py:arrays=images.npz    64x64, say, to 16x16 of four channels
    python train.py --config=configs/autoencoder.py:folder=PICTURES
    python train.py --config=configs/autoencoder.py:digits-gan           against a critic of parts, as in the paper
    python train.py --config=configs/autoencoder.py:arrays-gan=images.npz
    python train.py --config=configs/autoencoder.py:folder-gan=PICTURES
    jaxdiff data latents latents --workdir runs/autoencoder
    python train.py --config=configs/latent.py:latents

A small network for a CPU, at a quarter of the sides; the paper's is net.widths=(128,256,512,512), net.blocks=2,
net.attention=True. With `gan` the critic counts from half of the training on, and rates are the paper's, 4.5e-6 times
the batch. Features beside the error come from `jaxdiff data features`, which prints the fields that name them. process,
parameterization and sample are of diffusion, and mean nothing here.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm
from jaxdiff.errors import unknown

PLAIN = ("digits", "arrays", "folder")


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    of, dash, gan = name.partition("-")
    if of not in PLAIN or (of == "digits") == bool(path) or (dash and gan != "gan"):
        each = [f"{one}{way}" for way in ("", "-gan") for one in PLAIN]
        raise unknown("setting", setting, [one if one.startswith("digits") else f"{one}=PATH" for one in each])
    config = ddpm.get_config(f"{of}={path}" if path else of)
    small = of == "digits"
    config.loss = ConfigDict({"name": "reconstruction", "kl": 1e-6})
    size = {"widths": (32, 64), "latents": 2} if small else {"widths": (32, 64, 128), "latents": 4}
    config.net = ConfigDict({"name": "autoencoder", **size, "blocks": 1, "attention": False, "groups": 16})
    config.optimizer.update(learning_rate=1e-3, warmup=100)
    config.ema.decay = (0.998,)
    config.train.update(choose=False, cond_dropout=0.0, log_every=50, sample_every=500, checkpoint_every=500)
    config.train.update(steps=1500 if small else 8000, batch_size=128 if small else 32)
    if gan:
        _against_a_critic(config, small)
    return config


def _against_a_critic(config: ConfigDict, small: bool) -> None:
    batch = config.train.batch_size
    critic = {"name": "patches", "width": 32, "layers": 1} if small else {"name": "patches", "width": 64, "layers": 2}
    config.loss = ConfigDict(
        {
            "name": "adversarial_reconstruction",
            "kl": 1e-6,
            "critic": critic,
            "adversary": 0.5,
            "start": batch * config.train.steps // 2,
        }
    )
    config.optimizer.update(learning_rate=4.5e-6 * batch, b1=0.5, b2=0.9, clip=0.0)
