"""Controls of images against SciPy, and what a network does with them."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxdiff.errors import InputError
from jaxdiff.modalities.images.controls import controlled, distance, edges, find_control
from jaxdiff.types import Batch


def test_edges_are_where_sobels_slope_is_steep(rng):
    x = rng.uniform(-1, 1, (4, 9, 7, 3)).astype(np.float32)
    grey = x.astype(np.float64).mean(-1)
    slope = [np.hypot(*(ndimage.sobel(g, axis, mode="nearest") / 8 for axis in (0, 1))) for g in grey]
    np.testing.assert_array_equal(np.asarray(edges(jnp.asarray(x)))[..., 0], np.where(np.array(slope) > 0.25, 1, -1))


def test_distances_are_euclids_to_what_is_around_a_figure(rng):
    x = np.where(rng.random((5, 12, 9, 1)) < 0.8, 0.7, -1).astype(np.float32)
    x[:, [0, 0, -1, -1], [0, -1, 0, -1]] = -1
    far = np.array([ndimage.distance_transform_edt(image[..., 0] > 0) for image in x])
    exact = np.where(x[..., 0] > 0, np.minimum(far / 3, 1), -1)
    np.testing.assert_allclose(np.asarray(distance(jnp.asarray(x)))[..., 0], exact, atol=1e-6)


def test_each_image_is_told_its_own_control(rng):
    x = jnp.asarray(rng.uniform(-1, 1, (3, 8, 8, 1)), jnp.float32)
    told = controlled("edges")(None, Batch(x, {"label": jnp.arange(3)})).condition
    np.testing.assert_array_equal(told["control"], edges(x))
    np.testing.assert_array_equal(told["strength"], np.ones(3))
    np.testing.assert_array_equal(told["label"], np.arange(3))
    with pytest.raises(InputError, match=r"train\.control.*edges"):
        find_control("edge")
