import numpy as np
import pytest

from jaxdiff.evaluation.baselines import Mixture, drawn, fit, nearest_restored, operator_matrix, restored


@pytest.fixture
def mixture(rng):
    roots = rng.normal(size=(3, 4, 4))
    return Mixture(
        np.array([0.5, 0.3, 0.2]), 2 * rng.normal(size=(3, 4)), roots @ roots.swapaxes(1, 2) + 0.1 * np.eye(4)
    )


def test_draws_have_the_moments_of_the_mixture(mixture, rng):
    x = drawn(mixture, rng, 200_000)
    mean = mixture.weights @ mixture.means
    off = mixture.means - mean
    covariance = np.einsum("k,kij->ij", mixture.weights, mixture.covariances + off[:, :, None] * off[:, None])
    np.testing.assert_allclose(x.mean(0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.15)


def test_restorations_are_the_posterior_means(mixture, rng):
    """Against importance weights of many draws."""
    A, noise = rng.normal(size=(2, 4)), 0.7
    y = rng.normal(size=(3, 2))
    x = drawn(mixture, rng, 400_000)
    weights = np.exp(-0.5 * ((y[:, None] - x @ A.T) ** 2).sum(2) / noise**2)
    expected = weights @ x / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(restored(mixture, A, y, noise), expected, atol=0.05)


def test_one_gaussian_is_linear(rng):
    x = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3))
    one = fit(x, 1, least=0)
    np.testing.assert_allclose(one.covariances[0], np.cov(x.T, bias=True), rtol=1e-9)
    C, m, y = one.covariances[0], one.means[0], rng.normal(size=(5, 3))
    expected = m + (y - m) @ np.linalg.solve(C + 0.25 * np.eye(3), C)
    np.testing.assert_allclose(restored(one, np.eye(3), y, 0.5), expected, rtol=1e-9)


def test_well_separated_components_are_found(rng):
    x = np.concatenate([rng.normal(size=(100, 2)), rng.normal(size=(300, 2)) + 20])
    found = fit(x, 2)
    np.testing.assert_allclose(sorted(found.weights), [0.25, 0.75], atol=1e-6)


def test_neighbors_explain_the_measurement(rng):
    training = rng.normal(size=(50, 6))
    half = operator_matrix(lambda x: x.reshape(-1, 3, 2).mean(2), (3, 2))
    np.testing.assert_allclose(half @ np.arange(6.0), [0.5, 2.5, 4.5])
    np.testing.assert_array_equal(nearest_restored(training, half, training[:7] @ half.T), training[:7])
