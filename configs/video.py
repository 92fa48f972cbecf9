"""Video: a U-Net over space and time, trained on videos and on their frames at once, told the class.

    python train.py --config=configs/video.py                    digits that move and bounce, generated
    python train.py --config=configs/video.py:folder=PATH        .gif, .mp4 and folders of frames
    python train.py --config=configs/video.py:arrays=FILE.npz    (n, frames, height, width[, channels])
    python sample.py --workdir runs/video --label 3 --num 16     samples.gif, samples.png, clips/
    python sample.py --workdir runs/video --task extend --given 4 --method moment_matching
    python sample.py --workdir runs/video --task bridge --gap 4 12

One video in ten is taken as so many images (net.alone). Every tenth clip is held out; of the digits other handwritings.
From a model of images, trained with the same widths: --config.train.init=RUN.
"""

from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.errors import unknown


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    if name not in ("digits", "folder", "arrays") or (name == "digits") == bool(path):
        raise unknown("setting", setting, ["digits", "folder=PATH", "arrays=FILE"])
    config = ConfigDict(schema.defaults())
    data = {
        "digits": {"name": "moving_digits", "frames": 16, "size": 16},
        "folder": {"name": "clips", "path": path, "frames": 16, "size": 32, "channels": 3, "every": 1, "hop": 0},
        "arrays": {"name": "video_arrays", "path": path, "key": "", "label_key": ""},
    }[name]
    config.data = ConfigDict({**data, "split": "train"})
    config.held_out = ConfigDict({**data, "split": "test"})
    config.process = ConfigDict({"name": "cosine"})
    config.parameterization = ConfigDict({"name": "v"})
    config.loss = ConfigDict({"name": "diffusion", "weight": {"name": "simple"}, "times": {"name": "stratified"}})
    digits = name == "digits"
    config.net = ConfigDict(
        {
            "name": "unet_video",
            "channels": 32 if digits else 64,
            "multipliers": (1, 2) if digits else (1, 2, 4),
            "blocks": 1 if digits else 2,
            "attention": (),
            "patch": 2,
            "groups": 8,
            "heads": 4,
            "dropout": 0.0,
            "num_classes": 10 if digits else 0,
            "alone": 0.1,
            "dtype": "float32",
        }
    )
    config.optimizer.update(learning_rate=1e-3, warmup=200)
    config.ema = ConfigDict({"decay": (), "half_life": (), "sigma_rel": (0.1,)})
    config.train.update(batch_size=16, steps=4000, log_every=50, sample_every=1000, checkpoint_every=500)
    config.train.cond_dropout = 0.1 if digits else 0.0
    config.sample = ConfigDict({"sampler": {"name": "dpmpp_2m"}, "steps": 50, "grid": {"name": "uniform"}, "clip": 1.0})
    return config
