"""Losses of sequences, with the exact denoiser of a Gaussian as network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.gaussian.mixture import gaussian
from jaxdiff.gaussian.parameterization import v, x0
from jaxdiff.gaussian.schedules import cosine
from jaxdiff.losses import frames_loss, held_loss
from jaxdiff.losses.times import stratified
from jaxdiff.losses.weights import simple
from jaxdiff.types import Batch

FRAMES, N = 5, 4000
PLACES = np.arange(FRAMES)
COVARIANCE = 0.8 ** abs(PLACES[:, None] - PLACES)
PROCESS = cosine()


def sequences():
    return Batch(
        jnp.asarray(np.random.default_rng(0).normal(size=(N, FRAMES)) @ np.linalg.cholesky(COVARIANCE).T)[..., None]
    )


def exact(params, x, time, condition=None, key=None):
    return params * gaussian(PROCESS, jnp.zeros((FRAMES, 1)), COVARIANCE)(x, (time + 1) / 1000)


def least(t):
    """The mean variance of a frame given all, noised to times t (n, frames): what no denoiser goes below."""
    alpha, sigma = np.asarray(PROCESS.alpha(t), np.float64), np.asarray(PROCESS.sigma(t), np.float64)
    a = alpha[:, :, None] * np.eye(FRAMES)
    noisy = a @ COVARIANCE @ a + sigma[:, :, None] ** 2 * np.eye(FRAMES)
    left = COVARIANCE - COVARIANCE @ a @ np.linalg.solve(noisy, a @ COVARIANCE)
    return np.trace(left, axis1=1, axis2=2).mean() / FRAMES


@pytest.mark.system
@pytest.mark.parametrize("together", [0.0, 1.0])
def test_the_exact_denoiser_has_the_least_loss(together):
    loss = jax.jit(frames_loss(PROCESS, x0(), exact, simple(), stratified(0.01), together))
    batch, key = sequences(), jax.random.key(0)
    rng = np.random.default_rng(1)
    t = rng.uniform(0.01, 1, (20_000, FRAMES if not together else 1)) * np.ones(FRAMES)
    found = loss(jnp.float32(1), key, batch)[0]
    np.testing.assert_allclose(found, least(np.float32(t)), rtol=0.05)
    for factor in (0.9, 1.1):
        assert loss(jnp.float32(factor), key, batch)[0] > found


@pytest.mark.system
def test_every_frame_has_a_time_of_its_own():
    seen = []

    def network(params, x, time, condition=None, key=None):
        seen.append(np.asarray(time))
        return x

    frames_loss(PROCESS, v(), network, simple(), stratified(0.01), 0.25)(None, jax.random.key(0), sequences())
    t = (seen[0] + 1) / 1000
    assert t.shape == (N, FRAMES)
    together = (t == t[:, :1]).all(1)
    assert 0.22 < together.mean() < 0.28
    free = t[~together]
    assert abs(np.corrcoef(free.T) - np.eye(FRAMES)).max() < 0.06
    np.testing.assert_allclose(np.quantile(free, [0.1, 0.5, 0.9]), [0.11, 0.505, 0.9], atol=0.02)


def test_the_share_of_one_time_is_that_in_parts_of_any_size():
    """Of one example, too, as a step that accumulates gradients may take them."""
    network = lambda params, x, time, *rest: jnp.ones_like(x) * (time == time[:, :1]).all()
    loss = frames_loss(PROCESS, x0(), network, simple(), stratified(0.01), 0.25)
    one = lambda key: loss(None, key, Batch(jnp.zeros((1, FRAMES, 1))))[1]["mse"]
    assert 0.2 < jax.vmap(one)(jax.random.split(jax.random.key(0), 2000)).mean() < 0.3


@pytest.mark.system
@pytest.mark.parametrize(("first", "last"), [(1, 1), (2, 0)])
def test_held_frames_are_shown_as_they_are_and_cost_nothing(first, last):
    batch, seen = sequences(), []

    def network(params, x, time, condition=None, key=None):
        seen.append(np.asarray(x))
        return batch.x_0 + jnp.where(jnp.arange(FRAMES)[:, None] == 2, 0.5, 7.0 * held[:, None])

    held = jnp.asarray((first > PLACES) | (FRAMES - last <= PLACES), jnp.float32)
    loss, _ = held_loss(PROCESS, x0(), network, simple(), stratified(0.01), first, last)(None, jax.random.key(0), batch)
    free = FRAMES - first - last
    np.testing.assert_allclose(loss, 0.25 / free, rtol=1e-5)
    same = (seen[0] == np.asarray(batch.x_0)).all((0, 2))
    np.testing.assert_array_equal(same, np.asarray(held, bool))


def test_ends_are_held_in_their_share():
    batch, seen = sequences(), []

    def network(params, x, time, condition=None, key=None):
        seen.append(np.asarray(x))
        return x

    held_loss(PROCESS, x0(), network, simple(), stratified(0.01), share=0.7)(None, jax.random.key(0), batch)
    same = (seen[0] == np.asarray(batch.x_0))[:, [0, -1], 0]
    np.testing.assert_allclose(same.mean(0), 0.7, atol=0.03)
    np.testing.assert_allclose(same.all(1).mean(), 0.49, atol=0.03)


@pytest.mark.system
def test_what_held_ends_leave_counts_alike_in_parts_of_any_size():
    """An error of the first of three steps, free in half of the examples, as the last is: 1/2 / (1 + 1/2 + 1/2)."""
    network = lambda params, x, time, *rest: jnp.zeros_like(x).at[:, 0].set(1)
    loss = held_loss(PROCESS, x0(), network, simple(), stratified(0.01), share=0.5)

    def mean(n, keys):
        one = lambda key: loss(None, key, Batch(jnp.zeros((n, 3, 1))))[0]
        return jax.vmap(one)(jax.random.split(jax.random.key(0), keys)).mean()

    np.testing.assert_allclose([mean(1, 8000), mean(80, 100)], 0.25, atol=0.01)


def test_something_is_left_to_draw():
    loss = held_loss(PROCESS, x0(), exact, simple(), stratified(0.01), 3, 2)
    with pytest.raises(InputError, match="leave some of the 5 steps"):
        loss(jnp.float32(1), jax.random.key(0), sequences())
