"""What tasks are given, as arrays."""

import logging

import numpy as np
import pytest

from jaxdiff.cli.inputs import read_images
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import arrays

BYTES = np.random.default_rng(0).integers(0, 4, (5, 6, 6, 1)).astype(np.uint8)


def given(folder, images, levels):
    np.save(folder / "given.npy", images)
    config = {"data": {"name": "arrays", "path": "", "low": 0.0, "high": 3.0}}
    return read_images(str(folder / "given.npy"), 3, config, levels, (6, 6, 1), False)


def test_bytes_have_the_range_of_those_of_training(tmp_path, caplog):
    """`levels` are those that the data of training had, of as many values as its range has."""
    np.save(tmp_path / "data.npy", BYTES)
    trained = arrays(str(tmp_path / "data.npy"), low=0.0, high=3.0)
    assert trained.spec.levels == 4
    with caplog.at_level(logging.WARNING):
        read = given(tmp_path, BYTES, 4)
    np.testing.assert_array_equal(read, trained.take(np.arange(3)).x_0)
    np.testing.assert_allclose(read, BYTES[:3] / 1.5 - 1, atol=1e-6)
    assert not caplog.text
    with pytest.raises(InputError, match="holds values from 0 to 255, outside the range 0.0 to 3.0"):
        given(tmp_path, 85 * BYTES, 4)


@pytest.mark.parametrize("levels", [None, 256])
def test_where_training_had_no_such_bytes_they_are_of_255(tmp_path, levels):
    np.testing.assert_allclose(given(tmp_path, 85 * BYTES, levels), BYTES[:3] / 1.5 - 1, atol=1e-6)


def test_floating_point_is_as_it_was_drawn(tmp_path):
    drawn = np.float32(BYTES / 1.5 - 1)
    np.testing.assert_allclose(given(tmp_path, drawn, 4), drawn[:3], atol=1e-6)
