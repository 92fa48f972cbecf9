import numpy as np
import pytest

from jaxdiff.data.source import Source, batches, indices, to_unit_range
from jaxdiff.types import Batch


def numbers(size, flip=False):
    images = np.arange(size * 2, dtype=np.float32).reshape(size, 1, 2, 1)
    return Source(size, (1, 2, 1), 0, lambda i: Batch(images[i]), flip)


@pytest.mark.parametrize("batch_size", [3, 10, 25])
def test_every_epoch_visits_everything_once_in_an_order_of_its_own(batch_size):
    stream = np.concatenate([indices(10, batch_size, 0, step) for step in range(20)])
    epochs = [stream[e * 10 : (e + 1) * 10] for e in range(len(stream) // 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert list(epochs[0]) != list(epochs[1])
    assert list(indices(10, 10, 1, 0)) != list(epochs[0])


@pytest.mark.parametrize("flip", [False, True])
def test_a_stream_that_starts_later_goes_on_where_it_was(flip):
    stream = batches(numbers(7, flip), 4, seed=3)
    first = [next(stream).x_0 for _ in range(6)]
    again = batches(numbers(7, flip), 4, seed=3, start=4)
    np.testing.assert_array_equal(first[4], next(again).x_0)
    np.testing.assert_array_equal(first[5], next(again).x_0)


def test_flips_mirror_half_of_the_images():
    stream = batches(numbers(100, flip=True), 100, seed=0)
    mirrored = np.mean([np.mean(np.diff(next(stream).x_0[:, 0, :, 0]) < 0) for _ in range(40)])
    assert abs(mirrored - 0.5) < 4 * 0.5 / np.sqrt(4000)
    plain = next(batches(numbers(100), 100, seed=0)).x_0
    assert np.all(np.diff(plain[:, 0, :, 0]) > 0)


def test_scaling_is_exact_at_the_ends():
    np.testing.assert_array_equal(to_unit_range(np.array([0, 255], np.uint8)), [-1, 1])
    assert to_unit_range(np.array([0, 255], np.uint8)).dtype == np.float32
    np.testing.assert_allclose(to_unit_range(np.array([4.0]), 0, 16), [-0.5])
