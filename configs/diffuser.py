"""Trajectories that plan (Janner et al. 2022, Diffuser; Chen et al. 2024, diffusion forcing).

    python train.py --config=configs/diffuser.py                   trips through a maze, half an hour on 2 CPU cores
    python train.py --config=configs/diffuser.py:maze=umaze        or umaze, medium, large
    python train.py --config=configs/diffuser.py:tracks=FILE.npz   your own, an array `windows` (n, steps, channels)
    python train.py --config=configs/diffuser.py:frames=FILE.npz   the same, with a noise level for each step
    python train.py --config=configs/diffuser.py:lengths=FILE.npz  of several lengths, an array `lengths` (n,)
    python sample.py --workdir runs/diffuser --task plan --start 2.5,2.5 --goal=-2.5,-2.5

Of a maze, the network learns with the start and the goal held in place, and of tracks without; what is to be held of
those is put in its place while sampling. The steps must be a multiple of 4, as the network halves them twice.
"""

from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.errors import unknown


def get_config(setting: str = "maze=medium") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, value = setting.partition("=")
    if name not in ("maze", "tracks", "frames", "lengths") or not value:
        raise unknown("setting", setting, ["maze=NAME", "tracks=FILE", "frames=FILE", "lengths=FILE"])
    config = ConfigDict(schema.defaults())
    if name == "maze":
        data = {"name": "maze", "layout": value, "trips": 20_000, "steps": 24, "stride": 16, "seed": 0}
        config.data = ConfigDict({**data, "split": "train"})
        config.held_out = ConfigDict({**data, "trips": 1000, "split": "test"})
    else:
        data = {"name": "tracks", "path": value, "key": "windows", "told": "", "label": "", "scaling": "range"}
        data |= {"lengths": "lengths" if name == "lengths" else "", "steps": 0}
        config.data, config.held_out = (ConfigDict({**data, "split": split}) for split in ("train", "test"))
    config.process = ConfigDict({"name": "cosine"})
    config.parameterization = ConfigDict({"name": "v"})
    times = {"name": "stratified", "t_min": 1e-3}
    config.loss = ConfigDict({"name": "diffusion", "weight": {"name": "simple"}, "times": times})
    if name == "maze":
        config.loss.update(name="held", first=1, last=1, share=0.8)
    if name == "frames":
        config.loss.update(name="frames", together=0.25)
    config.net = ConfigDict(
        {
            "name": "unet1d",
            "channels": 32,
            "multipliers": (1, 2, 4),
            "blocks": 1,
            "kernel": 5,
            "stride": 2,
            "groups": 8,
            "attention": False,
            "heads": 4,
            "dropout": 0.0,
            "num_classes": 0,
        }
    )
    config.optimizer.update(learning_rate=1e-3, warmup=200)
    config.ema.decay = (0.998,)
    config.train.update(batch_size=64, steps=10_000, log_every=100, sample_every=2000, checkpoint_every=1000)
    sampler = {"name": "staggered", "delay": 0.0, "eta": 0.0} if name == "frames" else {"name": "ddim", "eta": 0.0}
    config.sample = ConfigDict({"sampler": sampler, "steps": 50, "grid": {"name": "uniform"}, "clip": float("inf")})
    return config
