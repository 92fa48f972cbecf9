"""Control nets (Zhang, Rao and Agrawala 2023): a trained model learns to follow a picture, and stays as it is.

python train.py --config=configs/control.py:RUN,edges          the edges of the images that RUN was trained on
python train.py --config=configs/control.py:RUN,distance       how far each pixel of a figure is from its outline
python sample.py --workdir runs/control --task follow --input PICTURES --strength 1

Data, process, network and what is drawn are the run's, whose network has to be a U-Net; a copy of its way down is
trained, and all else is frozen. A strength of 0 draws what RUN draws.
"""

from ml_collections import ConfigDict

from jaxdiff.config.record import find, read_record, with_tuples
from jaxdiff.errors import InputError, unknown

CONTROLS = ("edges", "distance")


def get_config(setting: str = "runs/guided,edges") -> ConfigDict:
    """The configuration of one of the settings above."""
    run, _, name = setting.rpartition(",")
    if not run or name not in CONTROLS:
        raise unknown("setting", setting, [f"RUN,{control}" for control in CONTROLS])
    config = ConfigDict(with_tuples(read_record(find(run)).config))
    if config.net.name != "unet":
        raise InputError(f"{run!r}: its net is {config.net.name!r}, and a control net is a copy of a unet's way down")
    config.train.update(init=str(find(run)), choose=False, minutes=0.0, control=name, freeze="!control")
    return config
