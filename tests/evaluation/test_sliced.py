import numpy as np
from scipy.stats import wasserstein_distance

from jaxdiff.evaluation.sliced import sliced_wasserstein, wasserstein


def test_one_dimension_against_scipy(rng):
    for n, m in [(50, 50), (50, 30), (7, 12)]:
        a, b = rng.normal(size=(n, 2)), rng.exponential(size=(m, 2))
        expected = [wasserstein_distance(a[:, i], b[:, i]) for i in range(2)]
        np.testing.assert_allclose(wasserstein(a, b, power=1), expected, rtol=1e-12)


def test_other_sizes_are_those_of_repeated_rows(rng):
    a, b = rng.normal(size=(6, 3)), rng.normal(size=(4, 3))
    expected = wasserstein(np.repeat(a, 2, 0), np.repeat(b, 3, 0))
    np.testing.assert_allclose(wasserstein(a, b), expected, rtol=1e-12)


def test_a_shift_is_known(rng):
    """W_2² along θ is (θ·m)², with mean |m|² / d."""
    a, m = rng.normal(size=(100, 8)), np.full(8, 0.5)
    theta = np.random.default_rng(1).normal(size=(8, 2000))
    theta /= np.linalg.norm(theta, axis=0)
    given = sliced_wasserstein(a, a + m, np.random.default_rng(1), 2000)
    np.testing.assert_allclose(given, np.sqrt(((m @ theta) ** 2).mean()), rtol=1e-10)
    np.testing.assert_allclose(given, np.sqrt(m @ m / 8), rtol=0.05)
    assert sliced_wasserstein(a, a, rng) == 0


def test_of_gaussians_of_two_widths(rng):
    a, b = rng.normal(size=(20000, 3)), 2 * rng.normal(size=(20000, 3))
    np.testing.assert_allclose(sliced_wasserstein(a, b, rng, 32), 1, rtol=0.03)
