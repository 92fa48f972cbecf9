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

from jaxdiff.config.names import import_name
from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian.noise import by_example, normal
from jaxdiff.guidance import by_density, by_energy, context, held, inpainting
from jaxdiff.modalities import require
from jaxdiff.modalities.trajectories.mazes import RADIUS, find_maze
from jaxdiff.modalities.trajectories.show import draw_plans
from jaxdiff.pipelines.common import draw_with
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite
from jaxdiff.pipelines.pipeline import Argument, Outcome, Pipeline
from jaxdiff.types import Array, Key

__all__ = ["PIPELINES", "RULES", "Plans", "cost", "plan", "rollout", "rule_of"]

RULES = ("held", "context", "replace")
LEVEL, SHOWN = 0.01, 32
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
    **options: Any,
) -> Plans:
    """Draw plans.

    Args:
      n: of how many problems.
      known: states by step, from 0, or from -1 backwards: (channels,) for all problems or (n, channels), in the
        trajectories' own units. Fewer channels than there are, are the first; NaN stands for what is free.
      several: plans for each problem.
      reward: of states (batch, steps, channels) in their own units, (batch,): differentiable.
      value: of noisy trajectories as the network sees them, (x_t, t) -> (batch,), in place of a reward.
      scale: on the gradient of either.
      rank: of plans (batch, steps, channels), the cost (batch,); by default minus the reward, or `cost`.
      rule: one of RULES; by default that of the model's training.
      level: the time at which the states of "context" are shown.
      **options: those of `Model.sample`.

    Raises:
      InputError: a step beyond the trajectory, a state that is not finite or lies in a wall, or an unknown rule.
    """
    require("trajectories", model.spec, "plan")
    rule = rule or rule_of(model)
    if rule not in RULES:
        raise unknown("rule of a plan", rule, RULES)
    if several < 1 or (reward and value):
        raise InputError(f"several={several}: draw at least one plan, led by a reward or by a value and not by both")
    states, mask = _placed(model, n, known)
    if rule == "context" and (mask.any(-1) != mask.all(-1)).any():
        raise InputError("known: a model of loss 'frames' is given whole states, of all channels: give them all")
    repeat = lambda a: jnp.asarray(np.repeat(a, several, axis=0))
    each = {"known": repeat(model.codec.encode(states)), "mask": repeat(mask.astype(np.float32))}
    if isinstance(options.get("condition"), Mapping):
        options["condition"] = jax.tree.map(repeat, dict(options["condition"]))
    if rule == "context":
        index = options.get("first", 0) + jnp.arange(n * several)
        each["eps"] = by_example(normal, index)(jax.random.fold_in(key, 1), each["known"])
    shared = {"scale": jnp.float32(scale), "level": jnp.float32(level)}
    details = model.spec.details
    scaling = tuple(details.get("shift", (0.0,))), tuple(details.get("scale", (1.0,)))
    hooks = _hooks(rule, reward, value, scaling)
    drawn = draw_with(model, key, n * several, hooks, Inputs(each, shared), **options)
    plans = np.asarray(model.codec.decode(finite(np.asarray(drawn), "plans")))
    plans = np.where(np.repeat(mask, several, axis=0), np.repeat(states, several, axis=0), plans).astype(np.float32)
    ranked = rank or (functools.partial(_minus, reward) if reward else functools.partial(cost, model))
    return _ranked(plans.reshape(n, several, *model.shape), np.asarray(ranked(plans)))


def _ranked(plans: np.ndarray, costs: np.ndarray) -> Plans:
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
    length = np.linalg.norm(np.diff(x, axis=1), axis=-1).sum(1)
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
def _hooks(rule: str, reward: Callable | None, value: Value | None, scaling: tuple) -> Hooks:
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

    return Hooks(guide=guide, steer=steer) if rule == "replace" else Hooks(guide=guide)


def _kept(denoiser, given):
    """The denoiser whose known states no gradient has moved."""
    return lambda x_t, t: inpainting.keep(denoiser(x_t, t), given["known"], given["mask"])


