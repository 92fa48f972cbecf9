"""The adaptive method: what its steps depend on, and gradients by its adjoint."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian import process, schedules
from jaxdiff.gaussian.space import centered, masked
from jaxdiff.likelihood import log_likelihood
from jaxdiff.samplers.adaptive import integrate

VP = schedules.vp()
NODES = 3


def padded(space, rows):
    """A process of three nodes among rows, its noise x, and a denoiser that counts how often it is asked."""
    mask = jnp.arange(rows)[None] < NODES
    chain = process.within(VP, lambda condition: space(condition["mask"]))
    chain = process.on(chain, {"mask": jnp.float32(mask)})
    x = jnp.zeros((1, rows, 4)).at[:, :NODES].set(jax.random.normal(jax.random.key(1), (1, NODES, 4)))
    asked = []

    def denoiser(x_t, t):
        jax.debug.callback(lambda: asked.append(1))
        return chain.space.project(jnp.tanh(chain.alpha(t) * x_t / (chain.alpha(t) ** 2 + chain.sigma(t) ** 2)))

    return chain, chain.space.project(x), denoiser, asked


@pytest.mark.system
@pytest.mark.parametrize("space", [masked, centered])
def test_padding_changes_no_step(space):
    """With tolerances so wide that every other step would be seen."""
    drawn = []
    for rows in (NODES, 4 * NODES, 40 * NODES):
        chain, x, denoiser, asked = padded(space, rows)
        step = jax.jit(samplers.dopri5(chain, denoiser, 1e-2, 1e-2).step)
        end = step(None, samplers.State(x), jnp.float32(1), jnp.float32(1e-3)).x
        jax.effects_barrier()
        assert not end[:, NODES:].any()
        density = log_likelihood(chain, denoiser, jax.random.key(0), x, 1e-3, "exact", 0.1, 0.1)
        drawn.append((end[:, :NODES], len(asked), density))
    for others in drawn[1:]:
        np.testing.assert_allclose(others[0], drawn[0][0], atol=1e-5)
        assert others[1] == drawn[0][1] > 20
        np.testing.assert_allclose(others[2], drawn[0][2], rtol=1e-5)


def decay(x, t):
    return -3 * x / t


@pytest.mark.parametrize(("t", "s"), [(1.0, 0.1), (0.1, 1.0)])
def test_gradients_are_those_of_the_closed_form(float64, t, s):
    """`dx/dt = -3 x / t` leads to `x (t / s)³`."""

    def end(x, t, s):
        return integrate(decay, x, t, s, 1e-9, 1e-9, jnp.float64(2)).sum()

    x = jnp.array([1.0, -0.5])
    np.testing.assert_allclose(end(x, t, s), 0.5 * (t / s) ** 3, rtol=1e-5)
    found = jax.grad(end, (0, 1, 2))(x, t, s)
    np.testing.assert_allclose(found[0], np.full(2, (t / s) ** 3), rtol=1e-5)
    np.testing.assert_allclose(found[1:], [1.5 * t**2 / s**3, -1.5 * t**3 / s**4], rtol=1e-5)


def test_it_asks_for_no_time_beyond_its_ends(float64):
    times = []

    def field(x, t):
        jax.debug.callback(lambda t: times.append(float(t)), t)
        return jnp.where((t > 0.2 - 1e-9) & (t <= 1), -x, jnp.nan)

    end = integrate(field, jnp.ones(1), jnp.float64(1), jnp.float64(0.2), 1e-8, 1e-8, jnp.float64(1))
    np.testing.assert_allclose(end, np.exp(0.8), rtol=1e-7)
    np.testing.assert_allclose((min(times), max(times)), (0.2, 1), rtol=1e-12)


def test_what_leads_nowhere_is_not_finite():
    cliff = lambda x, t: jnp.where(t < 0.5, jnp.nan, x)
    end = integrate(cliff, jnp.ones(2), jnp.float32(1), jnp.float32(0.1), 1e-3, 1e-3, jnp.float32(2))
    assert np.isnan(end).all()
