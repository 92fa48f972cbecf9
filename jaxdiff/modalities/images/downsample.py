"""Shrink: a source of images, so many times smaller."""

import numpy as np

from jaxdiff.data.source import Source
from jaxdiff.errors import InputError

__all__ = ["downsampled"]


def downsampled(source: Source, factor: int) -> Source:
    """The same images, so many times smaller: the means of squares of pixels; at factor 1, the source itself.

    Raises:
      InputError: the factor does not divide their sides.
    """
    if factor == 1:
        return source
    height, width, channels = source.spec.shape
    if height % factor or width % factor:
        raise InputError(f"train.downsample={factor}: must divide the sides of {height}x{width} images")
    small = (height // factor, width // factor, channels)

    def take(indices):
        batch = source.take(indices)
        squares = batch.x_0.reshape(-1, small[0], factor, small[1], factor, channels)
        return batch._replace(x_0=squares.mean((2, 4), dtype=np.float32))

    return source._replace(spec=source.spec._replace(shape=small, levels=None), take=take)
