"""Compose: what several trained models do together.

cascade      one draws small images, others enlarge them, each in its turn (Ho et al. 2022)
guide        a classifier of noisy images leads a model to a class (Dhariwal and Nichol 2021)
autoguide    a model is led away from what a worse one would draw (Karras et al. 2024)
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import guidance
from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import check_levels, transfer
from jaxdiff.gaussian.process import Process, log_snr, time_at
from jaxdiff.guidance.classifier import of_class
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.edit import MOST, check_noise, enlarge
from jaxdiff.pipelines.model import Bind, Given, Model, from_time, is_traced
from jaxdiff.pipelines.task import Inputs, Task
from jaxdiff.types import Array, Key


def cascade(
    models: Sequence[Model],
    key: Key,
    n: int,
    noise: float | None = None,
    labels: np.ndarray | None = None,
    first: int = 0,
    **options,
) -> list[Array]:
    """Images of each stage, the small ones first, each (n, height, width, channels).

    Args:
      models: the first draws; each other one enlarges what the one before it gives.
      noise: that is added to each stage's images before they are enlarged (`edit.enlarge`); by default 0.1, or the
        most that the model which enlarges them was trained with.
      labels: classes, (n,), for the models that have them; all in turn by default.
      first: the number of the first image, see `Model.sample`.

    Raises:
      InputError: sizes of two stages that do not fit, and what `Model.sample` refuses.
    """
    for i, (small, large) in enumerate(itertools.pairwise(models), 1):
        wanted = tuple(side // large.enlarges for side in large.shape[:2]) + large.shape[2:]
        if large.enlarges == 1 or small.shape != wanted:
            takes = f"enlarges images of {wanted}" if large.enlarges > 1 else "does not enlarge"
            raise InputError(f"cascade: model {i} draws images of {small.shape}, and model {i + 1} {takes}")
        check_noise(large, 0.0, 0.0 if noise is None else noise)
    keys = jax.random.split(key, len(models))
    classes = max(model.num_classes for model in models)
    if labels is not None and not classes:
        raise InputError("labels: these models were trained without classes; leave them out")
    labels = (first + np.arange(n)) % classes if labels is None and classes else labels
    options["first"] = first
    known = lambda model: labels if model.num_classes else None
    stages = [models[0].sample(keys[0], n, condition=known(models[0]), **options)]
    for model, k in zip(models[1:], keys[1:], strict=True):
        small, added = np.clip(stages[-1], -1, 1), min(0.1, model.enlarge_noise) if noise is None else noise
        stages.append(enlarge(model, k, small, added=added, condition=known(model), **options))
    return stages


def guide(model: Model, key: Key, classifier: Classifier, labels: np.ndarray, scale: float = 1.0, **options) -> Array:
    """Images of these classes, (n,), from a model that knows of none, or to which none is told.

    Args:
      scale: on the gradient of log p(class | x_t); 1 for what the classifier says, more for clearer members.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.isin(labels, np.arange(classifier.num_classes)).all():
        raise InputError(f"labels={labels}: must be class labels from 0 to {classifier.num_classes - 1}")
    if classifier.shape != model.shape:
        raise InputError(f"a classifier of images of {classifier.shape} cannot guide a model of {model.shape}")
    _check_scale(scale)
    inputs = Inputs(jnp.asarray(labels, jnp.int32), {"params": classifier.params, "scale": jnp.float32(scale)})
    if options.get("condition") is None and model.num_classes:
        if not model.guidable:
            raise InputError("guide: this model was never trained without a class, and needs no classifier to draw one")
        options["condition"] = np.full(len(labels), -1)
    _check_way("the classifier", classifier.process, model, options)
    task = _by_classifier(classifier.bind, classifier.process)
    return model.trajectory(key, len(labels), 0, task=task, inputs=inputs, **options)[0]


def autoguide(
    model: Model,
    key: Key,
    n: int,
    worse: Model,
    scale: float = 2.0,
    condition: Given = None,
    first: int = 0,
    **options,
) -> Array:
    """Images of `w x̂ + (1 - w) x̂ of the worse model`, both under the same condition.

    Args:
      worse: such as the same network earlier in its training, or a smaller one.
      scale: w; 1 for the model alone.
      first: the number of the first image, see `Model.sample`.
    """
    if worse.shape != model.shape or not worse.conditions.items() <= model.conditions.items():
        raise InputError(
            f"autoguide: the worse model draws images of {worse.shape} and is told {sorted(worse.conditions)}, and the "
            f"other of {model.shape} and is told {sorted(model.conditions)}: the worse one can be told no more"
        )
    _check_scale(scale)
    given = model.check_condition(condition, n, first=first)
    told = worse.own(given)
    inputs = Inputs(told, {"params": worse.params, "scale": jnp.float32(scale)})
    _check_way("the worse model", worse.bind(worse.params, told).process, model, options)
    task = _by_worse(worse.bind)
    return model.trajectory(key, n, 0, condition=given, task=task, inputs=inputs, first=first, **options)[0]


def _check_scale(scale: float | Array) -> None:
    if not is_traced(scale) and not np.isfinite(scale):
        raise InputError(f"scale={scale}: must be a finite number")


def _check_way(what: str, process: Process, model: Model, options: Mapping[str, Any]) -> None:
    """Refuse to be led by what does not know the noise levels on the way; at the highest ones it is of no account."""
    if model.path is None:
        return
    times = model.grid(options.get("steps") or model.steps)
    start = options.get("start")
    times = times if start is None or is_traced(start) else np.asarray(from_time(times, start))
    with jax.ensure_compile_time_eval():
        last = float(model.path.sigma(jnp.float32(times[-1])))
    check_levels(what, process, model.path, times if last > 0 else times[:-1], MOST)


@functools.cache
def _by_classifier(bind, its_process) -> Task:
    def guide(process, denoiser, inputs):
        log_p = of_class(transfer(its_process, process, bind(inputs.shared["params"])), inputs.each)
        led = guidance.by_density(process, lambda x_t, t: jnp.zeros_like(x_t), log_p, inputs.shared["scale"])
        # Above the noise that it was trained on, a classifier is asked at the highest level it knows.
        last = time_at(process, log_snr(its_process, jnp.float32(1)))
        return lambda x_t, t: denoiser(x_t, t) + led(x_t, jnp.minimum(t, last))

    return Task(guide=guide)


@functools.cache
def _by_worse(bind: Bind) -> Task:
    def guide(process, denoiser, inputs):
        its_process, worse, *_ = bind(inputs.shared["params"], inputs.each)
        return guidance.classifier_free(denoiser, transfer(its_process, process, worse), inputs.shared["scale"])

    return Task(guide=guide)
