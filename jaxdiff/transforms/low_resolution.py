"""Enlarge: a model of large images given small ones (Saharia et al. 2021, SR3), one stage of a cascade.

In training each image is its own example: it is shrunk, noise is added, and the result, enlarged smoothly, is the image
of the condition. The noise (Ho et al. 2022, "Cascaded diffusion models", section 4.2) teaches the model to forgive what
an earlier stage, or a camera, did wrong; how much of it there is, the model is told.

    image     the small image, enlarged by cubic interpolation
    vector    (noise,): the standard deviation of the noise in the small image
"""

import jax

from jaxdiff.gaussian.noise import normal
from jaxdiff.guidance.operators import shrunk
from jaxdiff.losses.diffusion import of_changed
from jaxdiff.types import Array, Condition, Key, LossFn, Noise, StatefulLoss, expand

WIDTH = 1
"""Numbers that say how noisy the small image is."""


def as_condition(
    key: Key,
    small: Array,
    factor: int,
    noise: Array,
    condition: Condition | None = None,
    drawn: Noise = normal,
) -> Condition:
    """What the model is told of small images (batch, height, width, channels).

    Args:
      noise: (batch,), to be added here.
      condition: what else is known, such as labels.
      drawn: how it is drawn.
    """
    n, height, width, channels = small.shape
    noisy = small + expand(noise, small) * drawn(key, small)
    image = jax.image.resize(noisy, (n, factor * height, factor * width, channels), "cubic")
    return (condition or Condition())._replace(image=image, vector=noise[:, None])


def enlarging(loss_fn: LossFn | StatefulLoss, factor: int, most: float) -> LossFn | StatefulLoss:
    """The loss of images that are known in small, with noise from 0 to `most`; at factor 1, the loss itself."""
    if factor == 1:
        return loss_fn

    def with_small(key, batch):
        key_level, key_noise = jax.random.split(key)
        noise = jax.random.uniform(key_level, batch.x_0.shape[:1], maxval=most)
        small = shrunk(factor)(batch.x_0)
        return batch._replace(condition=as_condition(key_noise, small, factor, noise, batch.condition))

    return of_changed(loss_fn, with_small)
