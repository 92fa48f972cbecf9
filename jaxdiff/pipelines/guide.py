"""Guide: a classifier of noisy images leads a model to a class (Dhariwal and Nichol 2021)."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdiff import guidance
from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import transfer
from jaxdiff.gaussian.process import log_snr, time_at
from jaxdiff.guidance.classifier import of_class
from jaxdiff.modalities import check_alike
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.common import check_scale, check_way
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.load import load_classifier
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.pipeline import Argument, Pipeline, class_number
from jaxdiff.types import Array, Key

__all__ = ["PIPELINES", "guide"]


def guide(
    model: Model,
    key: Key,
    n: int,
    classifier: Classifier,
    labels: Any = None,
    scale: float = 1.0,
    first: int = 0,
    **options,
) -> Array:
    """Images of a classifier's classes, from a model that knows of none, or to which none is told.

    Args:
      labels: one class, or one for each image, (n,); all in turn by default, from that of image `first`.
      scale: on the gradient of log p(class | x_t); 1 for what the classifier says, more for clearer members.
    """
    turn = (first + np.arange(n)) % classifier.num_classes
    labels = turn if labels is None else np.asarray(labels)
    labels = np.full(n, labels) if labels.ndim == 0 else labels
    if labels.shape != (n,) or not np.isin(labels, np.arange(classifier.num_classes)).all():
        raise InputError(f"labels={labels}: must be {n} class labels from 0 to {classifier.num_classes - 1}")
    if classifier.shape != model.shape:
        raise InputError(f"a classifier of images of {classifier.shape} cannot guide a model of {model.shape}")
    check_alike("guide: the classifier", classifier.spec, model.spec, ())
    check_scale(scale)
    inputs = Inputs(jnp.asarray(labels, jnp.int32), {"params": classifier.params, "scale": jnp.float32(scale)})
    if options.get("condition") is None and model.num_classes:
        if not model.guidable:
            raise InputError("guide: this model was never trained without a class, and needs no classifier to draw one")
        options["condition"] = np.full(n, -1)
    check_way("the classifier", classifier.process, model, options)
    hooks = _by_classifier(classifier.bind, classifier.process)
    return model.codec.decode(model.trajectory(key, n, 0, hooks=hooks, inputs=inputs, first=first, **options)[0])


@functools.cache
def _by_classifier(bind, its_process) -> Hooks:
    def guide(process, denoiser, inputs):
        log_p = of_class(transfer(its_process, process, bind(inputs.shared["params"])), inputs.each)
        led = guidance.by_density(process, lambda x_t, t: jnp.zeros_like(x_t), log_p, inputs.shared["scale"])
        # Above the noise that it was trained on, a classifier is asked at the highest level it knows.
        last = time_at(process, log_snr(its_process, jnp.float32(1)))
        return lambda x_t, t: denoiser(x_t, t) + led(x_t, jnp.minimum(t, last))

    return Hooks(guide=guide)


PIPELINES = {
    "guide": Pipeline(
        guide,
        "a classifier of noisy images (configs/classifier.py) leads a model to a class that it knows nothing of",
        (
            Argument(
                "classifier",
                "the classifier's run, of configs/classifier.py",
                read=lambda run, model: load_classifier(run),
                required=True,
            ),
            Argument("scale", "factor on the gradient of the log-probability of the class", float, default="1"),
            Argument("labels", "class to draw", flag="label", read=class_number, default="all in turn"),
        ),
        takes=None,
    )
}
