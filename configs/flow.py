"""Flow matching along straight paths, also called rectified flow (Lipman et al. 2023; Liu et al. 2023).

    python train.py --config=configs/flow.py                   the embedded digits, a few minutes on 2 CPU cores
    python train.py --config=configs/flow.py:cifar10           conditional optimal transport (FID 6.35 in Lipman et al.)

and the other settings of configs/ddpm.py.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = ddpm.get_config(setting)
    config.process = ConfigDict({"name": "flow"})
    config.parameterization = ConfigDict({"name": "velocity"})
    config.loss = ConfigDict({"name": "diffusion", "weight": {"name": "simple"}, "times": {"name": "stratified"}})
    config.sample = ConfigDict({"sampler": {"name": "heun"}, "steps": 25, "grid": {"name": "uniform"}, "clip": 1.0})
    return config
