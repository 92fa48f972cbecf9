"""Diffusion transformers (DiT, Peebles and Xie 2023; SiT, Ma et al. 2024), told the class of what they draw.

    python train.py --config=configs/dit.py                      the embedded digits
    python train.py --config=configs/dit.py:digits-sit           the same network along straight paths
    python train.py --config=configs/dit.py:fashion_mnist        28x28 in patches of 2, for an accelerator
    python train.py --config=configs/dit.py:cifar10              DiT-S/2; also cifar10-B, cifar10-L, cifar10-XL
    python train.py --config=configs/dit.py:cifar10-sit
    python sample.py --workdir runs/dit --label 3 --guidance 2

The paper's optimizer, AdamW of a constant 1e-4 without decay in batches of 256, its average and its guidance; the noise
has its simple variance. The paper's ImageNet is one of latents: net.width=1152, net.depth=28, net.heads=16 on
(32, 32, 4) is its DiT-XL/2.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm, flow
from jaxdiff.errors import unknown

SIZES = {"S": (12, 384, 6), "B": (12, 768, 12), "L": (24, 1024, 16), "XL": (28, 1152, 16)}
"""Depth, width and heads of the paper's table 1."""


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    data, *options = setting.split("-")
    known = {"digits": ["sit"], "fashion_mnist": ["sit", *SIZES], "cifar10": ["sit", *SIZES]}
    if data not in known or any(option not in known[data] for option in options):
        raise unknown("setting", setting, [f"{k}[-{'][-'.join(v)}]" for k, v in known.items()])
    config = (flow if "sit" in options else ddpm).get_config(data)
    depth, width, heads = SIZES[next((option for option in options if option in SIZES), "S")]
    config.net = ConfigDict(
        {
            "name": "dit",
            "depth": depth,
            "width": width,
            "heads": heads,
            "patch": 2,
            "num_classes": 10,
            "dropout": 0.0,
            "dtype": "float32",
            "scan": depth > 12,
            "remat": "none",
        }
    )
    config.train.cond_dropout = 0.1
    config.optimizer.name = "adamw"
    config.optimizer.weight_decay = 0.0
    if data == "digits":
        config.net.update(depth=6, width=128, heads=4)
        config.optimizer.learning_rate = 1e-3
        return config
    config.optimizer.update(learning_rate=1e-4, warmup=0, clip=0.0)
    config.train.batch_size = 256
    return config
