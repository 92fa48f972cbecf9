"""Guidance in a part of R^n: it leads nowhere else, and restores normal laws of it exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import guidance
from jaxdiff.gaussian import schedules
from jaxdiff.gaussian.process import on, within
from jaxdiff.gaussian.space import centered
from jaxdiff.guidance.ddrm import ddrm, of_mask
from jaxdiff.samplers import ddim
from jaxdiff.samplers.base import State
from tests.helpers.cases import refused

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


@pytest.mark.parametrize("name", RULES)
def test_what_is_guided_stays_in_the_space(name):
    x = PROCESS.noise(jax.random.key(0), jnp.zeros(SHAPE))
    led = RULES[name](lambda x, t: seeing(x))(x, HALF)
    assert float(jnp.abs(led - seeing(x)).max()) > 0.01  # it is led
    np.testing.assert_allclose(led, PROCESS.space.project(led), atol=1e-5)


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


def test_ddrm_is_for_all_of_n_dimensions():
    with refused("DDRM: its directions"):
        ddrm(PROCESS, lambda x, t: x, of_mask(jnp.ones(SHAPE)), jnp.zeros(SHAPE), 0.1)
