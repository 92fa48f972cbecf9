"""Classification loss: the cross-entropy of a classifier of noisy images, over random times."""

import jax
import jax.numpy as jnp

from jaxdiff.errors import InputError
from jaxdiff.gaussian.parameterization import Parameterization, evaluate
from jaxdiff.gaussian.process import Process, perturb
from jaxdiff.losses.needs import needs
from jaxdiff.losses.times import Times
from jaxdiff.types import Batch, Key, LossFn, Network, Params

__all__ = ["classification_loss"]


@needs(classifier=True)
def classification_loss(process: Process, parameterization: Parameterization, network: Network, times: Times) -> LossFn:
    """`(params, key, batch) -> (loss, metrics)`: the mean cross-entropy in nats, and "accuracy".

    Both are means over the examples whose class is known, which is not -1.
    """

    def loss_fn(params: Params, key: Key, batch: Batch):
        label = (batch.condition or {}).get("label")
        if label is None:
            raise InputError("loss 'classification' needs labels: choose a data set that has them")
        key_t, key_eps, key_net = jax.random.split(key, 3)
        t = times(process, key_t, label.shape[0])
        x_t, _ = perturb(process, key_eps, batch.x_0, t)
        logits = evaluate(process, parameterization, network, params, x_t, t, None, key_net)
        log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.maximum(label, 0)[:, None], axis=1)[:, 0]
        known = label >= 0
        mean = lambda values: jnp.where(known, values, 0).sum() / jnp.maximum(known.sum(), 1)
        return mean(-log_p), {"accuracy": mean(jnp.argmax(logits, axis=1) == label)}

    return loss_fn
