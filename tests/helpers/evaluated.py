"""Images to be evaluated."""

import numpy as np

from jaxdiff.modalities.images.spec import image_spec

SPEC = image_spec((4, 4, 1))


def draw(rng, n, blur=0.0):
    """Images with two kinds of content, rounded as files of 8 bits are."""
    x = np.where(rng.random((n, 1, 1, 1)) < 0.5, -0.4, 0.3) + (0.15 + blur) * rng.normal(size=(n, 4, 4, 1))
    return (np.round((x.clip(-1, 1) + 1) * 127.5) / 127.5 - 1).astype(np.float32)
