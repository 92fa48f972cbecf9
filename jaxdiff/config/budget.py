"""Budget: how much of a recipe fits into a time, by the measured speed of its step; when to show pictures."""

import copy
from collections.abc import Collection
from typing import Any, NamedTuple

from jaxdiff.config.choose import Choice, is_set, put
from jaxdiff.config.names import Spec

__all__ = ["EARLY_S", "Speed", "early", "nice", "within"]

EARLY_S = 20.0
"""After so many seconds of training the first pictures are drawn, if they take less than half of that."""
SPARE = 0.05
"""Share of the time that is kept for reading, saving, and for a machine that becomes slower."""
SHOWN = 64


class Speed(NamedTuple):
    """What was measured, in seconds: of a step, and of its compilation."""

    step_s: float
    compile_s: float = 0.0

    def preview_s(self, config: Spec) -> float:
        """About what drawing a preview takes: a forward pass is a third of a step, and a sampler has two in a step."""
        return SHOWN * 2 * config["sample"]["steps"] * self.step_s / (3 * config["train"]["batch_size"])


def nice(number: float) -> int:
    """The largest of 1, 2, 5, 10, 25, 50, 100, 250, 500, ... that is no larger; 1 at least.

    From 50 on all are multiples of 50, the most steps in one compiled call.
    """
    best, ten = 1, 10
    for small in (2, 5):
        best = small if small <= number else best
    while ten <= number:
        best = max(n for n in (ten, 5 * ten // 2, 5 * ten) if n <= number)
        ten *= 10
    return best


def early(speed: Speed, config: Spec, length: int) -> tuple[int, ...]:
    """The steps after which to show pictures beside the multiples of `train.sample_every`: the first, twice that, ...

    Args:
      length: of one compiled call; all are multiples of it.
    """
    seconds = max(EARLY_S, 2 * speed.preview_s(config))
    first = max(1, round(seconds / speed.step_s / length)) * length
    end = min(config["train"]["steps"], config["train"]["sample_every"])
    steps = []
    while first < end:
        steps.append(first)
        first *= 2
    return tuple(steps)


def within(
    config: Spec, seconds: float, speed: Speed, fixed: Collection[str] = (), least: float = 0.0
) -> tuple[dict[str, Any], list[Choice]]:
    """The configuration with as many steps as fit, and what follows from them, and each choice.

    The learning rate falls to 0 over them, as a cosine: a run that is cut short wants the end of a long one, not its
    middle (Hägele et al. 2024). The warm-up takes no more than a twentieth, and an average by its decay or half-life no
    longer than that; one by its relative width is as long as it should be already (Karras et al. 2024). Pictures are
    drawn four times, or less often where that would take more than about a third of the steps' own time.

    Args:
      seconds: that are left, with the compilation.
      least: the seconds that the steps themselves get in any case, however long they take to compile.
      fixed: see `jaxdiff.config.choose`.
    """
    config, made = copy.deepcopy(dict(config)), []
    before = config["train"]["steps"]
    train, optimizer, ema = config["train"], config["optimizer"], config["ema"]

    def chosen(field: str, value: Any, why: str) -> None:
        if not is_set(field, fixed):
            put(config, field, value)
            made.append(Choice(field, value, why))

    previews = 4 + max(0, int(seconds / 4 / EARLY_S)).bit_length()
    left = (1 - SPARE) * seconds - speed.compile_s - min(previews * speed.preview_s(config), 0.25 * seconds)
    steps = max(1, int(max(left, least) / speed.step_s))
    steps -= steps % (50 if steps >= 1000 else 1)
    rate = train["batch_size"] / speed.step_s
    shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
    chosen("train.steps", steps, f"{steps * train['batch_size']:,} examples, at {shown}/s as measured")
    steps = train["steps"]
    chosen("optimizer.warmup", min(optimizer["warmup"], max(steps // 20, 1)), "steps of a linear rise")
    name = optimizer["schedule"].get("name", "")
    if name == "constant_schedule":
        decay = {"name": "cosine_decay_schedule", "decay_steps": max(steps - optimizer["warmup"], 1)}
        chosen("optimizer.schedule", decay, "the rate falls to 0 at the end")
    for length in ("decay_steps", "transition_steps"):
        if length in optimizer["schedule"] and name != "constant_schedule":
            scaled = round(optimizer["schedule"][length] * steps / max(before, 1))
            chosen(f"optimizer.schedule.{length}", max(1, scaled), f"as {before:,} steps had it")
    if ema["decay"]:
        shortest = max(0.0, round(1 - 20 / max(steps, 20), 6))
        chosen(
            "ema.decay",
            tuple(dict.fromkeys(min(d, shortest) for d in ema["decay"])),
            "an average over at most a twentieth",
        )
    if ema["half_life"]:
        longest = steps * train["batch_size"] / 20
        lives = dict.fromkeys(float(min(life, longest)) for life in ema["half_life"])
        chosen("ema.half_life", tuple(lives), "examples; at most a twentieth")
    chosen("train.log_every", min(nice(10 / speed.step_s), nice(steps / 10)), "steps; every 10 seconds")
    chosen("train.checkpoint_every", nice(max(120 / speed.step_s, 1)), "steps; every two minutes")
    seldom = max(steps / 4, 3 * speed.preview_s(config) / speed.step_s)
    chosen("train.sample_every", nice(max(seldom, 1)), "steps; pictures; before that after 20 s, 40 s, 80 s, ...")
    return config, made
