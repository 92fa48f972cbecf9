import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxdiff.evaluation.manifold import expected_coverage, manifold
from jaxdiff.evaluation.neighbors import kth_distance, nearest
from tests.helpers.peers import peer


@pytest.fixture
def sets(rng):
    return rng.normal(size=(90, 5)) * 1.3, rng.normal(size=(70, 5)) + 0.4


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("jaxdiff.evaluation.neighbors.AT_ONCE", 1000)


@pytest.mark.usefixtures("small_blocks")
def test_against_all_distances(sets):
    samples, real = sets
    k, across = 3, cdist(*sets)
    radius = lambda x: np.sort(cdist(x, x), 1)[:, k]
    inside = across < radius(real)[None]
    expected = (
        inside.any(1).mean(),
        (across < radius(samples)[:, None]).any(0).mean(),
        inside.sum(1).mean() / k,
        inside.any(0).mean(),
    )
    np.testing.assert_allclose(manifold(samples, real, k), expected, rtol=1e-12)
    np.testing.assert_allclose(np.sqrt(kth_distance(real, k)), radius(real), rtol=1e-9)


@pytest.mark.usefixtures("small_blocks")
def test_neighbors(sets):
    a, b = sets
    distances, numbers = nearest(a, b, 4)
    np.testing.assert_allclose(distances, np.sort(cdist(a, b), 1)[:, :4], rtol=1e-12)
    np.testing.assert_array_equal(numbers, np.argsort(cdist(a, b), 1)[:, :4])
    assert nearest(b + 100, b + 100)[0].max() == 0


def test_overlapping_uniforms(rng):
    """Of U(0, 1) and U(s, 1 + s) a share 1 - s lies in the other's support."""
    n, shift, k = 2500, 0.3, 5
    given = manifold(rng.random((n, 1)) + shift, rng.random((n, 1)), k)
    np.testing.assert_allclose(given.precision, 1 - shift, atol=0.03)
    np.testing.assert_allclose(given.recall, 1 - shift, atol=0.03)
    np.testing.assert_allclose(given.density, 1 - shift, atol=0.03)
    np.testing.assert_allclose(given.coverage, (1 - shift) * expected_coverage(n, n, k), atol=0.03)


def test_expected_coverage(rng):
    given = [manifold(rng.normal(size=(60, 2)), rng.normal(size=(40, 2)), 3).coverage for _ in range(100)]
    assert abs(np.mean(given) - expected_coverage(60, 40, 3)) < 3 * np.std(given) / 10


def test_a_lost_mode_is_seen_by_recall_and_an_outlier_by_precision(rng):
    real = np.concatenate([rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 50])
    one = manifold(rng.normal(size=(400, 2)), real)
    assert one.precision > 0.9
    assert one.recall < 0.6
    away = manifold(np.concatenate([real[::2] + 0.01, rng.normal(size=(200, 2)) + 1000]), real)
    assert away.precision < 0.6


@pytest.mark.parity
def test_peers_agree(sets):
    torch = pytest.importorskip("torch")
    samples, real = sets
    theirs = peer("prdc").compute_prdc(real, samples, 5)
    np.testing.assert_allclose(manifold(samples, real, 5), [theirs[f] for f in manifold(*sets)._fields], rtol=1e-9)
    both = peer("torch_fidelity.metric_prc").calculate_precision_recall_full
    precision, recall = both(torch.tensor(samples), torch.tensor(real), 3)[:2]
    np.testing.assert_allclose(manifold(samples, real, 3)[:2], (precision, recall), rtol=1e-6)
