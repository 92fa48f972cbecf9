"""Tables of numbers and categories (after Kotelnikov et al. 2023, TabDDPM, and Shi et al. 2025, TabDiff).

    python train.py --config=configs/tables.py                 an embedded table of people, a minute on 2 CPU cores
    python train.py --config=configs/tables.py:csv=FILE.csv    your own table, with a header
    python sample.py --workdir runs/tables --num 10000         samples.csv, with its header and texts; report.json

Numbers become normal by their quantiles and are diffused as in DDPM with cosine noise; categories are masked. For
multinomial categories: --config.process.symbols.name=multinomial --config.parameterization.symbols.name=logits. A class
as condition: --config.data.label=COLUMN --config.held_out.label=COLUMN --config.net.num_classes=2. A fifth of the rows
is held out.
"""

from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.errors import unknown


def get_config(setting: str = "people") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    if name not in ("people", "csv") or (name == "csv") != bool(path):
        raise unknown("setting", setting, ["people", "csv=FILE"])
    config = ConfigDict(schema.defaults())
    data = {"name": "people"}
    if path:
        data = {"name": "columns", "path": path, "label": "", "ignore": "", "numbers": "", "categories": ""}
    config.data = ConfigDict({**data, "split": "train"})
    config.held_out = ConfigDict({**data, "split": "test"})
    config.process = ConfigDict(
        {"name": "product", "numbers": {"name": "cosine"}, "symbols": {"name": "masked", "schedule": "linear"}}
    )
    config.parameterization = ConfigDict({"name": "mixed", "numbers": {"name": "v"}, "symbols": {"name": "subs"}})
    config.loss = ConfigDict(
        {
            "name": "mixed",
            "objective": "elbo",
            "balance": 1.0,
            "times": {"name": "stratified", "t_min": 1e-3},
        }
    )
    net = {"width": 256, "hidden": 2, "blocks": 4, "embedding": 128, "dropout": 0.0, "num_classes": 0}
    config.net = ConfigDict({"name": "columns", **net})
    config.optimizer.update(learning_rate=1e-3, warmup=100)
    config.ema.decay = (0.998,)
    config.train.update(batch_size=512, steps=3000, log_every=50, sample_every=1000, checkpoint_every=1000)
    config.sample = ConfigDict(
        {"sampler": {"name": "columnwise"}, "steps": 100, "grid": {"name": "uniform"}, "clip": float("inf")}
    )
    return config
