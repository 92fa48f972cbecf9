"""Sound: a U-Net over time on waves, told the class.

    python train.py --config=configs/audio.py                    plucked strings of twelve notes, generated
    python train.py --config=configs/audio.py:folder=PATH        your own .wav; sub-folders are classes
    python train.py --config=configs/audio.py:speakers=PATH      CLASS/SPEAKER/NAME.wav, told the speaker, too
    python train.py --config=configs/audio.py:npz=FILE           waves in a .npz: --config.data.key, .label_key ...
    python sample.py --workdir runs/audio --label A --num 16     samples.wav, samples.png, waves/
    python sample.py --workdir runs/audio --task extend --given 0.1
    python sample.py --workdir RUN --speaker george --num 16     of a run that was told the speaker

Waves are divided by the standard deviation of the set; 32 samples become the channels of one step (on an accelerator,
--config.net.patch=8, and more channels). The network of DiffWave: configs/diffwave.py, with the same settings. Every
tenth file is held out, or of a .npz what --config.data.test_key says. Classes are told if --config.net.num_classes is
their number.
"""

from pathlib import Path

from ml_collections import ConfigDict

from jaxdiff.config import schema
from jaxdiff.errors import unknown


def get_config(setting: str = "notes") -> ConfigDict:
    """The configuration of one of the settings above."""
    name, _, path = setting.partition("=")
    if name not in ("notes", "folder", "speakers", "npz") or (name == "notes") == bool(path):
        raise unknown("setting", setting, ["notes", "folder=PATH", "speakers=PATH", "npz=FILE"])
    config = ConfigDict(schema.defaults())
    data = {
        "notes": {"name": "notes"},
        "folder": {"name": "recordings", "path": path, "resample": False, "speakers": False},
        "speakers": {"name": "recordings", "path": path, "resample": False, "speakers": True},
        "npz": {"name": "waves", "path": path, "offset_key": "", "label_key": "", "speaker_key": "", "test_key": ""},
    }[name]
    size = {"length": 2048 if name == "notes" else 0, "rate": 8000 if name == "notes" else 0}
    config.data = ConfigDict({**data, **size, "split": "train"})
    config.held_out = ConfigDict({**data, **size, "split": "test"})
    config.process = ConfigDict({"name": "cosine"})
    config.parameterization = ConfigDict({"name": "v"})
    config.loss = ConfigDict({"name": "diffusion", "weight": {"name": "simple"}, "times": {"name": "stratified"}})
    config.net = ConfigDict(
        {
            "name": "unet1d",
            "channels": 96,
            "multipliers": (1, 2),
            "blocks": 1,
            "kernel": 3,
            "patch": 32,
            "attention": True,
            "heads": 4,
            "dropout": 0.0,
            "num_classes": 12 if name == "notes" else 0,
            "dtype": "float32",
        }
    )
    if name == "speakers":
        config.net.vectors = ConfigDict({"speaker": _speakers(path)})
    config.optimizer.update(learning_rate=1e-3, warmup=200)
    config.ema = ConfigDict({"decay": (), "half_life": (), "sigma_rel": (0.1,)})
    config.train.update(batch_size=32, steps=4000, log_every=50, sample_every=1000, checkpoint_every=500)
    config.train.cond_dropout = 0.1 if name in ("notes", "speakers") else 0.0
    config.sample = ConfigDict(
        {"sampler": {"name": "dpmpp_2m"}, "steps": 50, "grid": {"name": "uniform"}, "clip": float("inf")}
    )
    return config


def _speakers(path: str) -> int:
    """How many speakers have .wav files in CLASS/SPEAKER/ below a folder."""
    root = Path(path).expanduser()
    places = [file.relative_to(root).parts for file in root.rglob("*") if file.suffix.lower() == ".wav"]
    return max(1, len({parts[1] for parts in places if len(parts) > 2 and not parts[1].startswith((".", "__"))}))
