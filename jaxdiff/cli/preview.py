"""Watch: what a run shows while it trains, of held-out data where there is some: figures, and pictures.

A model draws from each of its averages, always from the same noise, and the modality of its data shows that
(`jaxdiff.modalities`); one that is told more than classes shows what it makes of that beside the originals. Of a
classifier it is the accuracy at each noise level, and of an autoencoder images above what comes back of them.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.config import build
from jaxdiff.config.sampling import has_symbols
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError, unknown
from jaxdiff.evaluation import during, held_out
from jaxdiff.evaluation.features import find_features
from jaxdiff.evaluation.sets import in_own_units
from jaxdiff.gaussian.process import Process, log_snr
from jaxdiff.modalities import completed, find
from jaxdiff.modalities.images import pictures
from jaxdiff.pipelines import classifier, coder
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.coder import Coder
from jaxdiff.pipelines.experiment import Trained
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite
from jaxdiff.training import files, hosts, log
from jaxdiff.types import Array, Batch, Key, Params

__all__ = ["LEVELS", "compared", "decoded", "levels_of", "make_preview", "monitor"]

logger = logging.getLogger(__name__)

TOLD, CLASSIFIED = 16, 1000
LEVELS = np.geomspace(0.02, 50, 12)
"""Noise levels sigma / alpha at which a classifier is measured, if its process has them."""


def monitor(config: dict, model: Trained, source: Source) -> Callable[[Params], dict[str, float]]:
    """Make the function that measures the first average at each checkpoint.

    It is what `train.held_out_examples` and `train.samples` ask for: the held-out error, and the Fréchet distance of
    what the average draws to the data of training, `source`.
    """
    settings = config["train"]
    wanted, drawn = settings["held_out_examples"], settings.get("samples", 0)
    if (wanted or drawn) and not isinstance(model, Model):
        raise InputError(
            "train.held_out_examples, train.samples: go with denoisers; classifiers and autoencoders are measured at "
            "each sample_every"
        )
    if drawn == 1:
        raise InputError("train.samples=1: a Fréchet distance needs two examples at least; 0 for none")
    if settings.get("features") and not drawn:
        raise InputError("train.features: goes with train.samples, of which the Fréchet distance is: set that, too")
    features = None
    if drawn and isinstance(model, Model):
        if model.conditions.keys() - {"label", *completed(model.spec)}:
            raise InputError("train.samples: this model is told more than a class, so that nothing is drawn: set 0")
        default = find(model.spec.modality, "measured").FEATURES[0]
        features = find_features(settings.get("features") or default, in_own_units(model.spec))
    measured = "held_out_bits" if isinstance(model, Model) and has_symbols(model.path) else "held_out_mse"
    metrics = ["", *([measured] if wanted else []), *([f"fd_{features.name}"] if features else [])]
    if settings["keep_best"] not in metrics:
        needs = f"{measured} needs train.held_out_examples, and fd_... train.samples"
        raise unknown(f"train.keep_best ({needs})", settings["keep_best"], metrics)
    if settings.get("patience") and not settings["keep_best"]:
        raise InputError(f"train.patience: waits for a better train.keep_best: set that to {measured} or fd_...")
    measures = []
    if wanted and isinstance(model, Model):
        measures.append(held_out.make_monitor(model, build.held_out(config, model.spec), wanted))
    if features and isinstance(model, Model):
        measures.append(during.make_distance(model, source, features, drawn))
    return lambda params: {name: value for measure in measures for name, value in measure(params).items()}


def make_preview(config: dict, model: Trained, source: Source, key: Key):
    """`(averages, workdir, journal, step)`: shows what each average, `(name, params)`, has learned so far."""
    if isinstance(model, Model):
        real = compared(config, model, source)
        return lambda *given: _drawn(model, key, real, *given)
    source = build.held_out(config, model.spec) if config.get("held_out") else source
    batch = source.take(np.linspace(0, source.size - 1, min(CLASSIFIED, source.size)).astype(int))
    if isinstance(model, Coder):
        return lambda *given: _coded(model, batch.x_0, *given)
    return lambda *given: _measured(model, key, batch, *given)


def compared(config: dict, model: Model, source: Source | None = None) -> Batch | None:
    """Real examples to be shown beside those drawn, as the network sees them; None where none are.

    They are held-out ones where there are some: the first, with all that the model is told of them, if that is more
    than a class; otherwise as many, from all over the data, as the modality shows.

    Args:
      source: of the training data; by default that of the configuration.
    """
    told, beside = model.conditions.keys() - {"label"}, find(model.spec.modality, "show").BESIDE
    if not (told or beside):
        return None
    if config.get("held_out"):
        source = build.held_out(config, model.spec)
    source = source or build.rescaled(build.source(config), model.spec, "data")
    if told:
        batch = held_out.examples(model, source, min(TOLD, source.size))
        return batch if batch.condition else None
    batch = source.take(np.linspace(0, source.size - 1, min(beside, source.size)).astype(int))
    return batch._replace(condition=model.own(batch.condition))


def decoded(model: Model, batch: Batch | None) -> Batch | None:
    """A batch as the network sees it, in the data's own units."""
    return batch and batch._replace(x_0=model.codec.decode(np.asarray(batch.x_0)))


