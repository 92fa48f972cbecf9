"""Molecules with the coordinates and elements of all atoms: equivariant diffusion (Hoogeboom et al. 2022, EDM).

    python train.py --config=configs/molecules.py:npz=FILE.npz     arrays atomic_numbers and positions, see below
    python train.py --config=configs/molecules.py:sdf=FILE.sdf     or xyz=FILE.xyz, pdb=FILE.pdb
    python sample.py --workdir runs/molecules --num 100            samples.sdf, samples.xyz, report.json and a picture
    python sample.py --workdir runs/molecules --num 100 --atoms 17
    python train.py --config=configs/molecules.py:npz=FILE.npz,property=energy     an array (n,) as a condition
    python sample.py --workdir runs/molecules --num 100 --property -1500           in its own units

Needs `pip install 'jaxdiff[molecules]'` (RDKit). The recipe is that of the paper but for the output, which is v in
place of eps, and the size of the network (net.width=256, net.blocks=9 there): minutes on a CPU, docs/molecules.md. The
number of atoms is drawn as often as the data has it. 15.5 % of the molecules are held out.
"""

from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.errors import unknown


def get_config(setting: str = "") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    path, _, asked = path.partition(",property=")
    if name not in ("npz", "sdf", "xyz", "pdb") or not path:
        raise unknown("setting", setting, ["npz=FILE", "npz=FILE,property=ARRAY", "sdf=FILE", "xyz=FILE", "pdb=FILE"])
    config = ConfigDict(schema.defaults())
    data = {"name": "molecules", "path": path, "unit": "angstrom", "atoms": 0, "property": asked}
    config.data = ConfigDict({**data, "split": "train"})
    config.held_out = ConfigDict({**data, "split": "test"})
    config.process = ConfigDict({"name": "polynomial", "precision": 1e-5})
    config.parameterization = ConfigDict({"name": "v"})
    config.loss = ConfigDict(
        {"name": "diffusion", "weight": {"name": "simple"}, "times": {"name": "stratified", "t_min": 1e-3}}
    )
    told = {"vectors": {"property": 2}} if asked else {}
    config.net = ConfigDict({"name": "egnn", "width": 64, "blocks": 6, "reach": 15.0, **told})
    config.optimizer.update(learning_rate=1e-3, warmup=200)
    config.ema.decay = (0.999,)
    config.train.cond_dropout = 0.1 if asked else 0.0
    config.train.update(batch_size=32, steps=6000, log_every=50, sample_every=2000, checkpoint_every=500)
    config.sample = ConfigDict(
        {"sampler": {"name": "ancestral"}, "steps": 200, "grid": {"name": "uniform"}, "clip": float("inf")}
    )
    return config
