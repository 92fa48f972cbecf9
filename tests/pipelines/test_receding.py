"""Receding horizon against the feedback law of a linear system, and what is refused."""

import jax
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.modalities.trajectories.control import execute, follow, pushed, setpoints
from jaxdiff.modalities.trajectories.mazes import find_maze
from jaxdiff.pipelines import plan, receding
from jaxdiff.pipelines.receding import shifted
from tests.pipelines.test_plan import exact_model

STEPS, DECAY, KEY = 6, 0.9, jax.random.key(0)
STARTS, DISTURBED = np.array([[1.0], [-0.5]]), np.array([0.3, -0.2, 0.1, 0.4, -0.3])
MEAN = {"steps": 3, "level": 0.0, "noise_scale": 0.0}
"""Options by which the plan is the mean of plans: a step of ddim is linear here."""


def linear_model():
    """Of z' = 0.9 z + u with white u of variance 0.25, from N(0, 1): states alone."""
    push = np.array([[DECAY ** (i - j) if j <= i else 0 for j in range(STEPS)] for i in range(STEPS)])
    return exact_model(np.zeros((STEPS, 1)), push @ np.diag([1.0] + [0.25] * (STEPS - 1)) @ push.T, "frames")


def feedback(z, goal, left):
    """Where the controls of least energy, sum of u², lead to in the first of `left` steps to a goal."""
    gains = DECAY ** np.arange(left)
    return DECAY * z + gains[-1] * (goal - DECAY**left * z) / (gains**2).sum()


def disturbing():
    """A world that goes where it is told, but for what disturbs it."""
    moves = iter(DISTURBED)
    return lambda state, action: action + next(moves)


@pytest.mark.system
@pytest.mark.parametrize(
    ("known", "left"),
    [({5: [2.0]}, lambda i: 5 - i), ({-1: [2.0]}, lambda i: STEPS - 1)],
    ids=["a goal that comes nearer", "a horizon that recedes"],
)
def test_planning_again_is_the_feedback_of_least_energy(known, left):
    ride = receding(linear_model(), KEY, STARTS, disturbing(), 5, known=known, **MEAN)
    z = STARTS
    for i, by in enumerate(DISTURBED):
        np.testing.assert_allclose(ride.states[:, i], z, atol=1e-4)
        wanted = feedback(z, 2.0, left(i))
        np.testing.assert_allclose(ride.actions[:, i], wanted, atol=1e-4)
        z = wanted + by
    np.testing.assert_allclose(ride.last, z, atol=1e-4)
    assert ride.plans.shape == (2, 5, STEPS, 1)


@pytest.mark.system
def test_a_plan_that_is_followed_to_its_end_meets_no_disturbance():
    ride = receding(linear_model(), KEY, STARTS, disturbing(), 5, every=5, known={5: [2.0]}, **MEAN)
    assert ride.plans.shape[1] == 1
    np.testing.assert_allclose(ride.plans[:, 0, 5], 2.0, atol=1e-6)
    np.testing.assert_allclose(ride.actions[:, -1], 2.0, atol=1e-6)


@pytest.mark.system
def test_plans_start_from_the_last_one_or_anew():
    model, how = linear_model(), {"sampler": "ddim", "steps": 3, "level": 0.0}
    ride = lambda warm: receding(
        model, KEY, STARTS, lambda state, action: action, 4, every=2, known={-1: [2.0]}, warm=warm, **how
    )
    anew = ride(None).plans
    np.testing.assert_allclose(ride(1.0).plans, anew, atol=1e-5)  # all of the last plan is lost in noise
    near, far = ride(0.02).plans, anew[:, 1] - shifted(anew[:, 0], 2)
    np.testing.assert_allclose(near[:, 0], anew[:, 0], atol=1e-5)
    moved = near[:, 1] - shifted(near[:, 0], 2)
    assert np.abs(moved[:, 1:-1]).mean() < 0.3 * np.abs(far[:, 1:-1]).mean()


def test_shifted_plans_stay_at_their_end():
    np.testing.assert_array_equal(shifted(np.arange(4)[None, :, None], 2)[0, :, 0], [2, 3, 3, 3])


def test_masses_that_are_pushed_to_setpoints_follow_the_plan(rng):
    place = find_maze("umaze")
    corners = place.center(np.array([[0, 1, 2], [2, 1, 0]]))
    plans = np.repeat(corners, 4, axis=1) + rng.uniform(-0.1, 0.1, (2, 12, 2))
    ride = execute(place, follow(plans, 16), plans[:, 0], plans[:, -1], 11 * 16)
    world, act, state = pushed(place), setpoints(16), (plans[:, 0], np.zeros((2, 2)))
    for i in range(11):
        np.testing.assert_allclose(state[0], ride.positions[16 * i], atol=1e-12)
        state = world(state, act(plans, i))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length=0, every=1: do at least one step"),
        ({"every": STEPS}, "of a plan up to 5"),
        ({"known": {0: [1.0]}}, "step 0 is where the world is"),
        ({"known": {5: [1.0], -1: [1.0]}}, "step 5 and step -1 are the same in the plan of step 0"),
        ({"observe": lambda state: state[:, 0]}, r"observed with shape \(2,\)"),
        ({"known": {3: [np.inf]}}, "must be finite"),
    ],
)
def test_what_cannot_be_followed_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        receding(linear_model(), KEY, STARTS, lambda s, a: a, **{"length": 4, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"near": np.zeros((1, STEPS, 1))}, "near: .* give start, too"),
        ({"near": np.zeros((2, STEPS, 1)), "start": 0.5}, "must be finite plans"),
        ({"near": np.zeros((1, STEPS, 1)), "start": 0.5}, "staggered.*has a time for each frame"),
    ],
)
def test_plans_to_start_from_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        plan(linear_model(), KEY, 1, {0: [1.0]}, **options)