def _drawn(
    model: Model,
    key: Key,
    real: Batch | None,
    averages: Iterable[tuple[str, Params]],
    workdir: Path,
    journal: log.Log | log.Silent,
    step: int,
) -> None:
    """samples.png of the first average, samples-NAME.png of all others."""
    show = find(model.spec.modality, "show")
    given = real.condition if real is not None else None
    n = len(real.x_0) if real is not None and given else show.SHOWN
    for i, (name, params) in enumerate(averages):
        made = replace(model, params=params).sample(key, n, condition=given, progress=False)
        drawn = Batch(_seen(name, made, "lengths" in model.spec.details), given)
        if hosts.is_writer():
            picture = show.preview(model.spec, drawn, decoded(model, real))
            file = workdir / (f"samples-{name}.png" if i else "samples.png")
            with log.surviving(file.name), files.replacing(file) as part:
                pictures.save_picture(part, picture, note=f"{name} of step {step:,}")
            journal.picture(step, f"samples/{name}", picture)


def _seen(name: str, drawn: Array, ends: bool) -> np.ndarray:
    """What was drawn, with a warning where some of it is not finite, but for NaN after the `ends` of some."""
    x = np.asarray(drawn)
    try:
        finite(np.where(np.isnan(x), 0, x) if ends else x)
    except InputError as error:
        logger.warning("samples of %s: %s", name, error)
    return x


def levels_of(process: Process) -> np.ndarray:
    """Those of `LEVELS` that a process has, beyond which a classifier would be asked at its highest or lowest again."""
    with jax.ensure_compile_time_eval():
        least, most = np.exp(-0.5 * np.asarray(log_snr(process, jnp.array([0.0, 1.0])), np.float64))
    return LEVELS[[bool(least <= level <= most) for level in LEVELS]]


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
    curves, levels = {}, levels_of(model.process)
    for name, params in averages:
        right = np.asarray(classifier.accuracy(model, params, key, batch, jnp.asarray(levels, jnp.float32)))
        curves[f"accuracy of {name}"] = list(zip(levels, right, strict=True))
        journal.scalars(step, {f"accuracy_{name}": float(right.mean())})
    if hosts.is_writer():
        with log.surviving("samples.png"), files.replacing(workdir / "samples.png") as part:
            pictures.save_curves(part, curves, xlabel="noise level", xscale="log", yscale="linear")


def _coded(
    model: Coder,
    x: np.ndarray,
    averages: Iterable[tuple[str, Params]],
    workdir: Path,
    journal: log.Log | log.Silent,
    step: int,
) -> None:
    """samples.png: images above what comes back of them; and the mean PSNR of all."""
    for i, (name, params) in enumerate(averages):
        one, shown = replace(model, params=params), x[:TOLD]
        journal.scalars(step, {f"psnr_{name}": coder.psnr(one, x)})
        picture = pictures.grid(np.concatenate([shown, np.asarray(one.decode(one.encode(shown)))]), len(shown))
        if hosts.is_writer():
            file = workdir / (f"samples-{name}.png" if i else "samples.png")
            with log.surviving(file.name), files.replacing(file) as part:
                pictures.save_picture(part, picture, note=f"{name} of step {step:,}")
            journal.picture(step, f"samples/{name}", picture)
