"""Classifier: which class a noisy image is of, log p(c | x_t), which leads a model there (Dhariwal and Nichol 2021).

It is trained as a denoiser is, on x_t at times drawn at random, by its cross-entropy. Along another process it is the
same function, taken where log-SNR is the same (`jaxdiff.denoiser.transfer`), so that one classifier serves all models
of the same images.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.guidance import LogDensity
from jaxdiff.loss import Times
from jaxdiff.parameterization import Parameterization, evaluate
from jaxdiff.process import Process, perturb, time_at
from jaxdiff.types import Array, Batch, Key, LossFn, Network, Params, as_time


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained classifier; `dataclasses.replace(classifier, params=...)` gives it other parameters.

    Attributes:
      params: of the network.
      bind: `params -> (x_t, t) -> log p(c | x_t)`, (batch, num_classes).
      process: whose x_t it is made for.
      shape: of one image: (height, width, channels).
      weights: which parameters these are.
    """

    params: Params
    bind: Callable[[Params], LogDensity]
    process: Process
    shape: tuple[int, ...]
    num_classes: int
    weights: str = "parameters of unknown origin"


def make_bind(process: Process, parameterization: Parameterization, network: Network) -> Callable[[Params], LogDensity]:
    """`params -> (x_t, t) -> log p(c | x_t)`, from a network that gives logits."""

    def bind(params):
        def log_probabilities(x_t, t):
            t = jnp.broadcast_to(as_time(t, x_t), x_t.shape[:1])
            return jax.nn.log_softmax(evaluate(process, parameterization, network, params, x_t, t))

        return log_probabilities

    return bind


def of_class(log_probabilities: LogDensity, label: Array) -> LogDensity:
    """`(x_t, t) -> log p(label | x_t)`, (batch,), of labels (batch,)."""
    return lambda x_t, t: jnp.take_along_axis(log_probabilities(x_t, t), label[:, None], axis=1)[:, 0]


def classification_loss(process: Process, parameterization: Parameterization, network: Network, times: Times) -> LossFn:
    """`(params, key, batch) -> (loss, metrics)`: the mean cross-entropy in nats, and "accuracy"."""

    def loss_fn(params: Params, key: Key, batch: Batch):
        if batch.condition is None or batch.condition.label is None:
            raise InputError("loss 'classification' needs labels: choose a data set that has them")
        label = batch.condition.label
        key_t, key_eps, key_net = jax.random.split(key, 3)
        t = times(process, key_t, label.shape[0])
        x_t, _ = perturb(process, key_eps, batch.x_0, t)
        logits = evaluate(process, parameterization, network, params, x_t, t, None, key_net)
        log_p = of_class(lambda x_t, t: jax.nn.log_softmax(logits), label)(x_t, t)
        return -jnp.mean(log_p), {"accuracy": jnp.mean(jnp.argmax(logits, axis=1) == label)}

    return loss_fn


def accuracy(classifier: Classifier, params: Params, key: Key, batch: Batch, levels: Array) -> Array:
    """The share of images of which the right class is found, at each of these noise levels sigma / alpha.

    Args:
      params: to use in place of the classifier's own.
    """
    return _accuracy(params, key, batch, levels, classifier.bind, classifier.process)


@functools.partial(jax.jit, static_argnames=("bind", "process"))
def _accuracy(params, key, batch, levels, bind, process):
    classify = bind(params)

    def at(level):
        t = time_at(process, -2 * jnp.log(level))
        x_t, _ = perturb(process, key, batch.x_0, t)
        return jnp.mean(jnp.argmax(classify(x_t, t), axis=1) == batch.condition.label)

    return jax.lax.map(at, levels)
