import numpy as np
import pytest

from jaxdiff.evaluation.intervals import bootstrap, jackknife
from jaxdiff.evaluation.memorization import memorization


def data(rng, n):
    """On a curved sheet, in 16 features."""
    z = rng.normal(size=(n, 4))
    return np.concatenate([z, z**2, np.sin(z), z[:, ::-1] * z], 1) + 0.1 * rng.normal(size=(n, 16))


def test_copies_are_found(rng):
    training, held_out = data(rng, 500), data(rng, 500)
    samples = np.concatenate([training[:50], data(rng, 450)])
    found = memorization(samples, training, held_out, rng, 999)
    assert found.p_value <= 0.001
    assert found.copies >= 0.1
    assert found.copies_held_out < 0.02
    assert found.share > found.expected
    assert found.ratio < 1


@pytest.mark.system
def test_held_out_data_are_no_copies_and_the_test_keeps_its_level(rng):
    p = [memorization(data(rng, 200), data(rng, 300), data(rng, 100), rng, 199).p_value for _ in range(100)]
    assert np.mean(np.array(p) <= 0.1) < 0.2
    assert 0.35 < np.mean(p) < 0.65


def test_sets_of_one_size_have_ratio_one(rng):
    found = memorization(data(rng, 1000), data(rng, 1000), data(rng, 1000), rng, 99)
    assert abs(found.ratio - 1) < 0.05
    assert abs(found.share - found.expected) < 0.06
    assert found.expected == 0.5


def test_a_real_example_in_both_sets_is_no_evidence(rng):
    both = data(rng, 100)
    found = memorization(both, both, both, rng, 99)
    assert found.share == 0.5
    assert found.copies == 0
    assert found.p_value > 0.9


def test_the_jackknife_of_a_mean_is_the_standard_error(rng):
    x = rng.normal(size=100)
    given = jackknife(lambda i: x[i].mean(), 100, rng, groups=100)
    np.testing.assert_allclose(given.error, x.std(ddof=1) / 10, rtol=1e-10)
    assert given.low < x.mean() < given.high


@pytest.mark.system
def test_intervals_hold_what_they_say(rng):
    for make in (lambda f: jackknife(f, 60, rng), lambda f: bootstrap(f, 60, rng, 200)):
        held = 0
        for _ in range(150):
            x = rng.exponential(size=60)
            interval = make(lambda i, x=x: x[i].mean())
            held += interval.low < 1 < interval.high
        assert 0.88 < held / 150 < 0.99


def test_the_bootstrap_is_reflected(rng):
    """Of a statistic that resampling makes larger the interval lies below, not above."""
    x = rng.normal(size=(50, 10))
    size = lambda i: (x[i].mean(0) ** 2).sum()
    given = bootstrap(size, 50, rng, 500)
    assert given.low < 0
    assert given.high < 2 * given.value
