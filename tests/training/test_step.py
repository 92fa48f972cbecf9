import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.training.ema import warmed_up
from jaxdiff.training.step import init_state, make_train_step
from jaxdiff.types import Batch


def loss_fn(params, key, batch):
    error = jnp.mean((batch.x_0 @ params["w"] - 1) ** 2)
    return error, {"mse": error}


@pytest.fixture
def params(rng):
    return {"w": jnp.asarray(rng.normal(size=4), jnp.float32)}


@pytest.fixture
def batch(rng):
    return Batch(jnp.asarray(rng.normal(size=(12, 4)), jnp.float32))


def test_a_step_is_adam_on_the_clipped_gradient_and_the_average_follows(params, batch):
    optimiser = optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.01))
    step = jax.jit(make_train_step(loss_fn, optimiser, {"average": warmed_up(0.99)}, jax.random.key(0)))
    state, metrics = step(init_state(params, optimiser, ["average"]), batch)

    x, w = np.asarray(batch.x_0, np.float64), np.asarray(params["w"], np.float64)
    gradient = 2 * x.T @ (x @ w - 1) / 12
    clipped = gradient * min(1, 0.1 / np.linalg.norm(gradient))
    expected = w - 0.01 * clipped / (np.abs(clipped) + 1e-8)  # Adam's first step
    np.testing.assert_allclose(state.params["w"], expected, rtol=1e-5)
    np.testing.assert_allclose(state.ema["average"]["w"], 0.1 * w + 0.9 * expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["grad_norm"], np.linalg.norm(gradient), rtol=1e-5)
    assert metrics.keys() == {"loss", "mse", "grad_norm", "skipped", "skipped_in_row"}
    assert state.step == 1


@pytest.mark.parametrize("parts", [2, 3, 12])
def test_accumulated_parts_are_the_whole_batch(params, batch, parts):
    optimiser = optax.sgd(0.1)
    states = [
        jax.jit(make_train_step(loss_fn, optimiser, {"average": warmed_up(0.9)}, jax.random.key(0), n))(
            init_state(params, optimiser, ["average"]), batch
        )
        for n in (1, parts)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), *states)


def test_every_step_and_every_part_has_its_own_key(params, batch):
    def noisy(params, key, batch):
        return loss_fn(params, key, batch)[0], {"draw": jax.random.uniform(key)}

    optimiser, draws = optax.sgd(0.0), []
    for parts in (1, 2):
        step, state = (
            make_train_step(noisy, optimiser, {"average": warmed_up(0.9)}, jax.random.key(0), parts),
            init_state(params, optimiser, ["average"]),
        )
        for _ in range(2):
            state, metrics = step(state, batch)
            draws.append(float(metrics["draw"]))
    assert len(set(draws)) == 4


def test_the_state_is_donated(params, batch):
    optimiser = optax.adam(0.1)
    step = jax.jit(
        make_train_step(loss_fn, optimiser, {"average": warmed_up(0.9)}, jax.random.key(0)), donate_argnums=0
    )
    state = init_state(params, optimiser, ["average"])
    step(state, batch)
    assert state.ema["average"]["w"].is_deleted()
