import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.gaussian import parameterization
from jaxdiff.gaussian.schedules import vp
from jaxdiff.losses import diffusion
from jaxdiff.losses import times as loss_times
from jaxdiff.losses import weights as loss_weights
from jaxdiff.losses.importance import History, importance_loss, probabilities, remember
from jaxdiff.training.checkpoints import checkpoint
from jaxdiff.training.ema import warmed_up
from jaxdiff.training.step import init_state, make_train_step
from jaxdiff.types import Batch


def network(params, x, t, condition=None, key=None):
    return params * x


def test_probabilities_are_the_roots_of_second_moments():
    losses = np.random.default_rng(0).uniform(size=(4, 3)).astype(np.float32)
    size = np.sqrt((losses**2).mean(1))
    ready = History(jnp.asarray(losses), jnp.full(4, 3))
    np.testing.assert_allclose(probabilities(ready, 0.1), 0.9 * size / size.sum() + 0.1 / 4, rtol=1e-5)
    np.testing.assert_allclose(probabilities(ready._replace(seen=jnp.array([3, 3, 2, 3])), 0.1), 0.25)


def test_the_last_losses_are_remembered():
    """Also where one batch visits a time several times."""
    history = History(jnp.zeros((3, 2)), jnp.zeros(3, jnp.int32))
    history = remember(history, jnp.array([1, 1, 2, 1]), jnp.array([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_array_equal(history.losses, [[0, 0], [2, 4], [0, 3]])
    np.testing.assert_array_equal(history.seen, [0, 3, 1])


@pytest.mark.statistical
def test_the_loss_stays_unbiased_and_its_variance_falls():
    """The variational bound of a poor network: the same mean as with uniform times, with less scatter."""
    chain, meaning, n = vp(), parameterization.eps(), 64
    x_0 = jax.random.normal(jax.random.key(9), (n, 4))
    stateful = importance_loss(chain, meaning, network, loss_weights.elbo(), steps=20, keep=10)
    step = jax.jit(stateful.loss)
    history, keys = stateful.init(), jax.random.split(jax.random.key(0), 600)
    for key in keys[:100]:
        _, (_, history) = step(jnp.float32(0.5), history, key, Batch(x_0))
    assert (history.seen >= 10).all()
    weighted = [float(step(jnp.float32(0.5), history, key, Batch(x_0))[0]) for key in keys[100:]]
    plain_loss = jax.jit(
        diffusion.diffusion_loss(chain, meaning, network, loss_weights.elbo(), loss_times.uniform(steps=20))
    )
    plain = [float(plain_loss(jnp.float32(0.5), key, Batch(x_0))[0]) for key in keys[100:]]
    error = np.hypot(np.std(weighted), np.std(plain)) / np.sqrt(500)
    assert abs(np.mean(weighted) - np.mean(plain)) < 4 * error
    assert np.std(weighted) < 0.5 * np.std(plain)


@pytest.mark.system
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_memory_is_trained_and_saved_with_the_state(tmp_path, accumulate):
    stateful = importance_loss(vp(), parameterization.eps(), network, loss_weights.simple(), steps=5, keep=2)
    optimizer = optax.sgd(0.1)
    step = jax.jit(make_train_step(stateful, optimizer, {"average": warmed_up(0.9)}, jax.random.key(0), accumulate))
    fresh = init_state(jnp.float32(0.5), optimizer, ["average"], stateful)
    state, metrics = step(fresh, Batch(jax.random.normal(jax.random.key(1), (8, 3))))
    assert int(state.memory.seen.sum()) == 8
    assert set(metrics) == {"loss", "mse", "grad_norm", "skipped", "skipped_in_row"}
    with checkpoint.Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(state)
        checkpoints.wait()
        loaded = checkpoints.restore(fresh)
    chex.assert_trees_all_equal(loaded, state)
