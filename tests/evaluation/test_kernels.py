import numpy as np
import pytest

from jaxdiff.evaluation.class_score import class_score, histogram
from jaxdiff.evaluation.kernels import cubic, gaussian, kid, median_distance, mmd
from tests.helpers.peers import peer


def by_loops(a, b, kernel):
    k = lambda x, y: kernel(x[None], y[None])[0, 0]
    n, m = len(a), len(b)
    within = lambda x: sum(k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j)
    across = sum(k(x, y) for x in a for y in b)
    return within(a) / (n * (n - 1)) + within(b) / (m * (m - 1)) - 2 * across / (n * m)


@pytest.mark.parametrize("kernel", [cubic, gaussian(1.7)])
def test_against_the_sums(kernel, rng, monkeypatch):
    monkeypatch.setattr("jaxdiff.evaluation.neighbors.AT_ONCE", 100)
    a, b = rng.normal(size=(23, 4)), rng.normal(size=(17, 4)) * 1.5
    np.testing.assert_allclose(mmd(a, b, kernel), by_loops(a, b, kernel), rtol=1e-10)


def test_it_is_unbiased(rng):
    values = [mmd(rng.normal(size=(50, 8)), rng.normal(size=(50, 8)), cubic) for _ in range(100)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 10
    assert min(values) < 0


def test_of_gaussians_with_a_gaussian_kernel_it_is_known(rng):
    """E k of N(m, 2 I) is (w² / (w² + 2))^(d/2) exp(-|m|² / (2 (w² + 2)))."""
    d, shift, width = 3, 1.0, 1.5
    mean_k = lambda m2: (width**2 / (width**2 + 2)) ** (d / 2) * np.exp(-m2 / (2 * (width**2 + 2)))
    exact = 2 * mean_k(0) - 2 * mean_k(d * shift**2)
    values = [mmd(rng.normal(size=(200, d)), rng.normal(size=(200, d)) + shift, gaussian(width)) for _ in range(30)]
    assert abs(np.mean(values) - exact) < 3 * np.std(values) / np.sqrt(30)


def test_the_mean_over_subsets_is_that_of_all(rng):
    a, b = rng.normal(size=(300, 8)), rng.normal(size=(300, 8)) + 0.5
    given = kid(a, b, rng, subsets=200, size=50)
    assert abs(given.mean - mmd(a, b, cubic)) < 4 * given.spread / np.sqrt(200)
    whole = kid(a, b, rng, subsets=3)
    np.testing.assert_allclose([whole.mean, whole.spread], [mmd(a, b, cubic), 0], atol=1e-10)


def test_median_distance(rng):
    x = rng.normal(size=(30, 3))
    every = [np.linalg.norm(x[i] - x[j]) for i in range(30) for j in range(i)]
    np.testing.assert_allclose(median_distance(x), np.median(every), rtol=1e-7)


def test_the_median_distance_is_that_of_all_rows_in_whatever_order(rng):
    x = np.sort(rng.normal(size=(4000, 1)), 0)
    np.testing.assert_allclose(median_distance(x), 0.954, rtol=0.05)  # of |N(0, 2)|


def test_the_score_of_sure_and_of_unsure_classifiers():
    sure = 1000.0 * np.eye(10)[np.arange(200) % 10]
    np.testing.assert_allclose(class_score(sure), (10, 0), atol=1e-9)
    np.testing.assert_allclose(class_score(np.zeros((200, 10))), (1, 0), atol=1e-9)
    half = 1000.0 * np.eye(10)[np.arange(200) % 5]
    np.testing.assert_allclose(class_score(half), (5, 0), atol=1e-9)
    np.testing.assert_allclose(histogram(half), [0.2] * 5 + [0] * 5)


def test_the_score_against_the_sums(rng):
    logits = rng.normal(size=(40, 5))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    mean = p.mean(0)
    expected = np.exp(np.mean([sum(row * np.log(row / mean)) for row in p]))
    np.testing.assert_allclose(class_score(logits, splits=1), (expected, 0), rtol=1e-12)


@pytest.mark.parity
def test_torch_fidelity_agrees(rng):
    torch = pytest.importorskip("torch")
    a, b = rng.normal(size=(120, 8)), rng.normal(size=(120, 8)) + 0.3
    its = peer("torch_fidelity.metric_kid").kid_features_to_metric
    theirs = its(torch.tensor(a), torch.tensor(b), kid_subsets=2, kid_subset_size=120, verbose=False)
    np.testing.assert_allclose(kid(a, b, rng, 2, 120).mean, theirs["kernel_inception_distance_mean"], rtol=1e-9)
    its = peer("torch_fidelity.metric_isc").isc_features_to_metric
    theirs = its(torch.tensor(a), splits=7, shuffle=False)
    np.testing.assert_allclose(class_score(a, 7), tuple(theirs.values()), rtol=1e-9)
