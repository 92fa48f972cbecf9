"""Latents beside the pictures that they are of; the autoencoder here takes the means of squares of two by two."""

import jax
import numpy as np
import pytest

from jaxdiff.config.build import rescaled
from jaxdiff.data.source import Source
from jaxdiff.evaluation import held_out
from jaxdiff.evaluation.sets import first, of_source
from jaxdiff.modalities.images import digits
from jaxdiff.modalities.images import spec as images
from jaxdiff.types import Batch, Codec, Spec
from tests.helpers.cases import refused
from tests.helpers.configs import SPEC as PICTURES
from tests.helpers.models import a_model

LATENTS = Spec((4, 4, 1), "images", details={"autoencoder": {"sha256": "0", "shape": [8, 8, 1], "levels": 17}})


@pytest.fixture(autouse=True)
def autoencoder(monkeypatch):
    squares = lambda x: np.asarray(x).reshape(-1, 4, 2, 4, 2, 1).mean((2, 4))
    monkeypatch.setattr(images, "latent_codec", lambda spec: Codec(squares, lambda z: z.repeat(2, 1).repeat(2, 2)))


def test_pictures_as_latents_are_on_no_levels_and_have_no_likelihood():
    held = rescaled(digits("test"), LATENTS, "held_out")
    assert held.take(np.arange(3)).x_0.shape == (3, 4, 4, 1)
    assert (held.spec.low, held.spec.high, held.spec.levels) == (None, None, None)
    with refused("no known levels"):
        held_out.measure(a_model(), held, jax.random.key(0), 4)
    assert rescaled(held, PICTURES, "held_out").spec.levels is None  # decoded, they lie on none either
    other = PICTURES._replace(levels=None, details={"classes": ["a"]})
    assert rescaled(digits("test")._replace(conditions={}), other, "held_out").spec.levels == 17


def test_latents_are_evaluated_as_pictures():
    """So that they can be compared with pictures, by features of pictures."""
    z = np.arange(32, dtype=np.float32).reshape(2, 4, 4, 1) / 32
    examples = of_source(Source(2, LATENTS, lambda indices: Batch(z[indices])), "data")
    assert first(examples, 2).shape[1:] == examples.spec.shape == (8, 8, 1)
    assert examples.spec.levels == 17