def _placed(model: Model, n: int, known: Mapping[int, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Known states in their places, (n, steps, channels), and where they are."""
    steps, channels = model.shape
    states, mask = np.zeros((n, steps, channels)), np.zeros((n, steps, channels), bool)
    maze = model.spec.details.get("maze")
    for place, state in known.items():
        if not -steps <= place < steps:
            raise InputError(f"known: step {place}: this model plans {steps} steps, from 0 to {steps - 1}")
        if mask[:, place].any():
            raise InputError(f"known: step {place} is given twice, as {place % steps} and as {place % steps - steps}")
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
        states[:, place, :width] = np.where(given, state, 0)
        mask[:, place, :width] = given
    if mask.all((1, 2)).any():
        raise InputError("known: every state is known: leave something to plan")
    return states, mask


def _state(text: str, model: Model) -> np.ndarray:
    """A state that is written as numbers with commas."""
    try:
        return np.array([float(word) for word in text.split(",")])
    except ValueError as error:
        raise InputError(f"a state {text!r}: must be numbers with commas, such as 2.5,-1") from error


def _via(words: list[str], model: Model) -> dict[int, np.ndarray]:
    """States by step, each written as STEP:x,y."""
    found = {}
    for word in words:
        step, colon, state = word.partition(":")
        if not colon or not step.lstrip("-").isdigit():
            raise InputError(f"--via {word!r}: must be a step and a state, such as 20:2.5,-1")
        found[int(step)] = _state(state, model)
    return found


REWARD = "package.module:name of a function states (batch, steps, channels) -> (batch,), differentiable by JAX"
VALUE = "package.module:name of a function (x_t, t) -> (batch,) of noisy trajectories as the network sees them"


def _reward(name: str, model: Model) -> Callable:
    return import_name("reward", name, REWARD, callable)


def _value(name: str, model: Model) -> Callable:
    return import_name("value", name, VALUE, callable)


def _plan(model, key, n, start=None, goal=None, via=None, batch=256, **options):
    """Plans for the command line: n of one problem, drawn in batches, and ranked together."""
    if "scale" in options and not options.keys() & {"reward", "value"}:
        raise InputError("--scale: is of a reward or a value, and none is given: give one, or leave it out")
    ends = {place: state for place, state in ((0, start), (-1, goal)) if state is not None}
    if twice := ends.keys() & (via or {}).keys():
        raise InputError(f"--via {min(twice)}: that step is the start or the goal, which are given: leave one out")
    known = ends | (via or {})
    parts = [plan(model, key, 1, known, min(batch, n - i), first=i, **options) for i in range(0, n, batch)]
    states, costs = (np.concatenate(rows, axis=1) for rows in zip(*parts, strict=True))
    made = _ranked(states, costs.ravel())
    given = _placed(model, 1, known)[1].any((0, 2))
    costs = f"cost {made.costs[0, 0]:.3f} of the best plan, {made.costs[0, -1]:.3f} of the last"
    return Outcome(made.states[0], {"costs": made.costs[0], "known": given}, lines=(costs,))


def _rollout(model, key, n, length=0, seen=0, **options):
    """Trajectories of the model's own, continued to `length` steps."""
    seen, length = seen or model.shape[0] // 4, length or 2 * model.shape[0]
    begun = np.asarray(model.codec.decode(draw_with(model, key, n, Hooks(), Inputs(), **options)))
    return rollout(model, jax.random.fold_in(key, 1), begun[:, :seen], length, **options)


def _save(folder, model: Model, outcome: Outcome) -> list[str]:
    """Write tracks.png and plans.npz, with what else there is."""
    from PIL import Image

    x = np.asarray(outcome.images)
    known = outcome.arrays.get("known")
    shown, marked = (x, np.zeros(x.shape[:2], bool)) if known is None else (x[None, :SHOWN], known[None])
    picture = draw_plans(model.spec, shown, marked)
    Image.fromarray(picture).save(folder / "tracks.png")
    np.savez(folder / "plans.npz", allow_pickle=False, windows=x, **outcome.arrays)
    return ["tracks.png", "plans.npz"]


PIPELINES = {
    "plan": Pipeline(
        _plan,
        "trajectories from a start to a goal, the best first",
        (
            Argument("start", "the first state: numbers with commas, --start=X,Y", read=_state, default="free"),
            Argument("goal", "the last state", read=_state, default="free"),
            Argument("via", "further states, each as STEP:X,Y", read=_via, many=True, default="none"),
            Argument("reward", f"what plans are led and ranked by, {REWARD}", read=_reward, default="none"),
            Argument("value", f"what they are led by in its place, {VALUE}", read=_value, default="none"),
            Argument("scale", "factor on the gradient of either", float, default="1"),
            Argument("rule", f"how they are held: {', '.join(RULES)}", default="as in training"),
        ),
        takes=None,
        save=_save,
        modality="trajectories",
        whole=True,
    ),
    "rollout": Pipeline(
        _rollout,
        "trajectories longer than those of training, window by window",
        (
            Argument("length", "steps", int, default="twice those of training"),
            Argument("seen", "steps that each window is told of the one before", int, default="a quarter"),
        ),
        takes=None,
        save=_save,
        modality="trajectories",
    ),
}
