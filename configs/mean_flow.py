"""MeanFlow (Geng et al. 2025): mean velocities from the start, one step without a teacher.

    python train.py --config=configs/mean_flow.py              the embedded digits
    python train.py --config=configs/mean_flow.py:cifar10
    python sample.py --workdir runs/mean_flow --steps 2

and the other settings of configs/ddpm.py. The network is told the end of each step; it is differentiated by time, which
it therefore sees on a scale of 20, not of 1000 steps.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import flow


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = flow.get_config(setting)
    config.parameterization = ConfigDict({"name": "velocity", "time_scale": 20.0})
    config.loss = ConfigDict({"name": "mean_flow", "mean": -0.4, "std": 1.0, "equal": 0.75, "power": 1.0})
    config.optimizer.update(b2=0.95)
    config.sample = ConfigDict(
        {"sampler": {"name": "jump"}, "steps": 1, "grid": {"name": "uniform"}, "clip": float("inf")}
    )
    return config
