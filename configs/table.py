"""Tables of numbers: a residual MLP, EDM's preconditioning, columns of mean 0 and standard deviation 1.

    python train.py --config=configs/table.py                  the embedded breast cancer table, a minute on 2 CPU cores
    python train.py --config=configs/table.py:classes          the same, with its two classes
    python train.py --config=configs/table.py:file=PATH        your own .csv, .npy or .npz of numbers
    python sample.py --workdir runs/table --num 1000           samples.csv, in the table's own units

With classes of your own: --config.data.label=COLUMN --config.net.num_classes=3.
"""

from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.errors import unknown


def get_config(setting: str = "breast_cancer") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    if name not in ("breast_cancer", "classes", "file") or (name == "file") != bool(path):
        raise unknown("setting", setting, ["breast_cancer", "classes", "file=PATH"])
    config = ConfigDict(schema.defaults())
    config.data = ConfigDict({"name": "breast_cancer", "split": "train"})
    config.held_out = ConfigDict({"name": "breast_cancer", "split": "test"})
    if name == "file":
        config.data = ConfigDict({"name": "table", "path": path})
        config.held_out = ConfigDict()
    config.process = ConfigDict({"name": "edm", "sigma_max": 80.0})
    config.parameterization = ConfigDict({"name": "edm", "sigma_data": 1.0})
    config.loss = ConfigDict(
        {
            "name": "diffusion",
            "weight": {"name": "edm", "sigma_data": 1.0},
            "times": {"name": "log_normal", "mean": -0.5, "std": 1.2},  # EDM's, for data twice as wide
        }
    )
    net = {
        "widths": (128, 256, 128),
        "blocks": 3,
        "embedding": 128,
        "dropout": 0.1,
        "dropout_out": 0.0,
        "num_classes": 0,
    }
    config.net = ConfigDict({"name": "mlp", **net})
    config.optimizer.update(learning_rate=1e-3, warmup=100)
    config.ema.decay = (0.998,)
    config.train.update(batch_size=256, steps=2000, log_every=50, sample_every=500, checkpoint_every=500)
    config.sample = ConfigDict(
        {"sampler": {"name": "heun"}, "steps": 64, "grid": {"name": "karras"}, "clip": float("inf")}
    )
    if name == "classes":
        config.net.num_classes = 2
        config.train.cond_dropout = 0.1
    return config
