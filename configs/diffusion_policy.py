"""Diffusion policy (Chi et al. 2023): the actions that follow an observation, drawn together.

    python train.py --config=configs/diffusion_policy.py                  pushes through a maze, minutes on 2 CPU cores
    python train.py --config=configs/diffusion_policy.py:maze=umaze       or umaze, medium, large
    python train.py --config=configs/diffusion_policy.py:file=FILE.npz    your own: `windows` (n, steps, channels), the
                                                                          actions, and `observation` (n, width)

    model.sample(key, 1, condition={"observation": seen})[0, :8]          of 16 actions, do 8, and look again

The observation scales and shifts every block (FiLM); a tenth of the examples are without, so that `sample.py`, which
tells none, can draw, and guidance has a measure. The steps must be a multiple of 4. The paper's network is
--config.net.channels=256 --config.net.blocks=2, with 100 epochs and more of batches of 256.
"""

import numpy as np
from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.errors import InputError, unknown


def get_config(setting: str = "maze=medium") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, value = setting.partition("=")
    if name not in ("maze", "file") or not value:
        raise unknown("setting", setting, ["maze=NAME", "file=FILE"])
    config = ConfigDict(schema.defaults())
    if name == "maze":
        data, width = {"name": "maze_policy", "layout": value, "trips": 5000, "steps": 16, "seed": 0}, 6
        config.data = ConfigDict({**data, "split": "train"})
        config.held_out = ConfigDict({**data, "trips": 200, "split": "test"})
    else:
        data, width = {"name": "tracks", "path": value, "key": "windows", "told": "observation"}, _width(value)
        config.data, config.held_out = (ConfigDict({**data, "split": split}) for split in ("train", "test"))
    config.process = ConfigDict({"name": "cosine"})
    config.parameterization = ConfigDict({"name": "eps"})
    times = {"name": "stratified", "t_min": 1e-3}
    config.loss = ConfigDict({"name": "diffusion", "weight": {"name": "simple"}, "times": times})
    config.net = ConfigDict(
        {
            "name": "unet1d",
            "channels": 32,
            "multipliers": (1, 2, 4),
            "blocks": 1,
            "kernel": 5,
            "stride": 2,
            "groups": 8,
            "vectors": {"observation": width},
        }
    )
    config.optimizer.update(name="adamw", learning_rate=1e-3, warmup=200)
    config.optimizer.update(b1=0.95, b2=0.999, weight_decay=1e-6)
    config.ema.decay = (0.998,)
    config.train.update(
        cond_dropout=0.1, batch_size=128, steps=5000, log_every=100, sample_every=1000, checkpoint_every=1000
    )
    config.sample = ConfigDict(
        {
            "sampler": {"name": "ancestral"},
            "steps": 100,
            "grid": {"name": "uniform", "t_max": 0.999},
            "clip": 1.0,
        }
    )
    return config


def _width(path: str) -> int:
    """The width of the observations in a file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return int(arrays["observation"].shape[1])
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise InputError(f"{path!r}: holds no array 'observation' (n, width): {error}") from error
