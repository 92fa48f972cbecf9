"""AlphaFold 3's sampler: what it is without its turns, and that of rigid bodies it draws rigid bodies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from jaxdiff import samplers
from jaxdiff.gaussian import grids, schedules
from jaxdiff.gaussian.process import on, prior, within
from jaxdiff.gaussian.space import centered
from jaxdiff.geometry.rigid import rmsd, rotation_onto, rotations
from jaxdiff.samplers.ode import raised
from tests.helpers.cases import refused
from tests.helpers.orbit import BODY, mean_rotation, rigid_body

KEY = jax.random.key(0)
PLAIN = {"churn": 0.0, "step_scale": 1.0}
AS_PUBLISHED = {"churn": 0.8, "churn_noise": 1.003, "churn_min": 0.1, "step_scale": 1.5, "turned": True}


def of_bodies(n):
    """A process of n bodies of five points."""
    process = within(schedules.edm(100.0), lambda condition: centered(condition["mask"]))
    return on(process, {"mask": jnp.ones((n, len(BODY)))})


@pytest.mark.system
@pytest.mark.parametrize("name", ["vp", "edm", "flow"])
def test_without_churn_and_overshoot_it_is_ddim(name):
    process = getattr(schedules, name)()
    denoiser = lambda x, t: 0.3 * jnp.tanh(x)
    x_1 = prior(process, KEY, jnp.zeros((3, 4)))
    times = np.linspace(1, 0, 8, dtype=np.float32)
    ours = samplers.sample(samplers.churned(process, denoiser, **PLAIN), KEY, x_1, times)
    np.testing.assert_allclose(ours, samplers.sample(samplers.ddim(process, denoiser), KEY, x_1, times), rtol=2e-5)


def test_a_step_written_out():
    """Abramson et al. 2024, algorithm 18, lines 4 to 10, in levels of noise."""
    process, now, after, gamma, scale = schedules.edm(10.0), 3.0, 2.0, 0.8, 1.5
    denoiser = lambda x, t: 0.3 * jnp.tanh(x) + t
    x = jax.random.normal(KEY, (3, 4))
    make = lambda least: samplers.churned(process, denoiser, gamma, 1.1, least, scale)
    drawn = make(1.0).step(KEY, samplers.State(x), jnp.float32(now / 10), jnp.float32(after / 10)).x
    higher = now * (1 + gamma)
    noise = jax.random.normal(jax.random.split(KEY)[1], x.shape)
    noisy = x + 1.1 * np.sqrt(higher**2 - now**2) * noise
    slope = (noisy - denoiser(noisy, higher / 10)) / higher
    np.testing.assert_allclose(drawn, noisy + scale * (after - higher) * slope, rtol=2e-5, atol=1e-5)
    # Where the step leads to a level that is not above churn_min, there is no noise.
    calm = make(2.0).step(KEY, samplers.State(x), jnp.float32(now / 10), jnp.float32(after / 10)).x
    np.testing.assert_allclose(
        calm, x + scale * (after - now) * (x - denoiser(x, now / 10)) / now, rtol=2e-5, atol=1e-5
    )


def test_at_the_highest_level_nothing_is_raised():
    """Where the inverse of the process rounds to a time below t, as here by two units of the last digit."""
    process, one = schedules.vp(0.5325468800563893, 18.536530506227294), jnp.ones(())
    x, higher = raised(process, KEY, jnp.ones((1, 1)), one, jnp.float32(0.3), 1.0)
    assert higher == 1
    assert x == 1


@pytest.mark.slow
def test_the_mean_of_a_posterior_of_rotations_is_that_of_draws():
    """The oracle below, by importance sampling; and of a strong law, in float32 as in float64."""
    drawn = rotations(KEY, 200_000)
    for scale in (0.3, 1.0, 3.0):
        f = scale * jax.random.normal(jax.random.key(1), (1, 3, 3))
        weights = jax.nn.softmax(jnp.einsum("ij,nij->n", f[0], drawn))
        np.testing.assert_allclose(mean_rotation(f)[0], jnp.einsum("n,nij->ij", weights, drawn), atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{**AS_PUBLISHED, "step_scale": 1.0}, AS_PUBLISHED], ids=["exact", "as published"])
def test_rigid_bodies_in_all_orientations(options):
    """With the exact denoiser: copies of the body, of its hand, every orientation as often as any other."""
    n = 1000
    process = of_bodies(n)
    times = grids.karras(schedules.edm(100.0), 60, sigma_max=40.0, sigma_min=0.002)
    sampler = samplers.churned(process, rigid_body(process, BODY), **options)
    x_1 = prior(process, KEY, jnp.zeros((n, *BODY.shape)), times[0])
    x = jax.jit(lambda key, x: samplers.sample(sampler, key, x, times))(jax.random.key(1), x_1)
    copies = jnp.broadcast_to(BODY, x.shape)
    assert float(rmsd(x, copies).max()) < 0.01
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-5)
    turns = np.asarray(rotation_onto(copies, x))
    for i in range(3):
        for j in range(3):
            assert kstest(turns[:, i, j], lambda z: (1 + z) / 2).pvalue > 1e-3


@pytest.mark.system
def test_overshooting_departs_from_the_law():
    """Normal data of deviation 1, whose denoiser is linear: steps of 1.5 leave a seventh of it."""
    process = schedules.edm(50.0)
    denoiser = lambda x, t: x / (1 + process.sigma(t) ** 2)
    times = grids.karras(process, 200, sigma_max=50.0, sigma_min=0.002)
    x_1 = 50.0 * jnp.ones((1, 1))
    end = lambda scale: float(
        samplers.sample(samplers.churned(process, denoiser, 0.0, 1.0, 1.0, scale), KEY, x_1, times)[0, 0]
    )
    np.testing.assert_allclose(end(1.0), 1.0, atol=0.05)
    np.testing.assert_allclose(end(1.5), 50.0 ** (1 - 1.5), rtol=0.1)


@pytest.mark.system
def test_turns_are_drawn_by_example_and_of_points_alone():
    process = of_bodies(4)
    step = samplers.churned(process, lambda x, t: x, **{**PLAIN, "turned": True}).step
    x = jnp.broadcast_to(BODY, (4, *BODY.shape))
    there = step(KEY, samplers.State(x), jnp.float32(0.5), jnp.float32(0.4)).x
    np.testing.assert_allclose(rmsd(there, x), 0, atol=1e-5)
    assert float(jnp.abs(there[0] - there[1]).max()) > 0.1
    with refused("turned: is for points"):
        step(KEY, samplers.State(x[..., :2]), jnp.float32(0.5), jnp.float32(0.4))
