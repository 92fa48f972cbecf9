"""Plan: draw trajectories of which some states are known, such as the start and the goal, and rank them.

How known states are held (`rule`) follows from how the model was trained:

    held       shown to the network free of noise, as in training by loss "held" (Janner et al. 2022, Diffuser)
    context    whole states, at a small time of their own, of a model of loss "frames" (Chen et al. 2024)
    replace    put in their place with noise after each step, of any other model: approximate

Beyond what is known, plans follow a reward, by its gradient at x̂_0 (`jaxdiff.guidance.by_energy`: roughly as drawn
with weight exp(scale reward)), or a value of noisy trajectories, (x_t, t) -> log E[exp(reward) | x_t], with which they
have exactly that weight (`by_density`). Many plans may be drawn for each, and the best kept.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian.noise import by_example, normal
from jaxdiff.guidance import by_density, by_energy, context, held, inpainting, sdedit
from jaxdiff.modalities import has_space, require
from jaxdiff.modalities.trajectories.mazes import RADIUS, find_maze
from jaxdiff.modalities.trajectories.spec import lengths_of
from jaxdiff.pipelines.common import draw_with, nothing_known
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite
from jaxdiff.types import Array, Key

__all__ = ["RULES", "Plans", "cost", "ordered", "placed", "plan", "rollout", "rule_of"]

RULES = ("held", "context", "replace")
LEVEL = 0.01
"""The time at which context is shown."""
Value = Callable[[Array, Array], Array]


class Plans(NamedTuple):
    """Plans, the best of each first.

    Attributes:
      states: (n, several, steps, channels), in the trajectories' own units.
      costs: (n, several), by which they are ranked, rising.
    """

    states: np.ndarray
    costs: np.ndarray


def plan(
    model: Model,
    key: Key,
    n: int,
    known: Mapping[int, Any],
    several: int = 1,
    reward: Callable[[Array], Array] | None = None,
    value: Value | None = None,
    scale: float | Array = 1.0,
    rank: Callable[[np.ndarray], np.ndarray] | None = None,
    rule: str | None = None,
    level: float | Array = LEVEL,
    near: np.ndarray | None = None,
    **options: Any,
) -> Plans:
    """Draw plans.

    Args:
      n: of how many problems.
      known: states by step, from 0, or from -1 backwards: (channels,) for all problems or (n, channels), in the
        trajectories' own units. Fewer channels than there are, are the first; NaN stands for what is free. Of a model
        of several lengths -1 is the last state of each, and "length" a condition.
      several: plans for each problem.
      reward: of states (batch, steps, channels) in their own units, (batch,): differentiable.
      value: of noisy trajectories as the network sees them, (x_t, t) -> (batch,), in place of a reward.
      scale: on the gradient of either.
      rank: of plans (batch, steps, channels), the cost (batch,); by default minus the reward, or `cost`.
      rule: one of RULES; by default that of the model's training.
      level: the time at which the states of "context" are shown.
      near: plans (n, steps, channels) to start from, noised to the time `start`.
      **options: those of `Model.sample`, and `start` of `Model.trajectory`.

    Raises:
      InputError: a step beyond the trajectory, a state that is not finite or lies in a wall, or an unknown rule.
    """
    require("trajectories", model.spec, "plan")
    rule = rule or rule_of(model)
    if rule not in RULES:
        raise unknown("rule of a plan", rule, RULES)
    _check(model, n, several, bool(reward and value), near, options.get("start"))
    lengths, options = _lengths(model, key, n, reward or value, options)
    states, mask = placed(model, n, known, lengths)
    if rule == "context" and (mask.any(-1) != mask.all(-1)).any():
        raise InputError("known: a model of loss 'frames' is given whole states, of all channels: give them all")
    repeat = lambda a: jnp.asarray(np.repeat(a, several, axis=0))
    each = {"known": repeat(model.codec.encode(states)), "mask": repeat(mask.astype(np.float32))}
    if isinstance(options.get("condition"), Mapping):
        options["condition"] = jax.tree.map(repeat, dict(options["condition"]))
    if rule == "context":
        each["eps"] = _noise(key, options.get("first", 0), each["known"])
    each |= {} if near is None else {"near": repeat(model.codec.encode(near))}
    shared = {"scale": jnp.float32(scale), "level": jnp.float32(level)}
    hooks = _hooks(rule, reward, value, _scaling(model), near is not None)
    drawn = draw_with(model, key, n * several, hooks, Inputs(each, shared), **options)
    plans = np.asarray(model.codec.decode(finite(np.asarray(drawn), "plans")))
    plans = np.where(np.repeat(mask, several, axis=0), np.repeat(states, several, axis=0), plans).astype(np.float32)
    ranked = rank or (functools.partial(_minus, reward) if reward else functools.partial(cost, model))
    return ordered(plans.reshape(n, several, *model.shape), np.asarray(ranked(plans)))


def _noise(key: Key, first: int, x: Array) -> Array:
    """What the states that are shown are noised by, of each example from the first on."""
    return by_example(normal, first + jnp.arange(len(x)))(jax.random.fold_in(key, 1), x)


def _scaling(model: Model) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The shift and the scale of each channel."""
    details = model.spec.details
    return tuple(details.get("shift", (0.0,))), tuple(details.get("scale", (1.0,)))


