import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.config.names import named
from jaxdiff.gaussian import parameterization, process, schedules
from jaxdiff.gaussian.parameterization import Parameterization, convert, eps_error, target, to_eps, to_x0

ALL = named(parameterization, Parameterization)
T = np.array([0.01, 0.3, 0.6, 0.95])


@pytest.fixture
def pair(rng):
    return (jnp.asarray(rng.normal(size=(4, 3, 2)), jnp.float32) for _ in range(2))


def perturbed(chain, x_0, eps):
    t = jnp.asarray(T)
    return chain.alpha(t)[:, None, None] * x_0 + chain.sigma(t)[:, None, None] * eps


def test_there_are_six():
    assert set(ALL) == {"eps", "x0", "v", "score", "velocity", "edm"}


@pytest.mark.system
@pytest.mark.parametrize(("source", "to"), list(itertools.combinations(ALL, 2)))
def test_every_pair_converts_there_and_back(source, to, any_process, rng, float64):
    t = jnp.asarray(T)
    x_0, eps = (jnp.asarray(rng.normal(size=(4, 3, 2))) for _ in range(2))
    x_t = perturbed(any_process, x_0, eps)
    a, b = ALL[source](), ALL[to]()
    out = target(any_process, a, x_0, eps, t)
    there = convert(any_process, a, b, out, x_t, t)
    np.testing.assert_allclose(there, target(any_process, b, x_0, eps, t), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(convert(any_process, b, a, there, x_t, t), out, rtol=1e-6, atol=1e-6)


@pytest.mark.system
@pytest.mark.parametrize("name", ALL)
def test_the_target_gives_back_data_and_noise(name, any_process, pair):
    t = jnp.asarray(T)
    x_0, eps = pair
    x_t, meaning = perturbed(any_process, x_0, eps), ALL[name]()
    out = target(any_process, meaning, x_0, eps, t)
    # One ulp of x_t is an error of 1e-7 / alpha in x_0 and of 1e-7 / sigma in eps.
    worst = 1e-6 / float(jnp.minimum(any_process.alpha(t), any_process.sigma(t)).min())
    np.testing.assert_allclose(to_x0(any_process, meaning, out, x_t, t), x_0, atol=worst)
    np.testing.assert_allclose(to_eps(any_process, meaning, out, x_t, t), eps, atol=worst)


@pytest.mark.system
@pytest.mark.parametrize("name", ALL)
def test_an_error_in_the_output_is_the_stated_error_in_eps(name, any_process, rng, float64):
    t = jnp.asarray(T)
    x_0, eps = (jnp.asarray(rng.normal(size=(4, 3, 2))) for _ in range(2))
    x_t, meaning = perturbed(any_process, x_0, eps), ALL[name]()
    out = target(any_process, meaning, x_0, eps, t)
    moved = to_eps(any_process, meaning, out + 0.1, x_t, t) - eps
    np.testing.assert_allclose(moved[:, 0, 0] ** 2, 0.01 * eps_error(any_process, meaning, t), rtol=1e-5)


@pytest.mark.system
def test_published_formulas(float64):
    """v as Salimans and Ho state it, and EDM's preconditioning as its table 1 does, on a process with alpha = 1."""
    vp, x_t, out, t = schedules.vp(), jnp.array([[0.3]]), jnp.array([[-0.8]]), jnp.array([0.4])
    alpha, sigma = vp.alpha(t), vp.sigma(t)
    np.testing.assert_allclose(
        to_x0(vp, parameterization.v(), out, x_t, t)[0], alpha * x_t[0] - sigma * out[0], rtol=1e-12
    )

    edm = process.Process(alpha=jnp.ones_like, sigma=lambda t: 80 * t)
    sigma, data = 80 * t, 0.5
    c_skip, c_out = data**2 / (sigma**2 + data**2), sigma * data / jnp.sqrt(sigma**2 + data**2)
    meaning = parameterization.edm(data)
    np.testing.assert_allclose(to_x0(edm, meaning, out, x_t, t)[0], c_skip * x_t[0] + c_out * out[0], rtol=1e-12)
    np.testing.assert_allclose(meaning.input_scale(edm, t), 1 / jnp.sqrt(sigma**2 + data**2))
    np.testing.assert_allclose(meaning.time_input(edm, t), jnp.log(sigma) / 4)
    unit = parameterization.eps(unit_input=True)
    np.testing.assert_allclose(unit.input_scale(edm, t), 1 / jnp.sqrt(1 + sigma**2), rtol=1e-12)
    np.testing.assert_allclose(unit.input_scale(vp, t), 1, rtol=1e-12)


def test_networks_see_the_index_of_ddpms_chain():
    t = jnp.asarray((np.arange(1000) + 1) / 1000, jnp.float32)
    np.testing.assert_allclose(parameterization.eps().time_input(schedules.vp(), t), np.arange(1000), atol=1e-4)
