"""Score-based models through stochastic differential equations (Song et al. 2021).

    python train.py --config=configs/score_sde.py:vp           the embedded digits, a few minutes on 2 CPU cores
    python train.py --config=configs/score_sde.py:sub_vp
    python train.py --config=configs/score_sde.py:ve
    python train.py --config=configs/score_sde.py:vp-cifar10   likewise sub_vp-cifar10 and ve-cifar10

and after the dash the other settings of configs/ddpm.py. vp and sub_vp are sampled by Euler and Maruyama's method, ve
by reverse diffusion with a Langevin corrector, as in the paper, whose deeper networks reach FID 2.41 (vp), 2.41
(sub_vp) and 2.20 (ve) on CIFAR-10. Pixels are in [-1, 1] here, so the sigma of ve is twice the paper's.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm
from jaxdiff.errors import unknown


def get_config(setting: str = "vp") -> ConfigDict:
    """The configuration of one of the settings above."""
    path, _, data = setting.partition("-")
    if path not in ("vp", "sub_vp", "ve"):
        raise unknown("setting", setting, ["vp", "sub_vp", "ve", "vp-cifar10", "sub_vp-cifar10", "ve-cifar10"])
    config = ddpm.get_config(data or "digits")
    config.loss = ConfigDict(
        {"name": "diffusion", "weight": {"name": "eps"}, "times": {"name": "stratified", "t_min": 1e-5}}
    )
    config.sample.steps = 1000
    if path == "ve":
        sigma_max = 20.0 if not data else 100.0
        config.process = ConfigDict({"name": "ve", "sigma_min": 0.02, "sigma_max": sigma_max})
        config.parameterization = ConfigDict({"name": "eps", "unit_input": True})
        config.sample.sampler = ConfigDict({"name": "reverse_diffusion", "corrector": "langevin", "snr": 0.16})
        config.sample.grid = ConfigDict({"name": "uniform", "t_min": 1e-5})
    else:
        config.process = ConfigDict({"name": path, "beta_min": 0.1, "beta_max": 20.0})
        config.sample.sampler = ConfigDict({"name": "euler_maruyama"})
        config.sample.grid = ConfigDict({"name": "uniform", "t_min": 1e-3})
    if data == "cifar10":
        config.train.steps = 1_300_000
    return config
