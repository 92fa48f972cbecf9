import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.errors import InputError
from jaxdiff.gaussian import grids, schedules
from jaxdiff.gaussian.denoiser import clip
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.schedules import vp
from jaxdiff.samplers import State, ancestral, ddim, sample


@pytest.mark.system
@pytest.mark.parametrize("clipped", [False, True])
def test_eta_one_is_the_ancestral_step(any_process, clipped):
    """Also with clipping: eps is that of the clipped x̂_0."""
    x, key = jax.random.normal(jax.random.key(0), (64, 3)), jax.random.key(1)
    denoiser = lambda x_t, t: jnp.tanh(x_t) * 0.9
    constrain = clip(0.5) if clipped else clip(jnp.inf)
    samplers = (
        ancestral(any_process, denoiser, constrain=constrain),
        ddim(any_process, denoiser, 1.0, constrain=constrain),
    )
    steps = jax.jit(lambda t, s: [sampler.step(key, State(x), t, s).x for sampler in samplers])
    for t, s in itertools.pairwise(grids.uniform(50)):
        a, b = steps(t, s)
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.system
@pytest.mark.parametrize("name", ["vp", "cosine"])
def test_first_order_on_the_exact_denoiser(name, float64):
    """The probability flow of a Gaussian is known, x_0 = mean + std x_1': DDIM's error falls as 1 / steps."""
    from jaxdiff.gaussian import schedules

    chain, mean, std = getattr(schedules, name)(), 0.4, 0.3
    denoiser = gaussian_mixture(chain, jnp.ones(1), jnp.full((1, 1), mean), jnp.full((1, 1), std))
    z, one = jnp.array([[-1.3], [0.2], [0.9]]), jnp.array(0.99)
    x_1 = chain.alpha(one) * mean + jnp.sqrt((chain.alpha(one) * std) ** 2 + chain.sigma(one) ** 2) * z
    steps = np.array([64, 128, 256, 512])
    errors = []
    for n in steps:
        times = np.linspace(0.99, 0, n + 1)
        errors.append(
            float(jnp.abs(sample(ddim(chain, denoiser), jax.random.key(0), x_1, times) - mean - std * z).max())
        )
    order = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(order - 1.0) < 0.1, (order, errors)


@pytest.mark.parametrize("path", [schedules.flow(), schedules.edm(2.0), schedules.vp()])
@pytest.mark.parametrize("of_v", [False, True])
def test_v_and_eps_lead_plms_to_the_data_on_any_path(path, of_v):
    """To x̂_0, in a step, also where alpha² + sigma² is not 1."""
    sampler = samplers.plms(path, lambda x, t: jnp.full_like(x, 0.3), of_v)
    x = samplers.sample(sampler, jax.random.key(0), jnp.array([[2.0, -1.0]]), np.array([0.8, 0.0], np.float32))
    np.testing.assert_allclose(x, 0.3, atol=1e-5)


def test_without_eta_the_noise_does_not_matter():
    x, sampler = jax.random.normal(jax.random.key(0), (4, 2)), ddim(vp(), lambda x_t, t: 0.5 * x_t)
    a, b = (sample(sampler, jax.random.key(k), x, grids.uniform(10)) for k in (1, 2))
    np.testing.assert_array_equal(a, b)


def test_temperature_scales_the_noise():
    x = jnp.zeros((1000, 1))

    def step(temperature):
        sampler = ddim(vp(), lambda x_t, t: x_t, eta=0.7, temperature=temperature)
        return sampler.step(jax.random.key(0), State(x), jnp.float32(0.5), jnp.float32(0.4)).x

    np.testing.assert_allclose(step(0.5), 0.5 * step(1.0), rtol=1e-5)
    np.testing.assert_array_equal(step(0.0), x)


def test_a_temperature_without_noise_is_refused():
    with pytest.raises(InputError, match="temperature=0.5"):
        ddim(vp(), lambda x_t, t: x_t, temperature=0.5)
    with pytest.raises(InputError, match="temperature="):
        ddim(vp(), lambda x_t, t: x_t, temperature=np.array([1.0, 0.5]))
    ddim(vp(), lambda x_t, t: x_t, temperature=1.0)
