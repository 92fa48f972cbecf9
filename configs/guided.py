"""Class-conditional models for classifier-free guidance (Ho and Salimans 2022): one example in ten without its class.

python train.py --config=configs/guided.py                       the embedded digits, a few minutes on 2 CPU cores
python train.py --config=configs/guided.py:fashion_mnist         28x28, at some 200 images/s on 2 CPU cores
python train.py --config=configs/guided.py:fashion_mnist=PATH    the same from a .npz with train_images ...
python train.py --config=configs/guided.py:cifar10               the paper's network; wants a GPU
python sample.py --workdir runs/guided --label 3 --guidance 2
"""

from ml_collections import ConfigDict

from jaxdiff.configs import ddpm, edm
from jaxdiff.errors import unknown


def get_config(setting: str = "digits") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    if name not in ("digits", "fashion_mnist", "cifar10") or (path and name != "fashion_mnist"):
        raise unknown("setting", setting, ["digits", "fashion_mnist", "fashion_mnist=PATH", "cifar10"])
    if name == "fashion_mnist":
        return fashion_mnist(path)
    config = ddpm.get_config(name)
    config.net.num_classes = 10
    config.train.cond_dropout = 0.1
    config.sample.steps = 250
    return config


def fashion_mnist(path: str = "") -> ConfigDict:
    """Fashion-MNIST with classes, for a CPU: EDM's process and preconditioning, patches of 2x2 pixels.

    Args:
      path: of a .npz with train_images, train_labels, test_images and test_labels; "" for what
        `jaxdiff data prepare fashion_mnist` has prepared.
    """
    config = edm.get_config("fashion_mnist")
    sigma_data = 0.7
    config.parameterization.sigma_data = config.loss.weight.sigma_data = sigma_data
    for part, split in (("data", "train"), ("held_out", "test")):
        prepared = {"name": "tfds", "dataset": "fashion_mnist", "data_dir": "", "split": split}
        file = {"name": "arrays", "path": path, "key": f"{split}_images", "label_key": f"{split}_labels"}
        config[part] = ConfigDict(file if path else prepared)
    config.net.update(channels=48, multipliers=(1, 2), blocks=1, attention=(7,), dropout=0.0, patch=2, groups=16)
    config.net.num_classes = 10
    config.optimizer.update(learning_rate=2e-3, warmup=200)
    config.ema.decay = (0.999,)
    config.train.update(steps=6000, cond_dropout=0.1, log_every=50, sample_every=1000, checkpoint_every=500)
    return config
