"""Classifiers of noisy images, which lead a model that knows no classes to one (Dhariwal and Nichol 2021).

python train.py --config=configs/classifier.py                       the embedded digits, a minute on 2 CPU cores
python train.py --config=configs/classifier.py:fashion_mnist         28x28, some minutes on 2 CPU cores
python train.py --config=configs/classifier.py:fashion_mnist=PATH    the same from a .npz with train_images ...
python sample.py --workdir runs/ddpm --task guide --classifier runs/classifier --label 3 --scale 2
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm, guided
from jaxdiff.errors import unknown


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    if name not in ("digits", "fashion_mnist") or (path and name == "digits"):
        raise unknown("setting", setting, ["digits", "fashion_mnist", "fashion_mnist=PATH"])
    config = ddpm.get_config("digits") if name == "digits" else guided.fashion_mnist(path)
    times = {"name": "stratified"} if name == "digits" else {"name": "log_normal", "mean": 0.0, "std": 2.0}
    config.loss = ConfigDict({"name": "classification", "times": times})
    small = {"channels": 32, "multipliers": (1, 2), "blocks": 1, "dropout": 0.1, "groups": 16, "num_classes": 10}
    size = {"attention": (4,), "patch": 1} if name == "digits" else {"attention": (7,), "patch": 2}
    config.net = ConfigDict({"name": "classifier", **small, **size})
    config.optimizer.update(learning_rate=1e-3, warmup=50)
    config.train.update(steps=1000, cond_dropout=0.0, sample_every=500, checkpoint_every=500)
    return config