def _check(model: Model, n: int, several: int, both: bool, near: np.ndarray | None, start: Any) -> None:
    """Refuse no plan, two leaders, and plans to start from that do not fit or are noised to no time."""
    if several < 1 or both:
        raise InputError(f"several={several}: draw at least one plan, led by a reward or by a value and not by both")
    if near is not None and start is None:
        raise InputError("near: plans to start from are noised to a time: give start, too")
    if near is not None and (np.shape(near) != (n, *model.shape) or not np.isfinite(near).all()):
        raise InputError(f"near of shape {np.shape(near)}: must be finite plans {(n, *model.shape)}")


def _lengths(model: Model, key: Key, n: int, led: Any, options: dict[str, Any]) -> tuple[np.ndarray | None, dict]:
    """The lengths of n plans, None where all have that of the model, and the options with the mask of these."""
    if not has_space(model.spec):
        return None, options
    if led:
        raise InputError("reward, value: are of plans of one length, and this model's have several: rank them")
    condition: Any = model.completed(key, nothing_known(options.get("condition")), n, options.get("first", 0))
    return lengths_of(condition["mask"]), {**options, "condition": condition}


def ordered(plans: np.ndarray, costs: np.ndarray) -> Plans:
    """Plans (n, several, steps, channels) by their costs (n * several,), of each problem the cheapest first."""
    n, several = plans.shape[:2]
    if costs.shape != (n * several,):
        raise InputError(f"reward, rank: gave shape {costs.shape} for {n * several} plans: must be a number for each")
    order = np.argsort(costs := costs.reshape(n, several), axis=1)
    return Plans(np.take_along_axis(plans, order[..., None, None], 1), np.take_along_axis(costs, order, 1))


def cost(model: Model, plans: np.ndarray) -> np.ndarray:
    """The length of the way (batch, steps, channels), (batch,).

    In a maze it is 100 more for each place in a wall, or nearer to one than the mass's size, among the states and five
    evenly between any two. The map is known to this ranking, and not to the model.
    """
    x = plans[..., :2]
    length = np.nansum(np.linalg.norm(np.diff(x, axis=1), axis=-1), 1)
    if not model.spec.details.get("maze"):
        return length
    way = np.linspace(0, 1, 6, endpoint=False)[:, None]
    between = (x[:, :-1, None] * (1 - way) + x[:, 1:, None] * way).reshape(len(x), -1, 2)
    return length + 100 * (~find_maze(model.spec.details["maze"]).is_free(between, RADIUS)).sum(1)


def _minus(reward: Callable, states: Any) -> Array:
    """The energy that a reward is the negative of."""
    return -reward(jnp.asarray(states))


def _energy(reward: Callable, shift: Array, width: Array, x: Array) -> Array:
    """Minus the reward of trajectories as the network sees them."""
    return _minus(reward, x * width + shift)


def rule_of(model: Model) -> str:
    """The rule that goes with the loss by which a model was trained."""
    loss = (model.config or {}).get("loss", {}).get("name")
    return {"held": "held", "frames": "context"}.get(loss, "replace")


