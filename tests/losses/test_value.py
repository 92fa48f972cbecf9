"""Values of noisy data: of x_0 from N(0, 1) and a reward w x_0, the closed forms are linear in x_t."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian.grids import uniform
from jaxdiff.gaussian.mixture import gaussian
from jaxdiff.gaussian.parameterization import v
from jaxdiff.gaussian.schedules import vp
from jaxdiff.guidance import by_density
from jaxdiff.losses.value import value_loss, value_of
from jaxdiff.types import Batch

PROCESS, WEIGHT = vp(), 0.8


def network(params, x, time, condition=None, key=None):
    """With params (1, 1) the soft value `w alpha x_t + w² sigma² / 2` of x_0 given x_t; with (1, 0) the mean."""
    t = ((time + 1) / 1000)[:, None, None]
    return params[0] * WEIGHT * PROCESS.alpha(t) * x + params[1] * WEIGHT**2 * PROCESS.sigma(t) ** 2 / 2


@pytest.mark.parametrize(("soft", "best"), [(True, [1.0, 1.0]), (False, [1.0, 0.0])])
def test_the_closed_form_has_no_gradient(soft, best, rng):
    x_0 = jnp.asarray(rng.normal(size=(200_000, 1, 1)), jnp.float32)
    batch = Batch(x_0, {"value": WEIGHT * x_0[:, 0]})
    loss = value_loss(PROCESS, v(), network, lambda process, key, n: jax.random.uniform(key, (n,)), soft)
    slope = jax.jit(jax.grad(lambda p: loss(p, jax.random.key(0), batch)[0]))
    np.testing.assert_allclose(slope(jnp.array(best)), 0, atol=0.01)
    assert np.abs(slope(jnp.array([0.7, 0.5]))).min() > 0.02


def test_guided_by_it_data_is_drawn_with_weight_exp_r(float64):
    """N(0, 1) with weight exp(w x) is N(w, 1)."""
    denoiser = gaussian(PROCESS, np.zeros((1, 1)), np.eye(1))
    value = value_of(PROCESS, v(), network, jnp.ones(2))
    sampler = samplers.ddim(PROCESS, by_density(PROCESS, denoiser, value))
    x = jax.jit(lambda x: samplers.sample(sampler, jax.random.key(0), x, uniform(300)))(jnp.array([[[0.0]], [[1.0]]]))
    np.testing.assert_allclose(x.ravel(), [WEIGHT, WEIGHT + 1], atol=0.02)
