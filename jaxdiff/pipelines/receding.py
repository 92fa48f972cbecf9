"""Receding horizon: plan, do the first steps of the plan, and plan again from where one is (model predictive control).

The world is any function `step(state, action) -> state`, of n problems at once; states are arrays (n, ...) or trees of
them, and need not be those of a plan. What disturbs the world is met at the next planning. A plan may be drawn anew, or
from the last one, moved on by the steps that were done and noised to a time: quicker, and nearer to it; from time 1 on
both are the same.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities import has_space
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.plan import plan
from jaxdiff.types import Key

__all__ = ["Ride", "next_state", "receding", "shifted"]


class Ride(NamedTuple):
    """What came of it.

    Attributes:
      states: (n, length + 1, ...), what was observed, before each step and at the end.
      actions: (n, length, ...).
      plans: (n, plannings, steps, channels), those that were followed, in the trajectories' own units.
      last: the state of the world at the end.
    """

    states: np.ndarray
    actions: np.ndarray
    plans: np.ndarray
    last: Any


def next_state(plans: np.ndarray, i: int) -> np.ndarray:
    """The action of a world that goes where it is told: the state after step i of plans (n, steps, channels)."""
    return plans[:, i + 1]


def receding(
    model: Model,
    key: Key,
    state: Any,
    step: Callable[[Any, np.ndarray], Any],
    length: int,
    every: int = 1,
    known: Mapping[int, Any] | None = None,
    act: Callable[[np.ndarray, int], np.ndarray] = next_state,
    observe: Callable[[Any], np.ndarray] = np.asarray,
    warm: float | None = None,
    **options: Any,
) -> Ride:
    """Let plans drive a world for a number of steps.

    Args:
      state: of the world at first.
      step: `(state, action) -> state`.
      every: steps that are done of each plan, before the next one.
      known: further states, as for `plan`: from 1 on at steps of the whole ride, to which plans come nearer as it goes
        on; from -1 backwards at those of each plan, whose horizon recedes.
      act: `(plans (n, steps, channels), i) -> action`, of step i of a plan.
      observe: `state -> (n, k)`, the first k channels of where a plan begins; NaN where one is free.
      warm: the time at which each plan but the first starts from the last one; None to draw them anew.
      **options: those of `plan`, of which `several` draws the best of many plans each time.

    Raises:
      InputError: steps that no plan has, states that do not fit, or what `plan` refuses.
    """
    steps = model.shape[0]
    if has_space(model.spec):
        raise InputError("receding: follows plans of one length, and this model's have several")
    if length < 1 or not 1 <= every < steps:
        raise InputError(f"length={length}, every={every}: do at least one step, and of a plan up to {steps - 1}")
    if 0 in (known or {}):
        raise InputError("known: step 0 is where the world is: give it as the state, and further ones from 1 on")
    states, actions, plans = [_observed(observe, state)], [], []
    for i in range(length):
        if i % every == 0:
            near = {"near": shifted(plans[-1], every), "start": warm} if plans and warm is not None else {}
            held = {0: states[-1], **_ahead(known or {}, i, steps)}
            made = plan(model, jax.random.fold_in(key, i), len(states[-1]), held, **near, **options)
            plans.append(made.states[:, 0])
        actions.append(np.asarray(act(plans[-1], i % every)))
        state = step(state, actions[-1])
        states.append(_observed(observe, state))
    return Ride(*(np.stack(part, axis=1) for part in (states, actions, plans)), last=state)


def shifted(plans: np.ndarray, count: int) -> np.ndarray:
    """Plans (n, steps, channels) moved on by so many steps, after whose end they stay where they are."""
    return plans[:, np.minimum(np.arange(plans.shape[1]) + count, plans.shape[1] - 1)]


def _ahead(known: Mapping[int, Any], i: int, steps: int) -> dict[int, Any]:
    """What is known of the plan that begins at step i of the ride."""
    soon = {place - i: state for place, state in known.items() if 0 < place - i < steps}
    ends = {place: state for place, state in known.items() if place < 0}
    if twice := {place % steps for place in soon} & {place % steps for place in ends}:
        place = min(twice)
        raise InputError(f"known: step {place + i} and step {place - steps} are the same in the plan of step {i}")
    return soon | ends


def _observed(observe: Callable[[Any], np.ndarray], state: Any) -> np.ndarray:
    seen = np.asarray(observe(state), np.float64)
    if seen.ndim != 2 or np.isinf(seen).any():
        raise InputError(f"state: observed with shape {seen.shape}: must be (n, k), finite, or NaN where it is free")
    return seen
