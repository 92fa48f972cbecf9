"""A step for a loop of one's own."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxdiff
from jaxdiff.errors import InputError
from jaxdiff.types import Batch, Spec
from tests.helpers.api import IMAGES, KEY, LABELS, PARAMS, UNET, Small, draw, plain


@pytest.mark.system
def test_a_loop_of_ones_own():
    step = jaxdiff.make_step((8, 8, 1), classes=3, net=Small(3), optimizer=optax.adam(1e-2))
    state = step.init(KEY)
    fresh, losses = step.model(state), []
    for _ in range(20):
        state = step(state, Batch(jnp.asarray(IMAGES), {"label": jnp.asarray(LABELS)}))
        losses.append(float(state.metrics["loss"]))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert step._compiled._cache_size() == 1
    assert draw(step.model(state)).shape == draw(fresh).shape == (4, 8, 8, 1)
    assert "of step 20" in step.model(state).weights


@pytest.mark.system
def test_a_network_that_is_told_what_is_not_known_is_refused():
    step = jaxdiff.make_step((8, 8, 1), classes=3, net=Small(3))
    state = step.init(KEY)
    for batch in (IMAGES, Batch(IMAGES), Batch(IMAGES, {"text": IMAGES})):
        with pytest.raises(InputError, match="condition 'label': the network is made to be told it"):
            step(state, batch)
    with pytest.raises(InputError, match="condition 'pose': the network is made to be told it"):
        jaxdiff.train(IMAGES, 1, net={**UNET, "vectors": {"pose": 2}}, progress=False)


def test_larger_images_than_the_digits_need_no_configuration():
    assert jaxdiff.make_step((28, 28, 1), net=(plain, PARAMS)).parts.model.shape == (28, 28, 1)


def test_what_has_no_range_is_not_clipped():
    """Sounds are seen with a deviation of 1, so that a bound of 1, that of pixels, would cut a third of them."""
    for shape, modality, clip in (((8, 1), "audio", np.inf), ((8, 8, 1), "images", 1.0)):
        range_ = (-1.0, 1.0) if modality == "images" else (None, None)
        step = jaxdiff.make_step(Spec(shape, modality, *range_), net=(plain, PARAMS))
        assert step.parts.model.options["clip"] == clip
