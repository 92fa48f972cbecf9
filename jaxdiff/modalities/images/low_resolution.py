"""Low-resolution conditioning: a model of large images given small ones (Saharia et al. 2021, SR3), a cascade's stage.

In training each image is its own example: it is downsampled, noise is added, and the result, upsampled smoothly, is the
condition. The noise (Ho et al. 2022, "Cascaded diffusion models", section 4.2, conditioning augmentation) teaches the
model to forgive what an earlier stage, or a camera, did wrong; how much of it there is, the model is told.

    low_res          the small image, upsampled by cubic interpolation
    low_res_noise    (1,): the standard deviation of the noise in the small image
"""

import jax

from jaxdiff.errors import InputError
from jaxdiff.gaussian.noise import normal
from jaxdiff.modalities.images.operators import downsampled
from jaxdiff.types import Array, Condition, ConditionSpec, Key, Noise, Transform, expand

__all__ = ["as_condition", "check_factor", "low_resolution", "specs"]


def check_factor(shape: tuple[int, ...], factor: int) -> None:
    """Refuse a factor that does not divide the sides of images of this shape."""
    if shape[0] % factor or shape[1] % factor:
        raise InputError(f"train.upscale={factor}: must divide the sides of {shape[0]}x{shape[1]} images")


def specs(shape: tuple[int, ...]) -> dict[str, ConditionSpec]:
    """The conditions of a model of images of this shape."""
    return {"low_res": ConditionSpec(shape), "low_res_noise": ConditionSpec((1,))}


def as_condition(key: Key, small: Array, factor: int, noise: Array, drawn: Noise = normal) -> Condition:
    """Make the condition of small images (batch, height, width, channels).

    Args:
      noise: (batch,), the standard deviation to be added here.
      drawn: the noise, normal by default.
    """
    n, height, width, channels = small.shape
    noisy = small + expand(noise, small) * drawn(key, small)
    image = jax.image.resize(noisy, (n, factor * height, factor * width, channels), "cubic")
    return {"low_res": image, "low_res_noise": noise[:, None]}


def low_resolution(factor: int, most: float) -> Transform:
    """Condition images on themselves, downsampled by `factor`, with noise from 0 to `most`."""

    def with_small(key, batch):
        key_level, key_noise = jax.random.split(key)
        noise = jax.random.uniform(key_level, batch.x_0.shape[:1], maxval=most)
        told = as_condition(key_noise, downsampled(factor)(batch.x_0), factor, noise)
        return batch._replace(condition={**(batch.condition or {}), **told})

    return with_small
