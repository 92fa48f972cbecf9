"""Transformers that predict the clean image (JiT, Li and He 2025: "Back to Basics"), with the blocks of LightningDiT.

    python train.py --config=configs/jit.py                      the embedded digits
    python train.py --config=configs/jit.py:fashion_mnist        28x28 in patches of 4
    python train.py --config=configs/jit.py:cifar10              32x32 in patches of 4, for an accelerator
    python sample.py --workdir runs/jit --label 3 --guidance 2

The network gives x_0, its error is weighted as one of the velocity, and times are logit-normal: of mean +0.8, since
here t = 1 is the noise, where the paper's is the data. RMSNorm, SwiGLU, rotary positions, normalized queries and keys,
a bottleneck before the tokens, and tokens of the class before those of the image, from a third of the depth on.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import dit
from jaxdiff.errors import unknown

MODERN = {"norm": "rms", "feed_forward": "swiglu", "rotary": True, "qk_norm": True}


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    if setting not in ("digits", "fashion_mnist", "cifar10"):
        raise unknown("setting", setting, ["digits", "fashion_mnist", "cifar10"])
    config = dit.get_config(f"{setting}-sit")
    straight(config)
    config.net.update(**MODERN, bottleneck=32, class_tokens=4, context_from=config.net.depth // 3)
    if setting != "digits":
        config.net.update(patch=4, bottleneck=64, class_tokens=16)
        config.optimizer.update(b2=0.95, learning_rate=2e-4, warmup=1000)
    return config


def straight(config: ConfigDict) -> None:
    """Give a configuration the paper's loss and sampler: straight paths, the clean image, times near the noise."""
    config.process = ConfigDict({"name": "flow"})
    config.parameterization = ConfigDict({"name": "x0"})
    times = {"name": "logit_normal", "mean": 0.8, "std": 0.8}
    config.loss = ConfigDict({"name": "diffusion", "weight": {"name": "velocity", "t_min": 0.05}, "times": times})
    grid = {"name": "uniform"}
    config.sample = ConfigDict({"sampler": {"name": "heun"}, "steps": 25, "grid": grid, "clip": 1.0})
