"""Models that enlarge small images (Saharia et al. 2021, SR3), and the stages of a cascade (Ho et al. 2022).

    python train.py --config=configs/super_resolution.py                 the embedded digits, 4x4 to 8x8: minutes
    python train.py --config=configs/super_resolution.py:digits_4        draws digits of 4x4, a first stage
    python train.py --config=configs/super_resolution.py:fashion_mnist_7_28=PATH
    python train.py --config=configs/super_resolution.py:fashion_mnist_7=PATH, fashion_mnist_7_14, fashion_mnist_14_28
    python sample.py --workdir runs/super_resolution --task upscale --degrade
    python sample.py --workdir runs/super_resolution-digits_4 --task cascade --then runs/super_resolution

Without a path, Fashion-MNIST is what `jaxdiff data prepare fashion_mnist` has prepared.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import edm, guided
from jaxdiff.errors import unknown

STAGES = {"digits": (8, ((4,), (4, 8))), "fashion_mnist": (28, ((7,), (7, 14), (14, 28), (7, 28)))}
"""Of each data set: the size of its images, and the stages that there are: from which size to which."""


def get_config(setting: str = "digits_4_8") -> ConfigDict:
    """The configuration of one of the stages above, its data and sizes in its name."""
    name, _, path = setting.partition("=")
    for data, (full, stages) in STAGES.items():
        for sizes in stages:
            if name == "_".join([data, *map(str, sizes)]) and (not path or data == "fashion_mnist"):
                return _stage(guided.fashion_mnist(path) if path or full == 28 else _digits(), full, sizes)
    allowed = ["_".join([data, *map(str, s)]) for data, (_, stages) in STAGES.items() for s in stages]
    raise unknown("setting", setting, allowed)


def _digits() -> ConfigDict:
    config = edm.get_config("digits")
    config.net.num_classes = 10
    config.train.cond_dropout = 0.1
    return config


def _stage(config: ConfigDict, full: int, sizes: tuple[int, ...]) -> ConfigDict:
    size = sizes[-1]
    config.net.patch = 2 if size == 28 else 1
    deep = size // config.net.patch % 2 == 0
    config.net.update(multipliers=(1, 2) if deep else (2,), attention=(size // config.net.patch // (2 if deep else 1),))
    config.train.downsample = full // size
    if len(sizes) == 2:
        config.train.update(upscale=size // sizes[0], low_res_noise=0.3)
        config.net.num_classes = 0  # the small image tells enough
    if full == 28:
        config.train.steps = 1500
    return config
