"""Classifier: which class a noisy image is of, log p(c | x_t), which leads a model there (Dhariwal and Nichol 2021).

It is trained as a denoiser is, on x_t at times drawn at random, by its cross-entropy. Along another process it is the
same function, taken where log-SNR is the same (`jaxdiff.gaussian.denoiser.transfer`), so that one classifier serves all
models of the same images.
"""

import dataclasses
import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from jaxdiff.gaussian.process import Process, perturb, time_at
from jaxdiff.guidance.energy import LogDensity
from jaxdiff.types import Array, Batch, Key, Params, Spec

__all__ = ["Classifier", "accuracy"]


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained classifier; `dataclasses.replace(classifier, params=...)` gives it other parameters.

    Attributes:
      params: of the network.
      bind: `params -> (x_t, t) -> log p(c | x_t)`, (batch, num_classes).
      process: whose x_t it is made for.
      spec: what one example is.
      num_classes: that it tells apart.
      weights: which parameters these are.
    """

    params: Params
    bind: Callable[[Params], LogDensity]
    process: Process
    spec: Spec
    num_classes: int
    weights: str = "parameters of unknown origin"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return self.spec.shape


def accuracy(classifier: Classifier, params: Params, key: Key, batch: Batch, levels: Array) -> Array:
    """The share of images of which the right class is found, at each of these noise levels sigma / alpha.

    Args:
      params: to use in place of the classifier's own.
    """
    chex.assert_rank(levels, 1)
    return _accuracy(params, key, batch, levels, classifier.bind, classifier.process)


@functools.partial(jax.jit, static_argnames=("bind", "process"))
def _accuracy(params, key, batch, levels, bind, process):
    classify = bind(params)

    def at(level):
        t = time_at(process, -2 * jnp.log(level))
        x_t, _ = perturb(process, key, batch.x_0, t)
        return jnp.mean(jnp.argmax(classify(x_t, t), axis=1) == batch.condition["label"])

    return jax.lax.map(at, levels)
