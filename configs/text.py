"""Text to image: a small transformer that reads captions, trained together with the one that draws.

    python train.py --config=configs/text.py                     scenes of colored digits
    python train.py --config=configs/text.py:openmoji=PATH       a .npz of train_images, train_captions, test_...
    python train.py --config=configs/text.py:folder=PATH         your own pictures with captions (docs/words.md)
    python sample.py --workdir runs/text --prompt "a red seven above a green three" --guidance 3 --num 4

Captions need `pip install 'jaxdiff[text]'`. The network is that of configs/jit.py, which predicts the clean image, told
the caption by attention in each block; one caption in ten is replaced by the empty one, for guidance.
"""

from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.configs import jit
from jaxdiff.errors import unknown


def get_config(setting: str = "scenes") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    settings = {"scenes": _scenes, "openmoji": _openmoji, "folder": _folder}
    if name not in settings or (name != "scenes") != bool(path):
        raise unknown("setting", setting, [s if s == "scenes" else s + "=PATH" for s in settings])
    config = ConfigDict(schema.defaults())
    config.held_out = ConfigDict()
    jit.straight(config)
    # Where a thing stands is settled in noise from which nothing can be told yet: of times around 0.5 (mean=0) a model
    # learns colors and shapes, and never a place.
    config.loss.times.update(mean=1.0, std=1.0)
    config.net = ConfigDict({"name": "dit", **jit.MODERN, "dropout": 0.0, "dtype": "float32", "remat": "none"})
    config.net.text = ConfigDict({"width": 96, "depth": 2, "heads": 4, "vocabulary": 1024, "activation": "gelu_tanh"})
    config.optimizer.update(name="adamw", learning_rate=1e-3, warmup=200, b2=0.99, weight_decay=0.01)
    config.ema = ConfigDict({"decay": (), "half_life": (), "sigma_rel": (0.1,)})
    config.train.update(batch_size=64, cond_dropout=0.1, log_every=50, sample_every=1000, checkpoint_every=500)
    config.train.held_out_examples = 256
    settings[name](config, *([path] if path else []))
    return config


def _scenes(config: ConfigDict) -> None:
    config.data = ConfigDict({"name": "scenes", "split": "train", "n": 50_000, "objects": 4})
    config.held_out = ConfigDict({"name": "scenes", "split": "test", "n": 1000, "objects": 4})
    config.net.update(depth=6, width=128, heads=4, patch=4)
    config.train.steps = 6000


def _openmoji(config: ConfigDict, path: str) -> None:
    for part, split in (("data", "train"), ("held_out", "test")):
        keys = {"key": f"{split}_images", "caption_key": f"{split}_captions"}
        config[part] = ConfigDict({"name": "arrays", "path": path, **keys})
    config.net.update(depth=8, width=192, heads=6, patch=4)
    config.net.text.vocabulary = 2048
    config.train.steps = 40_000


def _folder(config: ConfigDict, path: str) -> None:
    config.data = ConfigDict(
        {"name": "folder", "path": path, "size": 32, "channels": 3, "flip": False, "captions": "auto"}
    )
    config.net.update(depth=8, width=192, heads=6, patch=4)
    config.net.text.vocabulary = 2048
    config.train.update(steps=40_000, held_out_examples=0)
