"""Small data and networks of training from Python."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.types import class_label

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (40, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(40) % 3
TEN = {"train.steps": 2, "train.batch_size": 10}
UNET = {"name": "unet", "channels": 4, "multipliers": (1,), "blocks": 1, "attention": (), "groups": 4}


class Small(nn.Module):
    """One convolution and a shift for the time and the class."""

    classes: int = 0

    @nn.compact
    def __call__(self, x, t, condition=None, train=False):
        h = nn.Conv(4, (3, 3))(x) + nn.Dense(4)(t[:, None] / 1000)[:, None, None]
        if condition:
            h += nn.Embed(self.classes + 1, 4)(condition["label"] % (self.classes + 1))[:, None, None]
        return nn.Conv(x.shape[-1], (3, 3))(nn.silu(h))

    def condition_spec(self, spec):
        return {"label": class_label(self.classes)} if self.classes else {}


def plain(params, x, t, condition):
    shift = 0 if condition is None else params["label"][condition["label"]][:, None, None, None]
    return params["a"] * x + params["b"] + shift


PARAMS = {"a": jnp.float32(0.5), "b": jnp.float32(0.1), "label": jnp.arange(4.0)}


def draw(model, **options):
    return np.asarray(model.sample(KEY, 4, steps=3, **options))
