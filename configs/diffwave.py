"""DiffWave (Kong et al. 2021): sound by a network without strides, in 50 steps of a linear chain.

    python train.py --config=configs/diffwave.py                 plucked strings of twelve notes, generated
    python train.py --config=configs/diffwave.py:folder=PATH     and the other settings of configs/audio.py

The paper's network, 30 layers of 64 channels, its chain, batch and rate, and the squared error for its absolute one. It
is made for an accelerator; --config.net.patch=16 --config.net.layers=16 --config.net.cycle=6 is 30 times less work.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import audio


def get_config(setting: str = "notes") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = audio.get_config(setting)
    betas = {"name": "linear", "steps": 50, "beta_min": 1e-4, "beta_max": 0.05}
    config.process = ConfigDict({"name": "ddpm", "betas": betas})
    config.parameterization = ConfigDict({"name": "eps"})
    config.loss.times = ConfigDict({"name": "uniform", "steps": 50})
    classes = config.net.num_classes
    net = {"name": "diffwave", "channels": 64, "layers": 30, "cycle": 10, "patch": 1, "num_classes": classes}
    config.net = ConfigDict({**net, "dtype": "float32"})
    config.optimizer.update(learning_rate=2e-4, warmup=0)
    config.train.update(batch_size=16, steps=1_000_000, sample_every=10_000, checkpoint_every=5000)
    config.sample = ConfigDict(
        {
            "sampler": {"name": "ancestral", "variance": "fixed_small"},
            "steps": 50,
            "grid": {"name": "trailing", "total": 50},
            "clip": float("inf"),
        }
    )
    return config
