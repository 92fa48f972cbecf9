"""Leading structures to their hand: what is right stays, and of both hands one is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian import grids, schedules
from jaxdiff.gaussian.process import on, prior, within
from jaxdiff.gaussian.space import centered
from jaxdiff.geometry import structures
from jaxdiff.geometry.rigid import rmsd
from jaxdiff.guidance.hands import handed
from tests.helpers.orbit import both_hands

KEY = jax.random.key(0)
# A center with three neighbors in space, its fourth being a hydrogen, and one atom more.
BODY = jnp.array([[0.0, 0, 0.5], [1.4, 0, 0], [-0.7, 1.2, 0], [-0.7, -1.3, 0], [-1.5, -2.4, 0.3]])
BODY = BODY - BODY.mean(0)
HAND = 1.0 if float(structures.volumes(BODY, np.array([[0, 1, 2, 3]]))[0]) > 0 else -1.0
BODY = BODY * jnp.array([1, 1, HAND])  # of positive volume


def of_bodies(n):
    process = within(schedules.edm(100.0), lambda condition: centered(condition["mask"]))
    return on(process, {"mask": jnp.ones((n, len(BODY)))})


@pytest.mark.system
def test_only_what_is_wrong_is_moved():
    process, centers = of_bodies(2), jnp.array([[[0, 1, 2, 3], [0, 0, 0, 0]]] * 2)
    x = jnp.stack([BODY, BODY * jnp.array([1, 1, -1])])  # of heights 0.5 and -0.5
    led = handed(process, lambda x, t: x, centers)(x, 0.1)
    np.testing.assert_allclose(led[0], BODY, atol=1e-6)
    np.testing.assert_allclose(led.mean(1), 0, atol=1e-6)
    assert float(structures.volumes(led, np.array([[0, 1, 2, 3]]))[1, 0]) > 0
    # Half of its height and of 0.3 each, less the mean of all, to keep the middle.
    moved = np.array([-0.4, 0.4, 0.4, 0.4, 0.0])
    np.testing.assert_allclose(np.abs((led[1] - x[1])[:, 2]), np.abs(moved - moved.mean()), atol=1e-5)
    np.testing.assert_allclose((led[1] - x[1])[:, :2], 0, atol=1e-5)
    none = handed(process, lambda x, t: x, jnp.zeros((2, 1, 4), jnp.int32))(x, 0.1)
    np.testing.assert_allclose(none, x, atol=1e-6)


@pytest.mark.system
def test_four_neighbors_are_turned_inside_out():
    """Of the wrong hand, or flat: after some rounds all corners are of the right one, and the center lies within."""
    process, x = of_bodies(1), jnp.array([[0.0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    centers = jnp.array([[0, 1, 2, 3], [0, 2, 1, 4], [0, 1, 3, 4], [0, 3, 2, 4]])
    right = x if float(structures.volumes(x, centers).min()) > 0 else -x
    assert float(structures.volumes(right, centers).min()) > 0
    for wrong in (-right, right * jnp.array([1.0, 1, 0.1])):
        lead = handed(process, lambda x, t: x, centers[None])
        led = wrong[None]
        for _ in range(8):
            led = lead(led, 0.1)
        assert float(structures.volumes(led, centers).min()) > 0


@pytest.mark.slow
def test_of_both_hands_one_is_drawn():
    """With the exact denoiser of a body and its mirror image: half of each without, the right one with."""
    n, mirror = 256, BODY * jnp.array([1, 1, -1])
    process = of_bodies(n)
    times = grids.karras(schedules.edm(100.0), 60, sigma_max=40.0, sigma_min=0.002)
    x_1 = prior(process, KEY, jnp.zeros((n, *BODY.shape)), times[0])
    plain = both_hands(process, BODY)
    led = handed(process, plain, jnp.tile(jnp.array([0, 1, 2, 3]), (n, 1, 1)))
    ours, theirs = {}, jnp.broadcast_to(BODY, x_1.shape)
    for name, denoiser in (("plain", plain), ("led", led)):
        sampler = samplers.churned(process, denoiser, 0.8, 1.0, 0.1, 1.0, turned=True)
        x = jax.jit(lambda key, x, s=sampler: samplers.sample(s, key, x, times))(jax.random.key(1), x_1)
        ours[name] = np.asarray(rmsd(x, theirs))
        np.testing.assert_array_less(np.minimum(ours[name], rmsd(x, jnp.broadcast_to(mirror, x.shape))), 0.01)
    assert 0.35 < (ours["plain"] < 0.01).mean() < 0.65
    assert (ours["led"] < 0.01).mean() > 0.99
