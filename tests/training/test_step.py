import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.training.ema import warmed_up
from jaxdiff.training.step import in_calls, init_state, make_train_step
from jaxdiff.types import Batch, StatefulLoss


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
    optimizer = optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.01))
    step = jax.jit(make_train_step(loss_fn, optimizer, {"average": warmed_up(0.99)}, jax.random.key(0)))
    state, metrics = step(init_state(params, optimizer, ["average"]), batch)

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
    optimizer = optax.sgd(0.1)
    results = [
        jax.jit(make_train_step(loss_fn, optimizer, {"average": warmed_up(0.9)}, jax.random.key(0), n))(
            init_state(params, optimizer, ["average"]), batch
        )
        for n in (1, parts)
    ]
    chex.assert_trees_all_close(*results, rtol=1e-5)


@pytest.mark.system
def test_each_part_takes_every_nth_example_its_own_key_and_the_memory_of_the_one_before(params, batch):
    """Written out for a loss that remembers the sum of what it saw."""
    seen = []

    def remembering(params, memory, key, part):
        seen.append(part.x_0)
        total = memory + part.x_0.sum()
        return jnp.mean(part.x_0 @ params["w"]) + 0 * memory, ({"draw": jax.random.uniform(key)}, total)

    stateful = StatefulLoss(lambda: jnp.zeros(()), remembering)
    key = jax.random.key(5)
    step = make_train_step(stateful, optax.sgd(0.1), {"average": warmed_up(0.9)}, key, 3)
    fresh = init_state(params, optax.sgd(0.1), ["average"], stateful)
    np.testing.assert_array_equal(fresh.ema["average"]["w"], params["w"])
    with jax.disable_jit():
        state, metrics = step(fresh._replace(step=jnp.array(4)), batch)
    shown = [x for x in seen if not isinstance(x, jax.core.Tracer)]
    step_key = jax.random.fold_in(key, 4)
    draws = [jax.random.uniform(jax.random.fold_in(step_key, i)) for i in range(3)]
    np.testing.assert_allclose(metrics["draw"], np.mean(draws), rtol=1e-6)
    np.testing.assert_allclose(state.memory, batch.x_0.sum(), rtol=1e-4)
    np.testing.assert_allclose(state.params["w"], params["w"] - 0.1 * batch.x_0.mean(0), rtol=1e-5)
    for i, part in enumerate(shown[-3:]):
        np.testing.assert_array_equal(part, batch.x_0[i::3])
    assert int(state.step) == 5


@pytest.mark.system
def test_steps_of_one_call(params, batch):
    """Three steps with three resident batches, and one: states and metrics of the steps one by one."""
    optimizer, resident = optax.sgd(0.1), jnp.stack([batch.x_0, batch.x_0 + 1, batch.x_0 - 2])
    one = make_train_step(loss_fn, optimizer, {"average": warmed_up(0.9)}, jax.random.key(0))
    run = jax.jit(in_calls(one, lambda resident, i: Batch(resident[i])))
    state, losses = init_state(params, optimizer, ["average"]), []
    for x in resident:
        state, metrics = jax.jit(one)(state, Batch(x))
        losses.append(metrics["loss"])
    for calls in ([[0, 1, 2]], [[0], [1], [2]]):
        other, found = init_state(params, optimizer, ["average"]), []
        for call in calls:
            other, metrics = run(other, resident, jnp.array(call))
            found.append(metrics["loss"])
        np.testing.assert_allclose(np.concatenate(found), losses, rtol=1e-5)
        np.testing.assert_allclose(other.params["w"], state.params["w"], rtol=1e-5)


@pytest.mark.system
def test_every_step_and_every_part_has_its_own_key(params, batch):
    def noisy(params, key, batch):
        return loss_fn(params, key, batch)[0], {"draw": jax.random.uniform(key)}

    optimizer, draws = optax.sgd(0.0), []
    for parts in (1, 2):
        step, state = (
            make_train_step(noisy, optimizer, {"average": warmed_up(0.9)}, jax.random.key(0), parts),
            init_state(params, optimizer, ["average"]),
        )
        for _ in range(2):
            state, metrics = step(state, batch)
            draws.append(float(metrics["draw"]))
    assert len(set(draws)) == 4


def test_the_state_is_donated(params, batch):
    optimizer = optax.adam(0.1)
    step = jax.jit(
        make_train_step(loss_fn, optimizer, {"average": warmed_up(0.9)}, jax.random.key(0)), donate_argnums=0
    )
    state = init_state(params, optimizer, ["average"])
    step(state, batch)
    assert state.ema["average"]["w"].is_deleted()
