"""Rigid motions and the measures of structures, against SciPy and against loops written out."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from jaxdiff.geometry import rigid, structures

KEY = jax.random.key(0)


def clouds(rng, *shape):
    return rng.normal(size=(*shape, 3))


def by_scipy(x, y, w):
    """x laid onto y, by SciPy, with the mean of each taken with the weights."""
    mean = lambda a: (w[:, None] * a).sum(0) / w.sum()
    turn, _ = Rotation.align_vectors(y - mean(y), x - mean(x), weights=w)
    return turn.apply(x - mean(x)) + mean(y)


@pytest.mark.system
@pytest.mark.usefixtures("float64")
def test_alignment_is_that_of_scipy(rng):
    x, y, w = clouds(rng, 20, 7), clouds(rng, 20, 7), rng.uniform(0.1, 2, (20, 7))
    w[:, 5:] = 0
    ours = rigid.align(jnp.asarray(x), jnp.asarray(y), jnp.asarray(w))
    for i in range(20):
        there = by_scipy(x[i], y[i], w[i])
        np.testing.assert_allclose(ours[i], there, atol=1e-6)
        apart = np.sqrt((w[i] * ((there - y[i]) ** 2).sum(1)).sum() / w[i].sum())
        np.testing.assert_allclose(rigid.rmsd(*map(jnp.asarray, (x[i], y[i], w[i]))), apart, atol=1e-6)


@pytest.mark.system
def test_alignment_undoes_a_motion_and_keeps_the_hand(rng):
    x = jnp.asarray(clouds(rng, 4, 6), jnp.float32)
    there = x @ rigid.rotations(KEY, 4).mT + 5.0
    np.testing.assert_allclose(rigid.align(x, there), there, atol=2e-5)
    assert float(rigid.rmsd(x, there).max()) < 2e-5
    assert float(rigid.rmsd(x * jnp.array([1, 1, -1]), x).min()) > 0.1
    flat = x.at[..., 2].set(0)
    assert float(rigid.rmsd(flat * jnp.array([1, -1, 1]), flat).max()) < 1e-5  # of a planar body both hands are one


@pytest.mark.system
def test_padding_has_no_part_in_an_alignment(rng):
    x, y = (jnp.asarray(clouds(rng, 3, 8), jnp.float32) for _ in range(2))
    mask = jnp.arange(8) < 5
    mask = jnp.broadcast_to(mask, (3, 8))
    alone = rigid.align(x[:, :5], y[:, :5])
    wild = x.at[:, 5:].set(1e3)
    np.testing.assert_allclose(rigid.align(wild, y, mask)[:, :5], alone, atol=1e-5)
    np.testing.assert_allclose(rigid.rmsd(wild, y, mask), rigid.rmsd(x[:, :5], y[:, :5]), atol=1e-5)


@pytest.mark.system
def test_the_gradient_of_an_aligned_distance_is_exact(rng):
    """By differences, though none passes through the motion; and finite where the motion is not unique."""
    x, y = (jnp.asarray(clouds(rng, 5), jnp.float32) for _ in range(2))
    loss = jax.jit(lambda x, y=y: jnp.square(rigid.align(y, x) - x).sum())
    along = jnp.asarray(clouds(rng, 5), jnp.float32)
    slope = (loss(x + 1e-2 * along) - loss(x - 1e-2 * along)) / 2e-2
    gradient = jax.jit(jax.grad(loss))
    np.testing.assert_allclose((gradient(x, y) * along).sum(), slope, rtol=1e-3)
    of_lddt = jax.jit(jax.grad(lambda x: structures.smooth_lddt(x, y)))
    for degenerate in (jnp.zeros((5, 3)), jnp.arange(5.0)[:, None] * jnp.ones(3)):
        assert np.isfinite(gradient(x, degenerate)).all()
        assert np.isfinite(of_lddt(degenerate)).all()


@pytest.mark.system
def test_rotations_are_uniform():
    """The angle of a uniform rotation has the density (1 - cos a) / pi; an axis goes evenly to the sphere."""
    r = np.asarray(rigid.rotations(KEY, 20_000))
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.broadcast_to(np.eye(3), r.shape), atol=2e-6)
    np.testing.assert_allclose(np.linalg.det(r), 1, atol=2e-6)
    angle = np.arccos(np.clip((np.trace(r, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert kstest(angle, lambda a: (a - np.sin(a)) / np.pi).pvalue > 0.01
    for i, j in itertools.product(range(3), range(3)):
        assert kstest(r[:, i, j], lambda z: (1 + z) / 2).pvalue > 1e-3


@pytest.mark.system
def test_lddt_is_what_a_loop_counts(rng):
    x, true = clouds(rng, 9) * 4, clouds(rng, 9) * 4
    mask = np.arange(9) < 7
    hits, soft, count = 0, 0, 0
    for i, j in itertools.permutations(range(7), 2):
        wanted = np.linalg.norm(true[i] - true[j])
        if wanted >= 9:
            continue
        error = abs(np.linalg.norm(x[i] - x[j]) - wanted)
        hits += sum(error < c for c in (0.5, 1, 2, 4)) / 4
        soft += sum(1 / (1 + np.exp(error - c)) for c in (0.5, 1, 2, 4)) / 4
        count += 1
    assert 10 < count < 42
    x, true, mask = jnp.asarray(x), jnp.asarray(true), jnp.asarray(mask)
    np.testing.assert_allclose(structures.lddt(x, true, mask, 9.0), hits / count, rtol=1e-5)
    np.testing.assert_allclose(structures.smooth_lddt(x, true, mask, 9.0), soft / count, rtol=1e-5)
    np.testing.assert_allclose(structures.smooth_lddt(true, true), 0.804082, atol=1e-6)
    assert float(structures.lddt(true * 0, true, mask=jnp.arange(9) < 1)) == 1  # one atom has no pair


@pytest.mark.system
def test_lengths_angles_and_hands():
    """Water at 104.5 degrees, a straight line, and a tetrahedron and its mirror image."""
    at = np.deg2rad(104.5)
    water = jnp.asarray([[0, 0, 0], [0.96, 0, 0], [0.96 * np.cos(at), 0.96 * np.sin(at), 0]], jnp.float32)
    np.testing.assert_allclose(structures.lengths(water, np.array([[0, 1], [2, 0]])), 0.96, atol=1e-6)
    np.testing.assert_allclose(structures.angles(water, np.array([[1, 0, 2], [1, 0, 1]])), [104.5, 0], atol=1e-4)
    line = jnp.asarray([[-1.0, 0, 0], [0, 0, 0], [2, 0, 0]])
    np.testing.assert_allclose(structures.angles(line, np.array([[0, 1, 2]])), [180], atol=1e-4)
    corner = jnp.concatenate([jnp.zeros((1, 3)), jnp.eye(3)])
    quadruple = np.array([[0, 1, 2, 3]])
    assert structures.volumes(corner, quadruple).tolist() == [1.0]
    assert structures.volumes(-corner, quadruple).tolist() == [-1.0]


def test_coverage_and_matching():
    rmsds = np.array([[0.3, 2.0], [0.6, 0.4], [1.5, 1.2], [0.9, 0.7]])
    assert float(structures.coverage(rmsds, 0.5)) == 0.5
    assert float(structures.coverage(rmsds, 0.75)) == 0.75
    np.testing.assert_allclose(structures.matching(rmsds), np.mean([0.3, 0.4, 1.2, 0.7]), rtol=1e-6)