def rollout(model: Model, key: Key, seen: np.ndarray, length: int, **options: Any) -> np.ndarray:
    """Continue trajectories (n, seen steps, channels) to a length in steps, window by window, in their own units.

    Each window is a plan whose first states are the last that were seen or drawn: as many as there were at first; the
    options are those of `plan`.

    Raises:
      InputError: nothing is seen, some of it is not finite, or so much that a window has nothing to draw.
    """
    if has_space(model.spec):
        raise InputError("rollout: continues windows of one length, and this model's trajectories have several")
    seen = np.asarray(seen, np.float32)
    overlap = seen.shape[1] if seen.ndim == 3 else 0
    if not 0 < overlap < model.shape[0]:
        raise InputError(
            f"seen of shape {seen.shape}: give (n, from 1 to {model.shape[0] - 1} steps, {model.shape[1]})"
        )
    if not np.isfinite(seen).all():
        raise InputError("seen: must be finite numbers")
    parts, last, total = [seen], seen, overlap
    while total < length:
        known = dict(enumerate(last.swapaxes(0, 1)))
        window = plan(model, jax.random.fold_in(key, total), len(seen), known, **options).states[:, 0]
        parts.append(window[:, overlap:])
        last, total = window[:, -overlap:], total + model.shape[0] - overlap
    return np.concatenate(parts, axis=1)[:, :length]


@functools.lru_cache(maxsize=32)
def _hooks(rule: str, reward: Callable | None, value: Value | None, scaling: tuple, near: bool) -> Hooks:
    def guide(process, denoiser, inputs):
        given, scale = inputs.each, inputs.shared["scale"]
        if rule == "held":
            denoiser = held(denoiser, given["known"], given["mask"])
        if rule == "context":
            frames = given["mask"][..., 0]
            denoiser = context(process, denoiser, given["known"], frames, inputs.shared["level"], given["eps"])
        if reward is not None:
            shift, width = map(jnp.asarray, scaling)
            energy = functools.partial(_energy, reward, shift, width)
            denoiser = by_energy(process, denoiser, energy, scale)
        if value:
            denoiser = by_density(process, denoiser, value, scale)
        if reward or value:
            denoiser = _kept(denoiser, given)
        return denoiser

    def steer(process, denoiser, sampler, inputs):
        return inpainting.replace(process, sampler, inputs.each["known"], inputs.each["mask"])

    hooks = Hooks(guide=guide, steer=steer) if rule == "replace" else Hooks(guide=guide)
    return hooks._replace(begin=_near) if near else hooks


def _near(process, key, x, times, inputs):
    """Plans to start from, noised to the first of the times."""
    return sdedit.sdedit(process, key, inputs.each["near"], times[0])


def _kept(denoiser, given):
    """The denoiser whose known states no gradient has moved."""
    return lambda x_t, t: inpainting.keep(denoiser(x_t, t), given["known"], given["mask"])


def placed(
    model: Model, n: int, known: Mapping[int, Any], lengths: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Known states in their places, (n, steps, channels), and where they are.

    Args:
      lengths: of the plans, (n,); that of the model by default.
    """
    steps, channels = model.shape
    states, mask = np.zeros((n, steps, channels)), np.zeros((n, steps, channels), bool)
    maze, row = model.spec.details.get("maze"), np.arange(n)
    lengths = np.full(n, steps) if lengths is None else lengths
    for place, state in known.items():
        at, least = np.where(place < 0, lengths + place, place), int(lengths.min())
        if not -least <= place < least:
            raise InputError(f"known: step {place}: this model plans {least} steps, from 0 to {least - 1}")
        if (twice := mask[row, at].any(-1)).any():
            one = int(at[twice][0])
            raise InputError(f"known: step {place} is given twice, as {one} and as {one - int(lengths[twice][0])}")
        state = np.asarray(state, np.float64)
        width = state.shape[-1] if state.ndim else 0
        if state.ndim not in (1, 2) or not 1 <= width <= channels or (state.ndim == 2 and len(state) != n):
            raise InputError(f"known: step {place}, of shape {state.shape}: give up to {channels} numbers, or {n} rows")
        if np.isinf(state).any() or np.isnan(state).all():
            raise InputError(f"known: step {place}: {state.tolist()}: must be finite, and NaN where it is free")
        if maze and width > 1 and not find_maze(maze).is_free(state[..., :2]).all():
            raise InputError(
                f"known: step {place}: {state.tolist()} lies in a wall of the maze {maze!r}, or outside of it"
            )
        given = np.broadcast_to(~np.isnan(state), (n, width))
        states[row, at, :width] = np.where(given, state, 0)
        mask[row, at, :width] = given
    if (mask.sum((1, 2)) == lengths * channels).any():
        raise InputError("known: every state is known: leave something to plan")
    return states, mask
