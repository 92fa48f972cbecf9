"""Whether pictures can be told from their mirror images."""

import numpy as np
import pytest

from jaxdiff.modalities.images import digits
from jaxdiff.modalities.images.mirror import SURE, directed

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(400, 12, 20, 3))
EVEN = NOISE + NOISE[:, :, ::-1]
HALF = np.arange(20)[None, None, :, None] < 5
"""The left quarter."""

CASES = {
    "noise": (NOISE, False),
    "symmetric": (EVEN, False),
    "one picture": (NOISE[:1], False),
    "nothing": (np.zeros((10, 8, 8, 1)), False),
    "mirrored as often as not": (NOISE + 3 * np.concatenate([HALF[[0] * 200], HALF[[0] * 200][:, :, ::-1]]), False),
    "light from the left": (NOISE + 3 * HALF, True),
    "large": (np.repeat(np.repeat(NOISE + 3 * HALF, 4, 1), 4, 2), True),
    "digits": (digits().take(np.arange(600)).x_0, True),
}


@pytest.mark.parametrize("name", CASES)
def test_directed(name):
    images, told_apart = CASES[name]
    found = directed(images)
    assert np.isfinite(found)
    assert (found >= SURE) == told_apart
    assert directed(images[:, :, ::-1]) == pytest.approx(found)
    assert directed(images[..., ::-1, :, :]) == pytest.approx(found)  # upside down
