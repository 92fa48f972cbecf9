"""DDPM (Ho, Jain and Abbeel 2020).

    python train.py --config=configs/ddpm.py                   the embedded digits, a few minutes on 2 CPU cores
    python train.py --config=configs/ddpm.py:cifar10           the paper's CIFAR-10 (800k steps; FID 3.17 there)
    python train.py --config=configs/ddpm.py:celeba_hq_256     the paper's CelebA-HQ (500k steps)
    python train.py --config=configs/ddpm.py:lsun_bedroom      the paper's LSUN bedroom (2.4M steps)
    python train.py --config=configs/ddpm.py:fashion_mnist
    python train.py --config=configs/ddpm.py:folder=PATH       your own pictures
    python train.py --config=configs/ddpm.py:arrays=PATH       your own .npy or .npz

For your own, size, network, batch, rate and steps are chosen by the pictures, the machine and --minutes=15, and each
choice is shown with the option that overrules it; --config.train.choose=False leaves the paper's.

cifar10, celeba_hq_256, lsun_bedroom and fashion_mnist are read, without TensorFlow, from ~/tensorflow_datasets, where
they have to be prepared as array_record: `jaxdiff data prepare cifar10`, and README.md for the others.
"""

from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.errors import unknown


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    settings = {
        "digits": _digits,
        "cifar10": _cifar10,
        "celeba_hq_256": _celeba_hq_256,
        "lsun_bedroom": _lsun_bedroom,
        "fashion_mnist": _fashion_mnist,
        "folder": _folder,
        "arrays": _arrays,
    }
    if name not in settings or (name in ("folder", "arrays")) != bool(path):
        raise unknown("setting", setting, [s + "=PATH" if s in ("folder", "arrays") else s for s in settings])
    config = _paper()
    settings[name](config, *([path] if path else []))
    return config


def _paper() -> ConfigDict:
    """What the paper's experiments share, beside the defaults of all fields."""
    config = ConfigDict(schema.defaults())
    config.data = ConfigDict({"name": "tfds"})
    config.held_out = ConfigDict()
    betas = {"name": "linear", "steps": 1000, "beta_min": 1e-4, "beta_max": 0.02}
    config.process = ConfigDict({"name": "ddpm", "betas": betas})
    config.net = ConfigDict(
        {
            "name": "unet",
            "channels": 128,
            "multipliers": (1, 2, 2, 2),
            "blocks": 2,
            "attention": (16,),
            "dropout": 0.0,
            "num_classes": 0,
            "dtype": "float32",
            "heads": 1,
            "attention_kernel": "xla",
            "remat": "none",
        }
    )
    config.loss = ConfigDict(
        {"name": "diffusion", "weight": {"name": "simple"}, "times": {"name": "uniform", "steps": 1000}}
    )
    config.sample.sampler = ConfigDict({"name": "ancestral", "variance": "fixed_large"})
    config.sample.grid = ConfigDict({"name": "trailing", "total": 1000})
    return config


def _digits(config: ConfigDict) -> None:
    """With cosine betas (Nichol and Dhariwal 2021): small pictures lose their shape too early in the linear chain."""
    config.data = ConfigDict({"name": "digits", "split": "train"})
    config.held_out = ConfigDict({"name": "digits", "split": "test"})
    config.process.betas = ConfigDict({"name": "cosine", "steps": 1000})
    config.loss.times.name = "stratified"
    config.net.update(channels=32, multipliers=(1, 2), blocks=1, attention=(4,))
    config.optimizer.update(learning_rate=2e-3, warmup=100)
    config.ema.decay = (0.998,)
    config.train.update(steps=1800, log_every=25, sample_every=600, checkpoint_every=300)


def _cifar10(config: ConfigDict) -> None:
    config.data = ConfigDict({"name": "tfds", "dataset": "cifar10", "data_dir": "", "flip": True})
    config.held_out = ConfigDict({"name": "tfds", "dataset": "cifar10", "data_dir": "", "split": "test"})
    config.net.dropout = 0.1


def _celeba_hq_256(config: ConfigDict) -> None:
    config.data = ConfigDict({"name": "tfds", "dataset": "celeb_a_hq/256", "data_dir": "", "flip": True})
    config.net.multipliers = (1, 1, 2, 2, 4, 4)
    config.optimizer.learning_rate = 2e-5
    config.train.update(batch_size=64, steps=500_000)


def _lsun_bedroom(config: ConfigDict) -> None:
    _celeba_hq_256(config)
    config.data = ConfigDict({"name": "tfds", "dataset": "lsun/bedroom", "data_dir": "", "size": 256, "flip": False})
    config.train.steps = 2_400_000


def _fashion_mnist(config: ConfigDict) -> None:
    config.data = ConfigDict({"name": "tfds", "dataset": "fashion_mnist", "data_dir": "", "flip": True})
    config.net.update(channels=64, multipliers=(1, 2, 2), attention=(14,), dropout=0.1)
    config.train.steps = 100_000


def _folder(config: ConfigDict, path: str) -> None:
    config.data = ConfigDict({"name": "folder", "path": path, "size": 64, "channels": 3, "flip": True, "cache_gb": 4.0})
    config.net.update(multipliers=(1, 2, 3, 4), dropout=0.1)
    config.train.update(steps=200_000, choose=True)


def _arrays(config: ConfigDict, path: str) -> None:
    config.data = ConfigDict(
        {"name": "arrays", "path": path, "key": "", "label_key": "", "low": -1.0, "high": 1.0, "flip": False}
    )
    config.net.dropout = 0.1
    config.train.update(steps=200_000, choose=True)
