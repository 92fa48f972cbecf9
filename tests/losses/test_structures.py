"""AlphaFold 3's loss: what it does not see, what it is without its parts, and where its minimum lies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.gaussian import parameterization, schedules
from jaxdiff.gaussian.process import on, perturb, within
from jaxdiff.gaussian.space import centered
from jaxdiff.geometry.rigid import rmsd, rotations
from jaxdiff.losses import times, weights
from jaxdiff.losses.diffusion import diffusion_loss
from jaxdiff.losses.structures import structure_loss
from jaxdiff.transforms.rotation import rotated
from jaxdiff.types import Batch
from tests.helpers.cases import refused
from tests.helpers.orbit import rigid_body

KEY = jax.random.key(0)
MASK = jnp.arange(6) < jnp.array([[6], [4], [5], [6]])
PROCESS = within(schedules.edm(100.0), lambda condition: centered(condition["mask"]))
TIMES = times.log_normal(0.0, 1.0)
EXACT = 1 - np.mean(1 / (1 + np.exp(-np.array([0.5, 1, 2, 4]))))


@pytest.fixture
def batch(rng):
    x = jnp.asarray(rng.normal(size=(4, 6, 3)), jnp.float32)
    return Batch(centered(MASK).project(x), {"mask": MASK.astype(jnp.float32)})


def loss_of(answer, batch, **options):
    """The loss of a network that gives `answer(x_t)` as x̂_0."""
    network = lambda params, x, t, condition, key: answer(x)
    made = structure_loss(PROCESS, parameterization.x0(), network, weights.simple(), TIMES, **options)
    return jax.jit(lambda batch: made({}, KEY, batch))(batch)


@pytest.mark.system
def test_what_is_right_but_for_a_motion_is_right(batch):
    moved = batch.x_0 @ rotations(KEY, 4).mT + 7.0
    loss, metrics = loss_of(lambda x: moved, batch)
    np.testing.assert_allclose(loss, EXACT, atol=1e-5)
    np.testing.assert_allclose([metrics["mse"], metrics["lddt"]], [0, 1 - EXACT], atol=1e-5)
    assert float(loss_of(lambda x: moved, batch, aligned=False)[0]) > EXACT + 0.1
    mirrored, flat = (batch.x_0 * jnp.array(signs) for signs in ([1, 1, -1], [1, 1, 0]))
    assert float(loss_of(lambda x: mirrored, batch)[1]["mse"]) > 0.01  # of the other hand
    assert float(loss_of(lambda x: flat, batch)[1]["lddt"]) < 1 - EXACT - 0.005


@pytest.mark.system
def test_padding_has_no_part(batch):
    wild = lambda x: jnp.where(MASK[..., None], 0.5 * jnp.tanh(x), 1e3)
    calm = lambda x: jnp.where(MASK[..., None], 0.5 * jnp.tanh(x), 0)
    for aligned in (True, False):
        ours, theirs = (loss_of(answer, batch, aligned=aligned)[0] for answer in (wild, calm))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.system
@pytest.mark.parametrize("name", ["edm", pytest.param("v", marks=pytest.mark.slow)])
def test_plain_it_is_the_loss_of_diffusion(batch, name):
    """The same mean over many draws, for both weigh the same error."""
    network = lambda params, x, t, condition, key: 0.3 * jnp.tanh(x)
    meaning = getattr(parameterization, name)()
    weight = weights.edm(2.0)
    plain = structure_loss(PROCESS, meaning, network, weight, TIMES, aligned=False, lddt=0.0)
    other = diffusion_loss(PROCESS, meaning, network, weight, TIMES)
    keys = jax.random.split(KEY, 2000)
    ours, theirs = (jax.jit(jax.vmap(lambda k, f=f: f({}, k, batch)[0]))(keys) for f in (plain, other))
    error = np.hypot(ours.std(), theirs.std()) / len(keys) ** 0.5
    assert abs(float(ours.mean() - theirs.mean())) < 4 * error
    assert error < 0.1 * float(theirs.mean())


@pytest.mark.slow
def test_its_minimum_is_not_the_posterior_mean(rng):
    """A body in all orientations under noise that drowns it: the mean has nearly no size, the aligned minimum its own.

    The mean is the best of all for the plain error, by which nothing beats it; the aligned one is then next to 0.
    """
    body = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32)
    body = body - body.mean(0)
    n = 1000
    x_0 = body @ rotations(KEY, n).mT
    process = on(PROCESS, {"mask": jnp.ones((n, 6))})
    t = jnp.full(n, 0.1)
    x_t, _ = perturb(process, jax.random.key(1), x_0, t)
    mean = jax.jit(rigid_body(process, body))(x_t, t)
    plain = lambda x: float(jnp.square(x - x_0).sum((1, 2)).mean() / 15)
    assert float(jnp.abs(mean).mean()) < 0.3 * float(jnp.abs(body).mean())
    assert plain(mean) < plain(0 * x_0) < plain(jnp.broadcast_to(body, x_0.shape))
    assert float(rmsd(jnp.broadcast_to(body, x_0.shape), x_0).max()) < 1e-4
    assert float(rmsd(mean, x_0).min()) > 0.3


@pytest.mark.system
def test_gradients_are_finite_where_nothing_is_known(batch):
    """A fresh network answers zeros: no motion is the best one there."""
    network = lambda params, x, t, condition, key: params * x * 0
    made = structure_loss(PROCESS, parameterization.x0(), network, weights.simple(), TIMES)
    assert np.isfinite(jax.jit(jax.grad(lambda p: made(p, KEY, batch)[0]))(1.0))


def test_other_data_is_refused(batch):
    with refused("is for points"):
        loss_of(lambda x: x, batch._replace(x_0=batch.x_0[..., :2]))


@pytest.mark.system
def test_examples_are_turned_each_by_its_own(batch):
    features = jnp.ones((4, 6, 2))
    turned = rotated()(KEY, batch._replace(x_0=jnp.concatenate([batch.x_0, features], -1)))
    np.testing.assert_array_equal(turned.x_0[..., 3:], features)
    np.testing.assert_allclose(rmsd(turned.x_0[..., :3], batch.x_0, MASK), 0, atol=1e-5)
    assert np.ptp(np.asarray(turned.x_0[:, 0, :3] @ batch.x_0[:, 0].T).diagonal()) > 0
    assert turned.condition is batch.condition
