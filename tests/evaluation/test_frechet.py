import numpy as np
import pytest
from scipy import linalg

from jaxdiff.evaluation.frechet import distance, extrapolated, frechet_distance
from jaxdiff.evaluation.moments import Moments, covariance, gathered, moments, root


def by_scipy(a, b):
    c_a, c_b = np.cov(a.T), np.cov(b.T)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c_a + c_b - 2 * linalg.sqrtm(c_a @ c_b).real)


@pytest.fixture
def sets(rng):
    return rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)), rng.normal(size=(300, 6)) + 0.5


def test_against_the_formula_with_scipys_root(sets):
    np.testing.assert_allclose(frechet_distance(*sets), by_scipy(*sets), rtol=1e-9)
    np.testing.assert_allclose(distance(*map(moments, sets)), by_scipy(*sets), rtol=1e-9)


def test_of_many_features_against_scipys_root(rng):
    mix = rng.normal(size=(200, 200)) * np.geomspace(1, 1e-3, 200)
    a, b = rng.normal(size=(900, 200)) @ mix, rng.normal(size=(700, 200)) @ mix * 1.2
    np.testing.assert_allclose(distance(moments(a), moments(b)), by_scipy(a, b), rtol=1e-6)


def test_nothing_between_a_set_and_itself_even_if_singular(rng):
    a = rng.normal(size=(20, 64))
    assert abs(frechet_distance(a, a)) < 1e-9
    assert abs(distance(moments(a), moments(a))) < 1e-9
    np.testing.assert_allclose(frechet_distance(a, a + 2), 4 * 64, rtol=1e-9)
    np.testing.assert_allclose(distance(moments(a), moments(a + 2)), 4 * 64, rtol=1e-9)


def test_of_singular_covariances_it_is_that_of_the_subspace(rng):
    low_a, low_b = rng.normal(size=(200, 3)), 2 * rng.normal(size=(200, 3)) + 1
    into = np.linalg.qr(rng.normal(size=(40, 3)))[0].T
    given = distance(moments(low_a @ into), moments(low_b @ into))
    np.testing.assert_allclose(given, by_scipy(low_a, low_b), rtol=1e-7)


def test_of_gaussians_with_known_moments():
    diagonal = lambda mean, deviation: Moments(2, np.array(mean), np.diag(np.square(deviation)))
    d = distance(diagonal([0.0, 1.0], [1.0, 2.0]), diagonal([3.0, 1.0], [4.0, 2.5]))
    np.testing.assert_allclose(d, 9 + 3**2 + 0.5**2, rtol=1e-12)


def test_moments_in_a_stream_are_those_of_all(rng):
    x = rng.normal(size=(1001, 5)) + 1e4
    streamed = gathered(x[i : i + 64] for i in range(0, 1001, 64))
    assert streamed.count == 1001
    np.testing.assert_allclose(streamed.mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(covariance(streamed), np.cov(x.T), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(root(streamed) @ root(streamed).T, np.cov(x.T), atol=1e-12)


def test_it_falls_with_n_and_the_extrapolation_removes_that(rng):
    d, n = 16, 1600
    reference, found = Moments(2, np.zeros(d), np.eye(d)), []
    for _ in range(20):
        x = rng.normal(size=(n, d))
        found.append([distance(moments(x[: n // 4]), reference), distance(moments(x), reference)])
        found[-1].append(extrapolated(x, reference, rng).value)
    few, all_, none = np.mean(found, 0)
    # E|mean|² = d / n, and E tr(I + C - 2 C^(1/2)) = d (d + 1) / (4 n) to the first order
    theory = d / n + d * (d + 1) / (4 * n)
    np.testing.assert_allclose([few, all_], [4 * theory, theory], rtol=0.1)
    assert abs(none) < 0.1 * all_


def test_the_extrapolation_leaves_a_true_distance(rng):
    d = 8
    reference = Moments(2, np.zeros(d), np.eye(d))
    values = [extrapolated(rng.normal(size=(1000, d)) + 0.1, reference, rng).value for _ in range(20)]
    assert abs(np.mean(values) - 0.01 * d) < 3 * np.std(values) / np.sqrt(20)


def test_sets_of_other_features_cannot_be_compared(rng):
    for b in (rng.normal(size=(20, 5)), rng.normal(size=20)):
        with pytest.raises(AssertionError):
            frechet_distance(rng.normal(size=(20, 6)), b)
