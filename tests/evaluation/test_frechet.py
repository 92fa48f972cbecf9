import numpy as np
import pytest
from scipy import linalg

from jaxdiff.evaluation.frechet import frechet_distance


def test_against_the_formula_with_scipys_root(rng):
    a, b = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)), rng.normal(size=(300, 6)) + 0.5
    c_a, c_b = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c_a + c_b - 2 * linalg.sqrtm(c_a @ c_b).real)
    np.testing.assert_allclose(frechet_distance(a, b), expected, rtol=1e-9)


def test_nothing_between_a_set_and_itself_even_if_singular(rng):
    a = rng.normal(size=(20, 64))
    assert abs(frechet_distance(a, a)) < 1e-9
    np.testing.assert_allclose(frechet_distance(a, a + 2), 4 * 64, rtol=1e-9)


def test_sets_of_other_features_cannot_be_compared(rng):
    for b in (rng.normal(size=(20, 5)), rng.normal(size=20)):
        with pytest.raises(AssertionError):
            frechet_distance(rng.normal(size=(20, 6)), b)
