"""OpenMoji at 32 pixels by class, for 2 CPU cores: the recipe of the model that comes with the library.

    python train.py --config=configs/openmoji.py --config.data.path=openmoji32.npz --config.held_out.path=openmoji32.npz
    python sample.py --workdir runs/openmoji --label face --guidance 1 --num 16

The file holds train_images, uint8 (n, 32, 32, 3) on white, train_labels, int32, and the same of a tenth that is held
out. The figures are those of OpenMoji 17, CC BY-SA 4.0; of all skin tones of a figure it has two, so that people are a
third of all. EDM's process and preconditioning (Karras et al. 2022), on patches of 2x2 pixels: per image, that costs a
quarter of the same network at full size. The model that comes with the library had 5,300 of the 9,000 steps. No flips:
letters, flags and clocks do not survive them.
"""

from ml_collections import ConfigDict

from jaxdiff.configs import edm

CLASSES = "activity,animal,clothing,face,family,flag,food,hand,nature,object,person,place,sign,vehicle"
"""By their labels, from 0."""
SIGMA_DATA = 0.88
"""Root mean square of the pixels; white is 1."""


def get_config() -> ConfigDict:
    """The configuration of the model."""
    config = edm.get_config("arrays=openmoji32.npz")
    for part, split in (("data", "train"), ("held_out", "test")):
        file = {"name": "arrays", "path": "openmoji32.npz", "key": f"{split}_images", "label_key": f"{split}_labels"}
        config[part] = ConfigDict({**file, "classes": CLASSES})
    config.parameterization.sigma_data = config.loss.weight.sigma_data = SIGMA_DATA
    config.loss.times.mean = -0.8  # EDM's -1.2 is for pixels of root mean square 0.5
    config.net.update(channels=48, multipliers=(1, 2, 2), blocks=1, attention=(8,), dropout=0.05, patch=2, groups=16)
    config.net.update(num_classes=len(CLASSES.split(",")), scale_shift=True, head_channels=48)
    config.optimizer.update(learning_rate=1.5e-3, warmup=200)
    config.optimizer.schedule = ConfigDict({"name": "exponential_decay", "transition_steps": 3000, "decay_rate": 0.5})
    config.ema = ConfigDict({"decay": (), "half_life": (), "sigma_rel": (0.1,)})
    config.train.update(choose=False, batch_size=32, steps=9000, cond_dropout=0.1, log_every=50)
    config.train.update(sample_every=2000, checkpoint_every=500, held_out_examples=258)
    return config
