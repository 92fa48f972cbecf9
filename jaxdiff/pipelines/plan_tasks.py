"""The tasks `plan` and `rollout` of the command line: states from words, and plans into files."""

from collections.abc import Callable

import jax
import numpy as np

from jaxdiff.config.names import import_name
from jaxdiff.errors import InputError
from jaxdiff.modalities import has_space
from jaxdiff.modalities.trajectories.control import pushed, setpoints
from jaxdiff.modalities.trajectories.mazes import find_maze
from jaxdiff.modalities.trajectories.show import draw_plans
from jaxdiff.pipelines.common import draw_with, nothing_known
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.pipeline import Argument, Outcome, Pipeline
from jaxdiff.pipelines.plan import RULES, ordered, placed, plan, rollout
from jaxdiff.pipelines.receding import receding

__all__ = ["PIPELINES"]

SHOWN = 32
RIDES = {"every", "world", "act", "warm"}
"""Options of plans that are followed."""


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


STEP = "package.module:name of a function (state, action) -> state, of arrays (n, ...)"
ACT = "package.module:name of a function (plans (n, steps, channels), i) -> action"


def _named(what: str, contract: str) -> Callable[[str, Model], Callable]:
    return lambda name, model: import_name(what, name, contract, callable)


def _plan(model, key, n, start=None, goal=None, via=None, length=None, batch=256, **options):
    """Plans for the command line: n of one problem, in batches, ranked; or, with a length, such plans over and over."""
    if "scale" in options and not options.keys() & {"reward", "value"}:
        raise InputError("--scale: is of a reward or a value, and none is given: give one, or leave it out")
    ends = {place: state for place, state in ((0, start), (-1, goal)) if state is not None}
    if twice := ends.keys() & (via or {}).keys():
        raise InputError(f"--via {min(twice)}: that step is the start or the goal, which are given: leave one out")
    known = ends | (via or {})
    if length is not None:
        if n > batch:
            raise InputError(f"--length: the {n} plans of each turn are drawn at once: give --batch={n}, or fewer")
        return _ride(model, key, n, known, length, **options)
    if idle := sorted(options.keys() & RIDES):
        raise InputError(f"--{idle[0]}: is of plans that are followed, and drawn again: give --length, too")
    if has_space(model.spec):  # one length for all, in whatever batch
        options["condition"] = model.completed(key, nothing_known(options.get("condition")), 1)
    parts = [plan(model, key, 1, known, min(batch, n - i), first=i, **options) for i in range(0, n, batch)]
    states, costs = (np.concatenate(rows, axis=1) for rows in zip(*parts, strict=True))
    made = ordered(states, costs.ravel())
    lengths = np.isfinite(made.states[:, 0]).all(-1).sum(1)
    given = placed(model, 1, known, lengths)[1].any((0, 2))
    costs = f"cost {made.costs[0, 0]:.3f} of the best plan, {made.costs[0, -1]:.3f} of the last"
    return Outcome(made.states[0], {"costs": made.costs[0], "known": given}, lines=(costs,))


def _ride(model, key, n, known, length, every=None, world=None, act=None, warm=None, **options):
    """The best of n plans, followed for `every` steps, and drawn again, until so many steps are done."""
    start = known.pop(0, None)
    if start is None or np.isnan(start).any():
        raise InputError("--length: plans are followed from a start that is known: give --start")
    maze, stride = model.spec.details.get("maze"), model.spec.details.get("stride", 0)
    every = max(1, model.shape[0] // 4) if every is None else every
    state, how = np.asarray(start)[None], {} if act is None else {"act": act}
    if world is None:
        if not maze:
            raise InputError("--length: plans are followed in a world, and this data names none: give --world")
        place = find_maze(maze)
        state, how = (state, np.zeros_like(state)), {"act": setpoints(stride), "observe": lambda state: state[0], **how}
        world = pushed(place)
    options |= {} if warm is None else {"warm": warm}
    ride = receding(model, key, state, world, length, every, known, several=n, **how, **options)
    goal, lines = known.get(-1), (f"{ride.plans.shape[1]} plans followed, {every} steps each",)
    if goal is not None and np.isfinite(goal).all():
        width = min(len(goal), ride.states.shape[-1])
        away = np.linalg.norm(ride.states[0, :, :width] - goal[:width], axis=-1)
        lines += (f"{np.nanmin(away):.3f} from the goal after step {int(np.nanargmin(away))}, the nearest",)
    arrays = {"plans": ride.plans[0], "actions": ride.actions[0]}
    return Outcome(ride.states, arrays, lines=lines)


def _rollout(model, key, n, length=0, seen=0, **options):
    """Trajectories of the model's own, continued to `length` steps."""
    seen, length = seen or model.shape[0] // 4, length or 2 * model.shape[0]
    begun = np.asarray(model.codec.decode(draw_with(model, key, n, Hooks(), Inputs(), **options)))
    return rollout(model, jax.random.fold_in(key, 1), begun[:, :seen], length, **options)


def _save(folder, model: Model, outcome: Outcome) -> list[str]:
    """Write tracks.png and plans.npz, with what else there is; of plans that were followed, plans.png, too."""
    from PIL import Image

    x = np.asarray(outcome.images)
    known = outcome.arrays.get("known")
    shown, marked = (x, np.zeros(x.shape[:2], bool)) if known is None else (x[None, :SHOWN], known[None])
    picture = draw_plans(model.spec, shown, marked)
    Image.fromarray(picture).save(folder / "tracks.png")
    np.savez(folder / "plans.npz", allow_pickle=False, windows=x, **outcome.arrays)
    if (followed := outcome.arrays.get("plans")) is None:
        return ["tracks.png", "plans.npz"]
    begun = np.arange(model.shape[0])[None].repeat(len(followed), 0) == 0
    Image.fromarray(draw_plans(model.spec, followed, begun)).save(folder / "plans.png")
    return ["tracks.png", "plans.png", "plans.npz"]


PIPELINES = {
    "plan": Pipeline(
        _plan,
        "trajectories from a start to a goal, the best first",
        (
            Argument("start", "the first state: numbers with commas, --start=X,Y", read=_state, default="free"),
            Argument("goal", "the last state", read=_state, default="free"),
            Argument("via", "further states, each as STEP:X,Y", read=_via, many=True, default="none"),
            Argument(
                "reward", f"what plans are led and ranked by, {REWARD}", read=_named("reward", REWARD), default="none"
            ),
            Argument(
                "value", f"what they are led by in its place, {VALUE}", read=_named("value", VALUE), default="none"
            ),
            Argument("scale", "factor on the gradient of either", float, default="1"),
            Argument("rule", f"how they are held: {', '.join(RULES)}", default="as in training"),
            Argument("length", "steps to do: follow the best plan, and plan again from where one is", int),
            Argument("every", "steps of it that are done before", int, default="a quarter of a plan"),
            Argument("world", f"where: {STEP}", read=_named("world", STEP), default="the maze of the data"),
            Argument("act", f"how: {ACT}", read=_named("act", ACT), default="towards the next state"),
            Argument("warm", "start from the last plan, noised to this time from 0 to 1", float, default="plan anew"),
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
