"""Class-conditional models for classifier-free guidance (Ho and Salimans 2022): one example in ten without its class.

    python train.py --config=configs/guided.py                    the embedded digits, a few minutes on 2 CPU cores
    python sample.py --workdir runs/guided --label 3 --guidance 2

and the other settings of configs/ddpm.py that have classes: fashion_mnist, cifar10.
"""

from ml_collections import ConfigDict

from configs import ddpm


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    if setting not in ("digits", "fashion_mnist", "cifar10"):
        raise ValueError(f"unknown setting {setting!r} of guided.py: allowed are digits, fashion_mnist, cifar10")
    config = ddpm.get_config(setting)
    config.net.num_classes = 10
    config.train.drop_condition = 0.1
    config.sample.steps = 250
    return config
