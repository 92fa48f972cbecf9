"""Learning rates over the steps, against optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.config.build.optimizer import make_optimizer
from jaxdiff.config.parts import SCHEDULE
from jaxdiff.errors import InputError
from jaxdiff.pipelines import experiment
from tests.helpers.configs import SPEC, changed

SGD = {"name": "sgd", "learning_rate": 0.5, "warmup": 0, "schedule": {"name": "constant_schedule"}, "clip": 0.0}


def rates(steps=12, **spec):
    """The learning rates of the first steps, of an optimizer that a configuration describes."""
    optimizer = make_optimizer({**SGD, **spec})
    params = jnp.zeros(1)
    one = lambda state, _: optimizer.update(jnp.ones(1), state, params)[::-1]
    return -jax.lax.scan(one, optimizer.init(params), None, steps)[1][:, 0]


@pytest.mark.system
def test_the_learning_rate_warms_up_to_its_value():
    np.testing.assert_allclose(rates(6, warmup=4), [0.125, 0.25, 0.375, 0.5, 0.5, 0.5])
    # A run from before there were schedules goes on: optax keeps no count where nothing changes.
    optimizer = experiment.build(changed("optimizer.warmup", 0), SPEC).optimizer
    like = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-3))
    assert jax.tree.structure(optimizer.init(jnp.zeros(1))) == jax.tree.structure(like.init(jnp.zeros(1)))


RISE, DECAY = {"warmup_steps": 3}, {"transition_steps": 4, "decay_rate": 0.5}

SCHEDULES = {
    "constant_schedule": ({}, (0.5,)),
    "cosine_decay_schedule": ({"decay_steps": 8, "alpha": 0.1, "exponent": 2.0}, (0.5,)),
    "exponential_decay": ({**DECAY, "staircase": True, "transition_begin": 2, "end_value": 0.2}, (0.5,)),
    "linear_schedule": ({"end_value": 0.1, "transition_steps": 5, "transition_begin": 1}, (0.5,)),
    "polynomial_schedule": ({"end_value": 0.1, "power": 2, "transition_steps": 6}, (0.5,)),
    "warmup_constant_schedule": (RISE, (0.0, 0.5)),
    "warmup_cosine_decay_schedule": ({**RISE, "decay_steps": 9, "end_value": 0.1}, (0.0, 0.5)),
    "warmup_exponential_decay_schedule": ({**RISE, **DECAY}, (0.0, 0.5)),
}
"""Their arguments, and those that optimizer.learning_rate gives."""


@pytest.mark.parametrize("warmup", [0, 4])
@pytest.mark.parametrize("name", SCHEDULE.known)
def test_a_schedule_is_optaxs_own_after_the_warm_up(name, warmup):
    arguments, given = SCHEDULES[name]
    asked = {"schedule": {"name": name, **arguments}, "warmup": warmup}
    if warmup and name.startswith("warmup_"):
        with pytest.raises(InputError, match="optimizer.warmup=4: the schedule has warmup_steps of its own: set"):
            rates(**asked)
        return
    exact = np.array([getattr(optax, name)(*given, **arguments)(n) for n in range(12 - warmup)])
    np.testing.assert_allclose(rates(**asked), [*(np.arange(warmup) + 1) / (warmup or 1) * 0.5, *exact], rtol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"name": "cosine"}, r"unknown learning rate schedule 'cosine': allowed are constant_schedule, cosine_decay_"),
        ({}, "unknown learning rate schedule ''"),
        ({"name": "cosine_decay_schedule"}, "'cosine_decay_schedule': .*missing .* 'decay_steps'"),
        ({"name": "cosine_decay_schedule", "decay_step": 3}, r"'decay_step' \(did you mean 'decay_steps'"),
        ({"name": "cosine_decay_schedule", "init_value": 3}, "unknown argument .* 'init_value'"),
        ({"name": "cosine_decay_schedule", "decay_steps": 0}, "decay_steps=0: must be a whole number from 1 to"),
        ({"name": "cosine_decay_schedule", "decay_steps": 9, "alpha": 2.0}, "alpha=2.0: must be .* from 0 to 1"),
        ({"name": "cosine_decay_schedule", "decay_steps": 9, "exponent": -1.0}, "exponent=-1.0: must be"),
        ({"name": "linear_schedule", "end_value": 0.1, "transition_steps": 0}, "transition_steps=0: must be a whole"),
        ({"name": "linear_schedule", "end_value": -0.1, "transition_steps": 9}, "end_value=-0.1: must be"),
        ({"name": "exponential_decay", "decay_rate": 0.0, "transition_steps": 9}, "decay_rate=0.0: must be"),
        ({"name": "warmup_constant_schedule", "warmup_steps": 2.5}, "warmup_steps=2.5: must be a whole number"),
        ({"name": "warmup_cosine_decay_schedule", "warmup_steps": 9, "decay_steps": 5}, "decay_schedule': .*positive"),
    ],
)
def test_a_schedule_that_means_nothing_is_refused(schedule, message):
    with pytest.raises(InputError, match=message) as caught:
        rates(schedule=schedule)
    assert len(str(caught.value).splitlines()) == 1
