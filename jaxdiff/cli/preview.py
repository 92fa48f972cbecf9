"""Watch: what a run shows while it trains, of held-out data where there is some: figures, and pictures.

A model draws a grid from each of its averages, always from the same noise; one that is told more than classes shows
what it makes of that above the originals, and images that it is told above both. Of a classifier it is the accuracy at
each noise level.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxdiff.config import build
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError, unknown
from jaxdiff.evaluation import held_out
from jaxdiff.modalities.images import pictures
from jaxdiff.pipelines import classifier
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite
from jaxdiff.training import hosts, log
from jaxdiff.types import Array, Batch, Key, Params

logger = logging.getLogger(__name__)

SHOWN, ENLARGED, CLASSIFIED = 64, 16, 1000
LEVELS = np.geomspace(0.02, 50, 12)
"""Noise levels sigma / alpha at which a classifier is measured."""


def monitor(config: dict, model: Model | Classifier) -> Callable[[Params], dict[str, float]]:
    """What is measured at each checkpoint, on the first average: nothing, unless `train.held_out_examples` says so."""
    settings = config["train"]
    wanted = settings["held_out_examples"]
    if wanted and isinstance(model, Classifier):
        raise InputError("train.held_out_examples: goes with denoisers; a classifier is measured at each sample_every")
    metrics = ["", "loss", *(["held_out_mse"] if wanted else [])]
    if settings["keep_best"] not in metrics:
        raise unknown("train.keep_best (held_out_mse needs train.held_out_examples)", settings["keep_best"], metrics)
    if not wanted or isinstance(model, Classifier):
        return lambda params: {}
    return held_out.make_monitor(model, build.held_out(config), wanted)


def make_preview(config: dict, model: Model | Classifier, source: Source, key: Key):
    """`(averages, workdir, journal, step)`: shows what each average, `(name, params)`, has learned so far."""
    if isinstance(model, Model) and not model.conditions.keys() - {"label"}:
        return lambda *given: _drawn(model, key, None, *given)
    source = build.held_out(config) if config.get("held_out") else source
    if isinstance(model, Model):
        batch = held_out.examples(model, source, min(ENLARGED, source.size))
        return lambda *given: _drawn(model, key, batch, *given)
    batch = source.take(np.arange(min(CLASSIFIED, source.size)))
    return lambda *given: _measured(model, key, batch, *given)


def _drawn(
    model: Model,
    key: Key,
    batch: Batch | None,
    averages: Iterable[tuple[str, Params]],
    workdir: Path,
    journal: log.Log | log.Silent,
    step: int,
) -> None:
    """samples.png of the first average, samples-NAME.png of all others."""
    for i, (name, params) in enumerate(averages):
        each = replace(model, params=params)
        if batch is None or not batch.condition:
            images, columns = _seen(name, each.sample(key, SHOWN)), None
        else:
            given, columns = batch.condition, len(batch.x_0)
            above = [value for value in given.values() if np.shape(value) == np.shape(batch.x_0)]
            drawn = _seen(name, each.sample(key, columns, condition=given))
            images = np.concatenate([*above, drawn, batch.x_0])
        if hosts.is_writer():
            file = workdir / (f"samples-{name}.png" if i else "samples.png")
            with log.surviving(file.name):
                pictures.save_grid(file, images, columns, note=f"{name} of step {step:,}")
            journal.picture(step, f"samples/{name}", pictures.grid(images, columns))


def _seen(name: str, images: Array) -> np.ndarray:
    """What can be shown of images, with a warning where that is not all: pixels that are not finite are black."""
    try:
        return finite(np.asarray(images))
    except InputError as error:
        logger.warning("samples of %s: %s", name, error)
        return np.nan_to_num(images, nan=-1.0, posinf=-1.0, neginf=-1.0)


def _measured(
    model: Classifier,
    key: Key,
    batch: Batch,
    averages: Iterable[tuple[str, Params]],
    workdir: Path,
    journal: log.Log | log.Silent,
    step: int,
) -> None:
    """samples.png: the accuracy by noise level."""
    curves = {}
    for name, params in averages:
        right = np.asarray(classifier.accuracy(model, params, key, batch, jnp.asarray(LEVELS, jnp.float32)))
        curves[f"accuracy of {name}"] = list(zip(LEVELS, right, strict=True))
        journal.scalars(step, {f"accuracy_{name}": float(right.mean())})
    if hosts.is_writer():
        with log.surviving("samples.png"):
            pictures.save_curves(workdir / "samples.png", curves, xlabel="noise level", xscale="log", yscale="linear")
