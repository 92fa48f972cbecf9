"""Video: a U-Net over space and time, or a transformer on patches of both (Sora's form), told the class.

    python train.py --config=configs/video.py                    digits that move and bounce, generated
    python train.py --config=configs/video.py:folder=PATH        .gif, .mp4 and folders of frames
    python train.py --config=configs/video.py:arrays=FILE.npz    (n, frames, height, width[, channels])
    python train.py --config=configs/video.py:digits-dit         the transformer; also folder-dit=PATH, arrays-dit=FILE
    python train.py --config=configs/video.py:folder-text=PATH   told captions, as docs/words.md has it
    python sample.py --workdir runs/video --label 3 --num 16     samples.gif, samples.png, clips/
    python sample.py --workdir runs/video-digits-dit --length 24 --size 16x32
    python sample.py --workdir runs/video --task extend --given 4 --method moment_matching
    python sample.py --workdir runs/video --task bridge --gap 4 12

The U-Net takes one video in ten as so many images (net.alone). Every tenth clip is held out; of the digits other
handwritings. From a model of images, trained with the same widths: --config.train.init=RUN; of a transformer that has
patches of one frame (net.patch_frames=1). With a noise level for each frame: --config.loss.name=frames.
"""

from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.configs.jit import MODERN
from jaxdiff.errors import unknown


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    name, _, net = name.partition("-")
    known = {"digits": ("", "dit"), "folder": ("", "dit", "text"), "arrays": ("", "dit", "text")}
    if net not in known.get(name, ()) or (name == "digits") == bool(path):
        raise unknown("setting", setting, ["digits[-dit]", "folder[-dit|-text]=PATH", "arrays[-dit|-text]=FILE"])
    config = ConfigDict(schema.defaults())
    data = {
        "digits": {"name": "moving_digits", "frames": 16, "size": 16},
        "folder": {"name": "clips", "path": path, "frames": 16, "size": 32, "channels": 3, "every": 1, "hop": 0},
        "arrays": {"name": "video_arrays", "path": path, "key": "", "label_key": ""},
    }[name]
    if net == "text":
        data |= {"captions": "auto"} if name == "folder" else {"caption_key": "captions"}
    config.data = ConfigDict({**data, "split": "train"})
    config.held_out = ConfigDict({**data, "split": "test"})
    config.process = ConfigDict({"name": "cosine"})
    config.parameterization = ConfigDict({"name": "v"})
    config.loss = ConfigDict({"name": "diffusion", "weight": {"name": "simple"}, "times": {"name": "stratified"}})
    digits = name == "digits"
    config.net = ConfigDict(_transformer(digits) if net else _unet(digits))
    if net == "text":
        config.net.text = ConfigDict({"width": 128, "depth": 2, "heads": 4, "vocabulary": 1024})
    config.optimizer.update(learning_rate=1e-3, warmup=200)
    config.ema = ConfigDict({"decay": (), "half_life": (), "sigma_rel": (0.1,)})
    config.train.update(batch_size=16, steps=4000, log_every=50, sample_every=1000, checkpoint_every=500)
    config.train.cond_dropout = 0.1 if digits or net == "text" else 0.0
    config.sample = ConfigDict({"sampler": {"name": "dpmpp_2m"}, "steps": 50, "grid": {"name": "uniform"}, "clip": 1.0})
    return config


def _unet(digits: bool) -> dict:
    return {
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


def _transformer(digits: bool) -> dict:
    return {
        "name": "dit",
        **MODERN,
        "depth": 6 if digits else 12,
        "width": 128 if digits else 384,
        "heads": 4 if digits else 6,
        "patch": 4,
        "patch_frames": 2,
        "num_classes": 10 if digits else 0,
        "dropout": 0.0,
        "dtype": "float32",
        "remat": "none",
    }
