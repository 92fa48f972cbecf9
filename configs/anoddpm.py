"""AnoDDPM (Wyatt et al. 2022): simplex noise in place of normal noise, for anomalies larger than a pixel.

    python train.py --config=configs/anoddpm.py                the embedded digits, a few minutes on 2 CPU cores
    python train.py --config=configs/anoddpm.py:folder=PATH    your own pictures, which are all normal
    python sample.py --workdir runs/anoddpm --task detect --method reconstruction --input some.npz --normal held_out

and the other settings of configs/ddpm.py. The likelihood is that of normal noise, and is refused.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    config = ddpm.get_config(setting)
    config.process.noise = ConfigDict({"name": "simplex", "octaves": 6, "frequency": 2**-6, "persistence": 0.8})
    return config
