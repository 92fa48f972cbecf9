"""The judge of moving digits: what it says of real videos, and of broken ones."""

import numpy as np
import pytest

from jaxdiff.evaluation.moving import classes_of, judge, nearest_way, places_of, psnr
from jaxdiff.modalities.video import moving_digits
from jaxdiff.modalities.video.moving import fold


@pytest.fixture(scope="module")
def real():
    return moving_digits("test", n=24).take(np.arange(24))


def test_ways_are_found_again(rng):
    start, velocity = rng.uniform(0, 8, 20), rng.uniform(-1.5, 1.5, 20)
    way = fold(start[:, None] + velocity[:, None] * np.arange(16), 8)
    assert np.sqrt(np.mean((nearest_way(way, 8) - way) ** 2)) < 0.05
    assert np.sqrt(np.mean((nearest_way(rng.permuted(way, axis=1), 8) - rng.permuted(way, axis=1)) ** 2)) > 0.8


def test_places_follow_a_digit_and_overlook_specks(real):
    ink = (real.x_0[..., 0] + 1) / 2
    speck = ink.copy()
    speck[:, :, 0, 0] += 0.5
    places = places_of(ink)
    assert np.ptp(places, axis=1).max() > 2
    far = np.linalg.norm(places, axis=-1) > 8  # where a window around the digit leaves the corner out
    assert far.any()
    np.testing.assert_allclose(places_of(speck)[far], places[far], atol=1e-6)
    down = np.roll(ink, 1, axis=2)
    stays = (ink[:, :, -1] == 0).all(-1)
    moved = (places_of(down) - places)[stays]
    np.testing.assert_allclose(moved, np.broadcast_to([1.0, 0.0], moved.shape), atol=0.05)


@pytest.mark.system
def test_real_videos_are_judged_well_and_broken_ones_are_not(real):
    labels = real.condition["label"]
    good = judge(real.x_0, labels)
    assert good.identity > 0.9
    assert good.label > 0.9
    assert good.position < 0.35
    rng = np.random.default_rng(0)
    shuffled = judge(rng.permuted(real.x_0, axis=1), labels)
    assert shuffled.position > 3 * good.position
    mixed = judge(np.concatenate([real.x_0[:, :8], np.roll(real.x_0, 1, 0)[:, 8:]], 1), labels)
    assert mixed.identity < 0.75
    assert judge(real.x_0, np.roll(labels, 1)).label < 0.4


def test_psnr_is_by_the_mean_of_squares():
    x = np.zeros((2, 3, 4, 4, 1))
    assert psnr(x + 0.2, x) == pytest.approx(20.0)
    assert classes_of(np.zeros((1, 2, 16, 16))).shape == (1, 2)
