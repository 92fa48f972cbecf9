import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.gaussian import parameterization, schedules
from jaxdiff.losses import diffusion
from jaxdiff.losses import weights as loss_weights
from jaxdiff.losses.sliced import sliced_loss
from jaxdiff.types import Batch
from tests.helpers import oracle

STD = 0.6


def linear_score(params, x, t, condition=None, key=None):
    return params * x


@pytest.mark.statistical
def test_sliced_and_denoising_score_matching_find_the_same_score():
    """Gaussian data, a linear score net: both losses are least at the true slope, -1 / variance."""
    chain, n = schedules.edm(), 100_000
    x_0 = STD * jax.random.normal(jax.random.key(0), (n, 2))
    fixed = lambda process, key, n: jnp.full(n, 0.005)
    true = -1 / (STD**2 + 0.4**2)
    for loss_fn in (
        sliced_loss(chain, parameterization.score(), linear_score, fixed),
        diffusion.diffusion_loss(chain, parameterization.score(), linear_score, loss_weights.eps(), fixed),
    ):
        value = jax.jit(lambda p, f=loss_fn: f(p, jax.random.key(1), Batch(x_0))[0])
        slope, optimizer = jnp.float32(-0.5), optax.adam(0.05)
        state = optimizer.init(slope)
        for _ in range(150):
            update, state = optimizer.update(jax.grad(value)(slope), state)
            slope = optax.apply_updates(slope, update)
        np.testing.assert_allclose(slope, true, rtol=0.02)


@pytest.mark.statistical
def test_the_sliced_loss_is_the_score_error_up_to_a_constant():
    """E[u·Ju + s²/2] + E[s_true²]/2 = E[(s - s_true)²]/2 a component, for the mixture and a wrong score."""
    chain, n, t = schedules.vp(), 200_000, 0.4
    x_0 = jnp.asarray(oracle.draw(0, oracle.PLANE, n), jnp.float32)
    times = lambda process, key, n: jnp.full(n, t)
    wrong = lambda params, x, t, condition=None, key=None: -1.3 * jnp.tanh(x)
    value, _ = sliced_loss(chain, parameterization.score(), wrong, times)(None, jax.random.key(1), Batch(x_0))
    x_t = oracle.noised(chain, 5, oracle.PLANE, n, t)
    true = oracle.score(chain, oracle.PLANE)(x_t, jnp.float32(t))
    error = jnp.mean((wrong(None, x_t, t) - true) ** 2) / 2
    expected = float(chain.sigma(jnp.float32(t)) ** 2 * (error - jnp.mean(true**2) / 2))
    np.testing.assert_allclose(value, expected, atol=0.01)
