"""Conformers of molecules by AlphaFold 3's recipe (Abramson et al. 2024), for ligands.

    python train.py --config=configs/conformers.py:sdf=FILE.sdf    molecules with coordinates, of up to 24 heavy atoms
    python train.py --config=configs/conformers.py:npz=FILE.npz    the same as arrays (docs/structures.md)
    python train.py --config=configs/conformers.py:ccd=all         all ligands of the wwPDB's dictionary, of biotite
    python train.py --config=configs/conformers.py:ccd=ATP,ADP     or some, by their codes
    python sample.py --workdir runs/conformers --smiles "CCO" --num 10 --out conformers.sdf

Needs `pip install 'jaxdiff[molecules]'`. A transformer over atoms, told the graph of the molecule, draws the positions
of its heavy atoms in Angstrom. sigma_data is that of small ligands. For larger molecules, --config.data.most=48, and
the deviation of their coordinates wherever sigma_data is set, and in loss.times.mean (its logarithm less 1.2).
"""

import math

from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.errors import unknown

SIGMA_DATA = 2.0


def get_config(setting: str = "") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    if name not in ("sdf", "npz", "ccd") or not path:
        raise unknown("setting", setting, ["sdf=FILE", "npz=FILE", "ccd=all", "ccd=CODE,CODE"])
    path = f"ccd:{path}" if name == "ccd" else path
    config = ConfigDict(schema.defaults())
    config.data = ConfigDict({"name": "conformers", "path": path, "split": "train", "most": 24})
    config.held_out = ConfigDict({"name": "conformers", "path": path, "split": "test", "most": 24})
    config.process = ConfigDict({"name": "edm", "sigma_max": 40 * SIGMA_DATA})
    config.parameterization = ConfigDict({"name": "edm", "sigma_data": SIGMA_DATA})
    config.loss = ConfigDict(
        {
            "name": "structures",
            "aligned": True,
            "lddt": 1.0,
            "weight": {"name": "edm", "sigma_data": SIGMA_DATA},
            "times": {"name": "log_normal", "mean": math.log(SIGMA_DATA) - 1.2, "std": 1.5},
        }
    )
    net = {"width": 128, "blocks": 6, "heads": 8, "hidden": 2, "pair_width": 32, "distances": 16, "dropout": 0.0}
    config.net = ConfigDict({"name": "set_transformer", **net})
    config.optimizer.update(learning_rate=1e-3, warmup=200)
    config.ema.decay = (0.999,)
    config.train.update(batch_size=64, steps=20_000, log_every=50, sample_every=2000, checkpoint_every=500, rotate=True)
    churned = {"churn": 0.8, "churn_noise": 1.003, "churn_min": 0.1, "step_scale": 1.5, "turned": True}
    config.sample = ConfigDict(
        {
            "sampler": {"name": "churned", **churned},
            "steps": 100,
            "grid": {"name": "karras", "sigma_max": 20 * SIGMA_DATA, "sigma_min": 1e-3 * SIGMA_DATA, "rho": 7.0},
            "clip": float("inf"),
        }
    )
    return config
