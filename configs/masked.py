"""Masked diffusion of text (Sahoo et al. 2024, MDLM; Shi et al. 2024, MD4).

    python train.py --config=configs/masked.py                 the embedded manual of Python, minutes on 2 CPU cores
    python train.py --config=configs/masked.py:text=FILE.txt   your own text
    python train.py --config=configs/masked.py:smiles=FILE     a molecule a line; any file of short lines
    python sample.py --workdir runs/masked --num 100           samples.txt

Symbols are characters; --config.data.symbols=bytes, or pairs --config.data.size=1024, for others. The last 20th of the
text is held out: `python sample.py --workdir runs/masked --likelihood` measures bits a symbol there.
"""

from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.errors import unknown


def get_config(setting: str = "manual") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    if name not in ("manual", "text", "smiles") or (name == "manual") == bool(path):
        raise unknown("setting", setting, ["manual", "text=FILE", "smiles=FILE"])
    config = ConfigDict(schema.defaults())
    text = {
        "manual": {"name": "manual"},
        "text": {"name": "text", "path": path},
        "smiles": {"name": "lines", "path": path},
    }
    size = {} if name == "smiles" else {"length": 128}
    config.data = ConfigDict({**text[name], **size, "symbols": "characters", "size": 512, "split": "train"})
    if name != "smiles":
        config.data.stride = 32
    config.held_out = ConfigDict({**text[name], **size, "symbols": "characters", "size": 512, "split": "test"})
    config.process = ConfigDict({"name": "masked", "schedule": "linear"})
    config.parameterization = ConfigDict({"name": "subs", "timed": False})
    config.loss = ConfigDict({"name": "symbols", "objective": "elbo", "times": {"name": "stratified", "t_min": 1e-3}})
    net = {"width": 128, "blocks": 4, "heads": 4, "hidden": 4, "dropout": 0.0, "num_classes": 0}
    config.net = ConfigDict({"name": "sequence", **net})
    config.optimizer.update(learning_rate=2e-3, warmup=100)
    config.ema.decay = (0.998,)
    config.train.update(batch_size=32, steps=2000, log_every=50, sample_every=500, checkpoint_every=500)
    config.sample = ConfigDict(
        {
            "sampler": {"name": "ancestral_symbols"},
            "steps": 128,
            "grid": {"name": "uniform"},
            "clip": float("inf"),
        }
    )
    return config
