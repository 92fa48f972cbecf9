"""Few steps from a trained model: a student begins as its teacher, and is a run like any other.

python train.py --config=configs/distill.py:progressive,teacher=RUN             one DDIM step in place of two, again
python train.py --config=configs/distill.py:progressive,steps=4,teacher=RUN     the same, down to 4 steps
python train.py --config=configs/distill.py:consistency,teacher=RUN             along the teacher's flow
python train.py --config=configs/distill.py:easy_consistency,teacher=RUN        by tuning alone
python train.py --config=configs/distill.py:continuous,teacher=RUN              the tangent along the teacher's flow
python train.py --config=configs/distill.py:dmd,teacher=RUN                     in one step, by two scores
python train.py --config=configs/distill.py:judged_dmd,teacher=RUN              and against an adversary
python train.py --config=configs/distill.py:mean_flow,teacher=RUN               from a run of configs/flow.py alone,
python train.py --config=configs/distill.py:shortcut,teacher=RUN                as is this
python train.py --config=configs/distill.py:moment_matching,teacher=RUN
python train.py --config=configs/distill.py:progressive,teacher=RUN --config.train.guidance="(1,4)"   all scales
python train.py --config=configs/distill.py:student=RUN                         go on where the teacher is gone

Data, network, process, parameterization and the length of training are the teacher's, and all of it is trained. A
teacher has to predict v, velocity or edm's output: eps says nothing of the data at t = 1. docs/few_steps.md has the
methods side by side. For what differentiates it by the time (continuous, mean_flow), train it with
--config.parameterization.time_scale=20.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxdiff.config.record import find, read_record, with_tuples
from jaxdiff.errors import InputError, unknown

TIMES = {"name": "log_normal", "mean": -1.1, "std": 2.0}


def get_config(setting: str = "progressive,teacher=runs/flow") -> ConfigDict:
    """The configuration of one of the settings above."""
    before, word, run = setting.partition("student=")
    if word and not before:
        return ConfigDict(with_tuples(read_record(find(run)).config))
    before, word, run = setting.partition("teacher=")
    name, *further = before.removesuffix(",").split(",")
    if name not in METHODS or not run or [f for f in further if not f.startswith("steps=")]:
        raise unknown("setting", setting, [*(f"{method},teacher=RUN" for method in METHODS), "student=RUN"])
    config = ConfigDict(with_tuples(read_record(find(run)).config))
    config.train.update(init=str(find(run)), choose=False, minutes=0.0)
    # What of the teacher was fine-tuned is no part of the student's; nor is its error, which a student has not.
    config.train.update(freeze="", held_out_examples=0)
    if config.train.keep_best.startswith("held_out"):
        config.train.update(keep_best="", patience=0)
    steps = int(further[0].removeprefix("steps=")) if further and further[0][6:].isdigit() else 1
    if further and (name != "progressive" or not further[0][6:].isdigit()):
        raise InputError(f"{further[0]}: a number, of progressive: leave it out")
    METHODS[name](config, config.train.steps * config.train.batch_size, steps)
    if "guidance" in config.loss:
        config.train.guidance = ()
    return config


def _progressive(config: ConfigDict, examples: int, steps: int) -> None:
    stages = max(math.ceil(math.log2(64 / max(steps, 1))), 1)
    total = steps * 2**stages
    loss = {"name": "progressive", "total": total, "last": steps, "stage": max(examples // stages, 1), "guidance": 1.0}
    config.loss = ConfigDict(loss)
    _draws(config, "ddim", {"name": "nested", "total": total, "only": steps}, steps)


def _consistency(config: ConfigDict, examples: int, steps: int) -> None:
    config.loss = ConfigDict({"name": "consistency_distillation", "steps": 40, "guidance": 1.0})
    _draws(config, "renoise", {"name": "angles"})


def _easy_consistency(config: ConfigDict, examples: int, steps: int) -> None:
    loss = {"name": "easy_consistency", "times": TIMES, "base": 2.0, "stages": 8, "stage": max(examples // 8, 1)}
    config.loss = ConfigDict(loss)
    _draws(config, "renoise", {"name": "angles"})


def _continuous(config: ConfigDict, examples: int, steps: int) -> None:
    loss = {"name": "continuous_distillation", "times": TIMES, "guidance": 1.0, "warmup": examples // 5}
    config.loss = ConfigDict(loss)
    _draws(config, "renoise", {"name": "angles"})


def _dmd(config: ConfigDict, examples: int, steps: int) -> None:
    config.loss = ConfigDict({"name": "dmd", "guidance": 1.0})
    config.train.rates = "critic=4"
    config.optimizer.update(learning_rate=config.optimizer.learning_rate / 10, clip=0.0)
    _draws(config, "renoise", {"name": "nested", "total": 1, "only": 1})


def _judged(config: ConfigDict, examples: int, steps: int) -> None:
    _dmd(config, examples, steps)
    config.loss = ConfigDict({"name": "judged_dmd", "guidance": 1.0, "adversary": 0.01})


def _mean_flow(config: ConfigDict, examples: int, steps: int) -> None:
    config.loss = ConfigDict({"name": "mean_flow"})
    _draws(config, "jump", {"name": "uniform"})


def _shortcut(config: ConfigDict, examples: int, steps: int) -> None:
    config.loss = ConfigDict({"name": "shortcut"})
    _draws(config, "jump", {"name": "uniform"})


def _moment_matching(config: ConfigDict, examples: int, steps: int) -> None:
    config.loss = ConfigDict({"name": "moment_matching"})
    _draws(config, "jump", {"name": "angles"})


METHODS: Mapping[str, Callable[[ConfigDict, int, int], None]] = {
    "progressive": _progressive,
    "consistency": _consistency,
    "easy_consistency": _easy_consistency,
    "continuous": _continuous,
    "dmd": _dmd,
    "judged_dmd": _judged,
    "mean_flow": _mean_flow,
    "shortcut": _shortcut,
    "moment_matching": _moment_matching,
}


def _draws(config: ConfigDict, sampler: str, grid: dict[str, Any], steps: int = 1) -> None:
    """How the student draws. Where a flow map jumps to noise, what it aims at is no image, which is not clipped."""
    clip = float("inf") if sampler == "jump" else config.sample.clip
    config.sample = ConfigDict({"sampler": {"name": sampler}, "steps": steps, "grid": grid, "clip": clip})
