import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.errors import InputError
from jaxdiff.training.checkpoints.checkpoint import Checkpoints, steps
from jaxdiff.training.checkpoints.rollback import check, roll_back
from jaxdiff.training.ema import half_life, power, warmed_up
from jaxdiff.training.guard import Tally
from jaxdiff.training.step import init_state, make_train_step
from jaxdiff.types import StatefulLoss


def loss(params, memory, key, factor):
    """At 1 an ordinary loss; otherwise a loss and a gradient that many times as large."""
    value = factor * jnp.sum(params**2)
    return value, ({}, memory + value)


EMA = {"half": lambda n: 0.5, "warm": warmed_up(0.99), "old": half_life(5), "power": power(0.1)}


ADAM, FROZEN = optax.adam(0.1), optax.set_to_zero()
"""The gradient of a frozen parameter is as large every time."""
STATEFUL = StatefulLoss(lambda: jnp.zeros(()), loss)


@functools.cache
def stepper(spike, optimizer):
    return jax.jit(make_train_step(STATEFUL, optimizer, EMA, jax.random.key(0), spike=spike))


def run(factors, spike=0.0, optimizer=ADAM, state=None):
    state = state or init_state(jnp.arange(1.0, 4.0), optimizer, EMA, STATEFUL)
    step, seen = stepper(spike, optimizer), []
    for factor in factors:
        state, metrics = step(state, jnp.float32(factor))
        seen.append((int(metrics["skipped"]), int(metrics["skipped_in_row"])))
    return state, seen


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_step_that_is_not_finite_changes_the_count_and_nothing_else(bad):
    clean, _ = run([1, 1, 1])
    hurt, seen = run([1, bad, 1, bad, bad, 1])
    assert seen == [(0, 0), (1, 1), (1, 0), (2, 1), (3, 2), (3, 0)]
    assert int(hurt.step) == 6
    for name in ("params", "ema", "opt_state", "memory"):
        chex.assert_trees_all_equal(getattr(hurt, name), getattr(clean, name))


def test_a_spike_is_skipped_once_the_usual_is_known():
    state, _ = run([1] * 99 + [50], spike=10, optimizer=FROZEN)
    assert int(state.health.skipped) == 0
    state, _ = run([1] * 100 + [9, 50, 1], spike=10, optimizer=FROZEN)
    assert int(state.health.skipped) == 1
    norm = np.linalg.norm(2 * np.arange(1.0, 4.0))
    usual = norm + (9 - 1) * norm / 100
    usual += (norm - usual) / 100
    np.testing.assert_allclose(state.health.usual_norm, usual, rtol=1e-5)
    state, _ = run([1] * 100 + [9, 50, 1], optimizer=FROZEN)
    assert int(state.health.skipped) == 0


@pytest.mark.system
def test_going_back_keeps_the_step_and_has_an_end(tmp_path):
    state, _ = run([1, 1])
    hurt, _ = run([1, 1, 1, np.nan])
    worse, _ = run([1, 1, 1, np.nan, np.nan])
    batch = lambda step: tmp_path / f"batch-{step}"
    with Checkpoints(tmp_path / "checkpoints", keep=3) as checkpoints:
        checkpoints.save(hurt)  # holds the weights of now
        with pytest.raises(InputError, match=r"not finite at step 4 and at least 1 before it, after 0 return.*batch-4"):
            roll_back(checkpoints, worse, 2, 1, 0, batch)
        checkpoints.save(state)
        back = roll_back(checkpoints, worse, 2, 1, 0, batch)
        assert steps(checkpoints.folder) == [2, 4]
        assert int(back.step) == 5
        assert int(back.health.skipped_in_row) == 0
        assert int(back.health.skipped) == 2
        for name in ("params", "ema", "opt_state", "memory"):
            chex.assert_trees_all_equal(getattr(back, name), getattr(state, name))
        # What follows is what would have followed without the steps that were skipped.
        further, alone = run([1, 1], state=back)[0], run([1, 1], state=state)[0]
        chex.assert_trees_all_equal(further.ema, alone.ema)
        assert int(further.health.sound) == 4
        assert float(further.health.usual_norm) == float(alone.health.usual_norm)
        with pytest.raises(InputError, match="after 1 return"):
            roll_back(checkpoints, back, 2, 1, 5.0, batch)


@pytest.mark.parametrize("numbers", [(0, 1, 0), (1, -1, 0), (1, 1, 0.5), (1, 1, float("nan"))])
def test_numbers_that_mean_nothing_are_refused(numbers):
    with pytest.raises(InputError, match=r"train\.guard patience="):
        check(*numbers)


def test_more_than_one_percent_of_skipped_steps_is_told_once(caplog):
    """Of a loss that is NaN at one step of 50, in a process that began at step 1000 of a run that had lost 7 there."""
    state, _ = run([])
    count = lambda: (int(state.step), int(state.health.skipped))
    state = state._replace(step=state.step + 1000, health=state.health._replace(skipped=state.health.skipped + 7))
    tally, told = Tally(*count()), []
    for n in range(1, 301):
        state, _ = run([np.nan if n % 50 == 0 else 1], state=state)
        if n % 25 == 0:
            told.append(tally.count(*count()))
    assert told[:3] == [""] * 3
    assert told[3].startswith("2 of 100 steps were skipped, 2.0%: ")
    assert told[-1].startswith("6 of 300 steps were skipped, 2.0%: ")
    assert [record.getMessage() for record in caplog.records] == [told[3]]
    assert "or above 5 times the usual (train.guard.spike)" in Tally(0, 0, 5.0).count(40, 1, end=True)


@pytest.mark.parametrize(
    ("skipped", "steps", "told"), [(1, 100, False), (2, 199, True), (2, 200, False), (3, 299, True)]
)
def test_one_percent_is_borne(skipped, steps, told):
    assert bool(Tally(0, 0).count(steps, skipped)) is told
