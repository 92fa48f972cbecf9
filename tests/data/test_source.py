import re

import numpy as np
import pytest

from jaxdiff.data.source import (
    Source,
    balanced,
    batches,
    fingerprint,
    indices,
    labeled,
    read,
    say_gaps,
    select,
    to_unit_range,
)
from jaxdiff.errors import InputError
from jaxdiff.modalities.figures import to_uint8
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.training.feed import examples
from jaxdiff.types import Batch


def numbers(size, flip=False):
    images = np.arange(size * 2, dtype=np.float32).reshape(size, 1, 2, 1)
    return Source(size, image_spec((1, 2, 1)), lambda i: Batch(images[i]), flip=flip)


@pytest.mark.parametrize("batch_size", [3, 10, 25])
def test_every_epoch_visits_everything_once_in_an_order_of_its_own(batch_size):
    stream = np.concatenate([indices(numbers(10), batch_size, 0, step) for step in range(20)])
    epochs = [stream[e * 10 : (e + 1) * 10] for e in range(len(stream) // 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert list(epochs[0]) != list(epochs[1])
    assert list(indices(numbers(10), 10, 1, 0)) != list(epochs[0])


def test_the_order_is_the_one_that_it_always_was():
    """Fixed by (seed, epoch): a run that goes on under a later release sees what it would have seen."""
    first = [[4, 6, 10, 0, 1], [3, 8, 7, 2, 5], [9, 11, 10, 2, 7], [4, 1, 3, 9, 0], [11, 8, 6, 5, 10]]
    assert [indices(numbers(12), 5, 7, step).tolist() for step in range(5)] == first
    for epoch in range(3):
        order = np.random.default_rng([7, 0, epoch]).permutation(12)
        np.testing.assert_array_equal(indices(numbers(12), 12, 7, epoch), order)
    labels = np.array([0] * 7 + [1] * 2 + [5] * 3)
    source = balanced(numbers(12)._replace(labels=lambda: labels))
    first = [[10, 8, 4, 9, 7], [0, 11, 3, 7, 2], [11, 8, 5, 7, 10], [1, 9, 8, 6, 9], [7, 8, 4, 10, 5]]
    assert [indices(source, 5, 7, step).tolist() for step in range(5)] == first
    mirrored = [[0, 1, 1, 1, 1, 0, 0, 1], [0, 0, 1, 0, 0, 0, 1, 1]]
    assert [select(numbers(12, flip=True), 8, 7, step).mirrored.astype(int).tolist() for step in range(2)] == mirrored
    assert select(numbers(12), 8, 7, 0).mirrored is None


@pytest.mark.parametrize("batch_size", [4, 7])
def test_balanced_every_class_comes_as_often_and_every_example_of_a_class_too(batch_size):
    labels = np.array([0] * 7 + [1] * 2 + [5] * 3)
    source = balanced(numbers(12)._replace(labels=lambda: labels))
    stream = np.concatenate([indices(source, batch_size, 0, step) for step in range(126 // batch_size + 1)])[:126]
    rounds = labels[stream].reshape(-1, 3)
    assert (np.sort(rounds, 1) == [0, 1, 5]).all()
    assert len(np.unique(rounds, axis=0)) == 6
    for label, times in ((0, 6), (1, 21), (5, 14)):
        of = stream[labels[stream] == label]
        members = np.flatnonzero(labels == label)
        for epoch in of.reshape(times, -1):
            assert sorted(epoch) == list(members)
    with pytest.raises(InputError, match="no labels to balance by"):
        balanced(numbers(12))


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


def test_what_is_known_pixel_by_pixel_is_mirrored_with_its_image():
    """As a drawing that a network is told; what is no picture of this size stays."""
    plain = numbers(40, flip=True)
    known = lambda x: {"drawing": np.concatenate([x, -x], -1), "pose": x[:, 0, :, 0], "small": x[:, :, :1]}
    told = plain._replace(take=lambda i: Batch(plain.take(i).x_0, known(plain.take(i).x_0)))
    selection = select(told, 40, 0, 0)
    resident, part = told.take(np.arange(40)), selection
    for batch in (read(told, selection), examples(resident, part)):
        mirrored = np.asarray(np.diff(batch.x_0[:, 0, :, 0]) < 0)
        assert 5 < mirrored.sum() < 35
        np.testing.assert_array_equal(batch.condition["drawing"], known(np.asarray(batch.x_0))["drawing"])
        np.testing.assert_array_equal(batch.condition["pose"], known(plain.take(selection.index).x_0)["pose"])
        assert batch.condition["small"].shape == (40, 1, 1, 1)


def test_scaling_has_an_exact_inverse():
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(to_unit_range(pixels)), pixels)


def test_scaling_is_exact_at_the_ends():
    np.testing.assert_array_equal(to_unit_range(np.array([0, 255], np.uint8)), [-1, 1])
    assert to_unit_range(np.array([0, 255], np.uint8)).dtype == np.float32
    np.testing.assert_allclose(to_unit_range(np.array([4.0]), 0, 16), [-0.5])


def of(images, labels=None, known=b""):
    source = Source(len(images), image_spec(images.shape[1:]), lambda i: Batch(images[i]), known=known)
    return fingerprint(labeled(source, labels, 3))


PIXELS = np.random.default_rng(0).normal(size=(200, 4, 3, 1)).astype(np.float32)
CLASSES = np.arange(200, dtype=np.int32) % 3


@pytest.mark.parametrize(
    "other",
    [
        (PIXELS[:-1], CLASSES[:-1]),
        (np.concatenate([PIXELS, PIXELS[:1]]), np.append(CLASSES, np.int32(0))),
        (PIXELS[::-1], CLASSES),
        (np.roll(PIXELS, 1, 0), CLASSES),
        (PIXELS.reshape(200, 3, 4, 1), CLASSES),
        (PIXELS + 1, CLASSES),
        (PIXELS, CLASSES[::-1]),
        (PIXELS, np.where(np.arange(200) == 77, 0, CLASSES).astype(np.int32)),
        (PIXELS, None),
        (PIXELS, CLASSES, b"a.png of 3 bytes"),
    ],
    ids=["one less", "one more", "order", "moved", "shape", "pixels", "classes", "a class", "no classes", "files"],
)
def test_the_fingerprint_is_that_of_the_data(other):
    assert of(PIXELS, CLASSES) == of(PIXELS.copy(), CLASSES.copy())
    assert of(*other) != of(PIXELS, CLASSES)


@pytest.mark.parametrize(
    ("labels", "said"),
    [([1, 2, 2], "1 of 3 classes have no example, 0 the"), ([0, 1, 9], "7 of 10 classes .* 2 the"), ([1, 0], "")],
)
def test_classes_without_examples_are_said(caplog, labels, said):
    say_gaps(np.array(labels), "labels")
    assert re.search(said, caplog.text) if said else not caplog.text


def test_the_fingerprint_reads_few_examples():
    seen = []
    source = numbers(10**6)
    fingerprint(source._replace(take=lambda i: seen.extend(i) or source.take(i)))
    assert len(seen) == 64
    assert {0, 10**6 - 1} <= set(seen)
