"""Guide: a classifier of noisy images leads a model to a class (Dhariwal and Nichol 2021)."""

import functools

import jax.numpy as jnp
import numpy as np

from jaxdiff import guidance
from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import transfer
from jaxdiff.gaussian.process import log_snr, time_at
from jaxdiff.guidance.classifier import of_class
from jaxdiff.pipelines.classifier import Classifier
from jaxdiff.pipelines.common import check_scale, check_way
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.task import Inputs, Task
from jaxdiff.types import Array, Key


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
    check_scale(scale)
    inputs = Inputs(jnp.asarray(labels, jnp.int32), {"params": classifier.params, "scale": jnp.float32(scale)})
    if options.get("condition") is None and model.num_classes:
        if not model.guidable:
            raise InputError("guide: this model was never trained without a class, and needs no classifier to draw one")
        options["condition"] = np.full(len(labels), -1)
    check_way("the classifier", classifier.process, model, options)
    task = _by_classifier(classifier.bind, classifier.process)
    return model.trajectory(key, len(labels), 0, task=task, inputs=inputs, **options)[0]


@functools.cache
def _by_classifier(bind, its_process) -> Task:
    def guide(process, denoiser, inputs):
        log_p = of_class(transfer(its_process, process, bind(inputs.shared["params"])), inputs.each)
        led = guidance.by_density(process, lambda x_t, t: jnp.zeros_like(x_t), log_p, inputs.shared["scale"])
        # Above the noise that it was trained on, a classifier is asked at the highest level it knows.
        last = time_at(process, log_snr(its_process, jnp.float32(1)))
        return lambda x_t, t: denoiser(x_t, t) + led(x_t, jnp.minimum(t, last))

    return Task(guide=guide)
