"""Guidance in a part of R^n: it leads nowhere else, and restores normal laws of it exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import guidance
from jaxdiff.gaussian import grids, schedules
from jaxdiff.gaussian.process import on, prior, within
from jaxdiff.gaussian.space import centered, masked
from jaxdiff.geometry.rigid import rotations
from jaxdiff.guidance.ddrm import ddrm, of_mask
from jaxdiff.guidance.inpainting import keep, keep_shape
from jaxdiff.samplers import ddim, dpmpp_2m, sample
from jaxdiff.samplers.base import State
from tests.helpers.cases import refused
from tests.helpers.orbit import BODY, rigid_body

MASK = np.float32([[1, 1, 1, 0], [1, 1, 0, 1]])
PROCESS = on(within(schedules.vp(), lambda condition: centered(condition["mask"])), {"mask": jnp.asarray(MASK)})
SHAPE, HALF = (2, 4, 3), jnp.float32(0.5)


def first_two(x):
    return x[:, :2]


def seeing(x):
    """A network that knows where the center is."""
    return PROCESS.space.project(jnp.tanh(x) * jnp.arange(1.0, 4.0))


def by_dps(denoiser):
    sampler = guidance.dps(PROCESS, denoiser, ddim(PROCESS, denoiser), first_two, jnp.ones((2, 2, 3)))
    return lambda x, t: sampler.step(jax.random.key(0), State(x), t, t / 2).x


RULES = {
    "density": lambda d: guidance.by_density(PROCESS, d, lambda x, t: (x[:, 0, 0] - 3) ** 2),
    "energy": lambda d: guidance.by_energy(PROCESS, d, lambda x: (x[:, 0, 0] - 3) ** 2),
    "dps": by_dps,
    "pigdm": lambda d: guidance.pigdm(PROCESS, d, first_two, jnp.ones((2, 2, 3)), 0.1),
    "ddnm": lambda d: guidance.ddnm(PROCESS, d, first_two, jnp.ones((2, 2, 3)), 0.1),
    "moment_matching": lambda d: guidance.moment_matching(PROCESS, d, first_two, jnp.ones((2, 2, 3)), 0.1),
}


@pytest.mark.system
@pytest.mark.parametrize("name", RULES)
def test_what_is_guided_stays_in_the_space(name):
    x = PROCESS.noise(jax.random.key(0), jnp.zeros(SHAPE))
    led = RULES[name](lambda x, t: seeing(x))(x, HALF)
    assert float(jnp.abs(led - seeing(x)).max()) > 0.01  # it is led
    np.testing.assert_allclose(led, PROCESS.space.project(led), atol=1e-5)


@pytest.mark.parametrize("n", [4, 9])
def test_guidance_is_rescaled_by_what_is_no_padding(n):
    """That of three nodes does not depend on how many there might have been."""
    x = np.zeros((1, n, 2), np.float32)
    x[0, :3] = [[1, 5], [2, 7], [4, 6]]
    mask = jnp.float32(np.arange(n) < 3)[None]
    guided = guidance.classifier_free(lambda x, t: x, lambda x, t: 0.5 - x, 3.0, 1.0, masked(mask))(
        jnp.asarray(x), HALF
    )
    led = 3 * x[0, :3] - 2 * (0.5 - x[0, :3])
    np.testing.assert_allclose(guided[0, :3], led * x[0, :3].std() / led.std(), rtol=1e-5)


@pytest.mark.system
def test_a_normal_law_is_restored_exactly(float64):
    """E[x_0 | x_t, y] of numbers on an orthonormal basis, of a network that sees what lies off the space, too."""
    rng, n = np.random.default_rng(0), 12
    project = np.asarray(
        jax.jacobian(lambda v: PROCESS.space.project(v.reshape(1, 4, 3).repeat(2, 0))[0].ravel())(jnp.zeros(n))
    )
    basis = np.linalg.svd(project)[0][:, :6]
    root = rng.normal(size=(6, 6))
    spread, alpha, sigma = root @ root.T, float(PROCESS.alpha(0.5)), float(PROCESS.sigma(0.5))
    a, noise = (np.eye(n)[:6] @ basis), 0.3  # of atoms 1 and 2
    gain = alpha * spread @ np.linalg.inv(alpha**2 * spread + sigma**2 * np.eye(6))
    off = basis @ rng.normal(size=(6, n)) @ (np.eye(n) - project)

    def denoiser(x, t):
        return (x.reshape(2, n) @ (basis @ gain @ basis.T + off).T).reshape(2, 4, 3)

    x_t, x_0 = rng.normal(size=6), rng.normal(size=6)
    y = a @ x_0 + noise * rng.normal(size=6)
    place = lambda v: jnp.asarray(np.tile(v, (2, 1)).reshape(2, -1, 3))
    mean, left = gain @ x_t, spread - alpha * gain @ spread
    exact = mean + left @ a.T @ np.linalg.solve(a @ left @ a.T + noise**2 * np.eye(6), y - a @ mean)
    restored = guidance.moment_matching(PROCESS, denoiser, first_two, place(y), noise, iterations=12)
    np.testing.assert_allclose(restored(place(basis @ x_t), jnp.float64(0.5))[0].ravel(), basis @ exact, atol=1e-6)


def held(x_0, count):
    return x_0, jnp.asarray(np.arange(x_0.shape[1]) < count, x_0.dtype)[None, :, None]


@pytest.mark.system
def test_the_rest_of_a_round_law_is_drawn_around_points_that_are_held():
    """What is held keeps its shape, and the other 3 (N - held) dimensions their law; with `keep` the center moves."""
    n, std, mask = 4000, 0.8, np.float32([1, 1, 1, 1, 0])
    process = on(within(schedules.vp(), lambda c: centered(c["mask"])), {"mask": jnp.tile(mask, (n, 1))})
    gain = lambda t: process.alpha(t) * std**2 / ((process.alpha(t) * std) ** 2 + process.sigma(t) ** 2)
    sampler = dpmpp_2m(process, lambda x, t: gain(t) * x)
    known, where = held(jnp.asarray([[[1.0, 0, 0], [-1, 2, 0], [0, 0, 9], [9, 0, 0], [9, 9, 9]]]), 2)
    x_1 = prior(process, jax.random.key(0), jnp.zeros((n, 5, 3)))

    def drawn(put):
        steps = guidance.replace(process, sampler, jnp.tile(known, (n, 1, 1)), where, put)
        return np.asarray(jax.jit(lambda x: sample(steps, jax.random.key(1), x, np.linspace(1, 0, 41)))(x_1))

    x = drawn(keep_shape)
    np.testing.assert_allclose(x[:, 0] - x[:, 1], np.tile([2.0, -2, 0], (n, 1)), atol=1e-5)
    np.testing.assert_allclose(x.sum(1), 0, atol=1e-5)
    assert not x[:, 4].any()
    middle, others = x[:, :2].mean(1), x[:, 2:4]
    rest = np.concatenate([middle[:, None], others], 1)  # 2 middle + others = 0
    law = np.array([[0.25, -0.25, -0.25], [-0.25, 0.75, -0.25], [-0.25, -0.25, 0.75]]) * std**2
    np.testing.assert_allclose(rest.mean(0), 0, atol=5 * std / np.sqrt(n))
    for axis in range(3):
        np.testing.assert_allclose(np.cov(rest[..., axis].T), law, atol=5 * std**2 * np.sqrt(2 / n))
    assert np.abs(drawn(keep).sum(1)).max() > 0.1


@pytest.mark.slow
def test_the_rest_of_a_rigid_body_is_drawn_where_it_belongs():
    """Four points tell how a body lies, and on which side: the exact denoiser and RePaint put the others there."""
    n = 8
    process = on(within(schedules.edm(100.0), lambda c: centered(c["mask"])), {"mask": jnp.ones((n, len(BODY)))})
    known, where = held(BODY @ rotations(jax.random.key(2), n).mT, 4)
    times = grids.karras(schedules.edm(100.0), 40, sigma_max=40.0, sigma_min=0.002)
    steps = guidance.repaint(process, ddim(process, rigid_body(process, BODY)), known, where, 5, keep_shape)
    x_1 = prior(process, jax.random.key(0), jnp.zeros((n, *BODY.shape)), times[0])
    x = jax.jit(lambda x: sample(steps, jax.random.key(1), x, times))(x_1)
    np.testing.assert_allclose(x, known, atol=0.05)


def test_ddrm_is_for_all_of_n_dimensions():
    with refused("DDRM: its directions"):
        ddrm(PROCESS, lambda x, t: x, of_mask(jnp.ones(SHAPE)), jnp.zeros(SHAPE), 0.1)
