"""Load: a trained model from a run's folder."""

import dataclasses
from pathlib import Path

from jaxdiff.config.build import build_core
from jaxdiff.config.record import find, read_record
from jaxdiff.errors import InputError, unknown
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.experiment import make_model
from jaxdiff.pipelines.model import Model
from jaxdiff.training.checkpoints.post_hoc import reconstruct
from jaxdiff.training.checkpoints.stored import check_depth, restore_weights
from jaxdiff.training.ema import names_of

__all__ = ["load", "load_any", "load_classifier"]


def load(path: str | Path, weights: str | float = "") -> Model:
    """A trained model from a run's folder, or from a folder of runs the newest, ready to sample.

    Args:
      weights: the name of one of the run's averages, by default the first; "params" for the weights as they are; or a
        number, for the power-function average of this relative standard deviation
        (`jaxdiff.training.checkpoints.post_hoc`).

    Raises:
      InputError: no run there, or none with a checkpoint; no such weights; or the run trained a classifier.
    """
    model = load_any(path, weights)
    if isinstance(model, Classifier):
        raise InputError(
            f"the run at {str(path)!r} is a classifier, which draws nothing: it guides another run, "
            "`sample.py --workdir RUN --task guide --classifier ...`"
        )
    return model


def load_classifier(path: str | Path, weights: str | float = "") -> Classifier:
    """Load a classifier as `load` does a model (configs/classifier.py)."""
    model = load_any(path, weights)
    if not isinstance(model, Classifier):
        raise InputError(f"the run at {str(path)!r} is no classifier: train one with --config=configs/classifier.py")
    return model


def load_any(path: str | Path, weights: str | float = "") -> Model | Classifier:
    """Load a model or a classifier, whichever the run trained."""
    folder = find(path)
    record = read_record(folder)
    check_depth(folder / "checkpoints", record.config.get("net"))
    model = make_model(record.config, build_core(record.config, record.spec), record.spec)
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
