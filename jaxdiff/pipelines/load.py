"""Load: a trained model from a run's folder."""

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from jaxdiff.config.build import build_core
from jaxdiff.config.given import with_parts
from jaxdiff.config.record import RELEASED, find, read_record
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.images import coded
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.coder import Coder
from jaxdiff.pipelines.experiment import Trained, make_model
from jaxdiff.pipelines.folder import FILE, read_weights, stored_names
from jaxdiff.pipelines.foreign import FILES, INDEX, load_foreign, load_single
from jaxdiff.pipelines.model import Model
from jaxdiff.training.checkpoints.post_hoc import reconstruct
from jaxdiff.training.checkpoints.stored import check_depth, count_of, restore_weights
from jaxdiff.training.ema import names_of

__all__ = ["load", "load_any", "load_classifier", "load_coder", "released"]


def load(path: str | Path, weights: str | float = "", **parts: Any) -> Model:
    """A trained model, ready to sample: of a run, of the newest in a folder of runs, or of a model folder.

    A folder that diffusers saved is loaded as well (`jaxdiff.pipelines.foreign`): pipelines of one U-Net, such as
    DDPM's, and Stable Diffusion 1, 2 and XL, these also from a single .safetensors (`jaxdiff.interop.single_file`).

    Args:
      path: of the folder; or the name of a model that comes with the library (`jaxdiff.released`).
      weights: the name of one of the run's averages, by default the first; "params" for the weights as they are; or a
        number, for the power-function average of this relative standard deviation
        (`jaxdiff.training.checkpoints.post_hoc`). A model folder has no other weights than its own.
      **parts: what was given in Python in place of a name, such as `net`, and cannot be read from a file; of a folder
        of diffusers, `scheduler`, `variant`, `size`, `control` and `dtype` (`jaxdiff.interop.latent.read_latent`).

    Raises:
      InputError: no run there, or none with a checkpoint; no such weights; or the run trained a classifier.
    """
    if os.path.isfile(Path(path) / INDEX):  # which takes any path, also one that cannot be
        if weights:
            raise InputError(f"weights={weights}: a folder of diffusers has one kind; for files such as fp16, variant=")
        return load_foreign(Path(path), **parts)
    if Path(path).suffix in FILES and os.path.isfile(path):
        return load_single(Path(path), str(weights), **parts)
    model = load_any(path, weights, **parts)
    if isinstance(model, Classifier):
        raise InputError(
            f"the run at {str(path)!r} is a classifier, which draws nothing: it guides another run, "
            "`sample.py --workdir RUN --task guide --classifier ...`"
        )
    if isinstance(model, Coder):
        raise InputError(
            f"the run at {str(path)!r} is an autoencoder, which draws nothing: it codes images for another run, "
            f"`jaxdiff data latents FOLDER --workdir {path}`"
        )
    return model


def released(path: str | Path) -> str | Path:
    """The folder of a model that comes with the library, if that is what is named; else the path as it is."""
    folder = RELEASED / str(path)
    named = isinstance(path, str) and re.fullmatch(r"[\w-]{1,100}", path) and not Path(path).exists()
    return folder if named and (folder / FILE).is_file() else path


def load_classifier(path: str | Path, weights: str | float = "") -> Classifier:
    """Load a classifier as `load` does a model (configs/classifier.py)."""
    model = load_any(path, weights)
    if not isinstance(model, Classifier):
        raise InputError(f"the run at {str(path)!r} is no classifier: train one with --config=configs/classifier.py")
    return model


def load_coder(path: str | Path, weights: str | float = "") -> Coder:
    """Load an autoencoder as `load` does a model (configs/autoencoder.py)."""
    coder = load_any(path, weights)
    if not isinstance(coder, Coder):
        raise InputError(f"the run at {str(path)!r} is no autoencoder: train one with --config=configs/autoencoder.py")
    return coder


def load_any(path: str | Path, weights: str | float = "", **parts: Any) -> Trained:
    """Load a model, a classifier or an autoencoder, whichever the run trained."""
    folder = find(released(path))
    record = read_record(folder)
    config = with_parts(record.config, parts)
    mailed = (folder / FILE).is_file()
    coded.learn(record.spec, folder)
    count = len(stored_names(folder)) if mailed else count_of(folder / "checkpoints")
    check_depth(f"{str(folder)!r}", count, record.config.get("net"))
    model = make_model(config, build_core(config, record.spec), record.spec)
    if mailed:
        if weights:
            raise InputError(f"weights={weights}: {str(folder)!r} is a model folder, which has one kind: leave it out")
        params, described = read_weights(folder, model.params)
        return dataclasses.replace(model, params=params, weights=described)
    checkpoints, names = folder / "checkpoints", names_of(record.config["ema"])
    name = weights or names[0]
    if name in (*names, "params"):
        step, params = restore_weights(checkpoints, str(name), model.params)
        described = f"{name} of step {step:,}"
    else:
        try:
            std = float(name)
        except ValueError as error:
            raise unknown("weights", name, [*names, "params", "a number"]) from error
        described, params = reconstruct(checkpoints, std, names, model.params)
    return dataclasses.replace(model, params=params, weights=described)
