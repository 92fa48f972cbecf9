"""Classifiers of noisy images, `(x_t, t) -> log p(c | x_t)`, for guidance (Dhariwal and Nichol 2021)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdiff.gaussian.parameterization import Parameterization, evaluate
from jaxdiff.gaussian.process import Process
from jaxdiff.guidance.energy import LogDensity
from jaxdiff.types import Array, Network, Params, per_example

__all__ = ["make_bind", "of_class"]


def make_bind(process: Process, parameterization: Parameterization, network: Network) -> Callable[[Params], LogDensity]:
    """`params -> (x_t, t) -> log p(c | x_t)`, from a network that gives logits."""

    def bind(params):
        def log_probabilities(x_t, t):
            t = per_example(t, x_t)
            return jax.nn.log_softmax(evaluate(process, parameterization, network, params, x_t, t))

        return log_probabilities

    return bind


def of_class(log_probabilities: LogDensity, label: Array) -> LogDensity:
    """`(x_t, t) -> log p(label | x_t)`, (batch,), of labels (batch,); 0 of an unknown one, -1."""

    def log_density(x_t, t):
        each = jnp.take_along_axis(log_probabilities(x_t, t), jnp.maximum(label, 0)[:, None], axis=1)[:, 0]
        return jnp.where(label < 0, 0, each)

    return log_density
