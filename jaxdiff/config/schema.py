"""Schema: every field of a configuration, declared at one place, and what the values of fields may be.

A configuration is plain data, nested by name, and may come from a file that somebody wrote or damaged. What is wrong
with it is said here, by the name of the field, before any of it is used. `docs/settings.md` is made from this table.
"""

import ast
import copy
import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import numpy as np

from jaxdiff.config.ranges import MOST, RANGES
from jaxdiff.errors import InputError, unknown

__all__ = [
    "FIELDS",
    "PLAIN",
    "WORDS",
    "Field",
    "check_argument",
    "check_fields",
    "check_value",
    "defaults",
    "kinds_of",
    "may_change",
    "read",
]

WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    Path: "a path",
    Mapping: "fields by name",
    Sequence[int]: "a row of whole numbers",
    Sequence[float]: "a row of finite numbers",
    np.ndarray: "a row of finite numbers",
    type(None): "None",
    object: "there",
}
PLAIN = (bool, int, float, str, Sequence[int], Sequence[float], np.ndarray)


class Field(NamedTuple):
    """The declaration of one field.

    Attributes:
      kind: of value, one of `WORDS`; a Mapping names a function (`jaxdiff.config.parts`), whose arguments stand beside
        the name.
      default: of the configurations in configs/, which start from `defaults()`.
      help: what it is, in a few words.
      least, most: range of the number, or of each number of the row.
      resume: whether it may change when a run goes on: how long, how often, on which devices, how to draw; never what
        is learned. Or the arguments of the function that may.
      optional: whether a configuration may leave it out.
      folder: whether it is of a run's folder, and means nothing where training is in memory.
    """

    kind: Any
    default: Any
    help: str
    least: float = -math.inf
    most: float = math.inf
    resume: bool | tuple[str, ...] = False
    optional: bool = False
    folder: bool = False


FIELDS = {
    "seed": Field(int, 0, "of the parameters, the order of the examples, and all noise of training", 0, 2**63 - 1),
    "data": Field(Mapping, {}, "what to train on", resume=("path", "data_dir", "cache_gb")),
    "held_out": Field(Mapping, {}, "what to measure on: a data set like `data`", resume=True, optional=True),
    "process": Field(Mapping, {"name": "vp"}, "how data turns to noise"),
    "parameterization": Field(Mapping, {"name": "eps"}, "what the network's output means"),
    "net": Field(Mapping, {"name": "unet"}, "the network", resume=("attention_kernel", "remat")),
    "loss": Field(Mapping, {"name": "diffusion"}, "what is minimized"),
    "optimizer": Field(Mapping, {"name": "adam"}, "how it is minimized, by optax"),
    "optimizer.learning_rate": Field(float, 2e-4, "the highest learning rate", 0, 1e38),
    "optimizer.warmup": Field(int, 5000, "steps of a linear rise to it", 0, MOST),
    "optimizer.schedule": Field(Mapping, {"name": "constant_schedule"}, "the learning rate afterwards, by optax"),
    "optimizer.clip": Field(float, 1.0, "bound on the gradient's global norm; 0 for none", 0, math.inf),
    "ema.decay": Field(Sequence[float], (0.9999,), "averages of the weights by their decay an update", 0, MOST),
    "ema.half_life": Field(Sequence[float], (), "averages by their half-life in examples, ramped up", 0, MOST),
    "ema.sigma_rel": Field(Sequence[float], (), "averages by their relative width (EDM2's sigma_rel)", 0, MOST),
    "train.init": Field(Path, "", "begin with the weights of this run or model folder, as far as they fit"),
    "train.freeze": Field(
        str, "", "parameters that stay as they are, by patterns of their paths: 'down*,mid*', '!control' for all others"
    ),
    "train.rates": Field(
        str, "", "factors on the rate of parameters, by patterns of their paths: 'critic=4,embed*=0.5'", optional=True
    ),
    "train.steps": Field(int, 800_000, "updates of the parameters", 0, MOST, resume=True),
    "train.batch_size": Field(int, 128, "examples a step", 1, 2**24),
    "train.accumulate": Field(int, 1, "parts of a batch whose gradients are averaged one after the other", 1, 2**24),
    "train.balanced": Field(bool, False, "draw every class equally often"),
    "train.cond_dropout": Field(float, 0.0, "share of examples without their condition, for guidance", 0, 1),
    "train.guidance": Field(
        Sequence[float],
        (),
        "scales of its teacher's guidance, from one to another, that a student learns at once and is told",
        0,
        100,
        optional=True,
    ),
    "train.augment": Field(float, 0.0, "rate of EDM's augmentation", 0, 1),
    "train.rotate": Field(bool, False, "turn each example: points, for a net without that symmetry", optional=True),
    "train.downsample": Field(int, 1, "train on images this many times smaller", 1, 2**10),
    "train.upscale": Field(int, 1, "super-resolution: tell the image this many times smaller", 1, 2**10),
    "train.low_res_noise": Field(float, 0.0, "most noise that is added to the small image", 0, 100),
    "train.control": Field(
        str,
        "",
        "follow edges or distance of each image, with a copy of the net's way down",
        optional=True,
    ),
    "train.log_every": Field(int, 100, "steps between two rows of metrics.jsonl", 1, MOST, resume=True),
    "train.sample_every": Field(int, 10_000, "steps between two previews", 1, MOST, True, folder=True),
    "train.checkpoint_every": Field(int, 5_000, "steps between two checkpoints", 1, MOST, resume=True),
    "train.keep": Field(int, 2, "newest checkpoints to keep", 1, MOST, True, folder=True),
    "train.keep_every": Field(
        int, 0, "keep the checkpoint of every so many steps; 0 for none", 0, MOST, True, folder=True
    ),
    "train.keep_best": Field(
        str,
        "",
        "keep the checkpoint with the least `held_out_mse`, `held_out_bits` or `fd_...`",
        resume=True,
        folder=True,
    ),
    "train.patience": Field(
        int, 0, "stop after so many checkpoints without a better `train.keep_best`", 0, MOST, True, True
    ),
    "train.verify": Field(bool, False, "read each checkpoint again after writing it", resume=True, folder=True),
    "train.held_out_examples": Field(int, 0, "held-out examples to measure at each checkpoint", 0, MOST, resume=True),
    "train.samples": Field(int, 0, "examples to draw at each checkpoint for a Fréchet distance", 0, MOST, True, True),
    "train.features": Field(
        str, "", "its features, as of `jaxdiff evaluate`; the values themselves", resume=True, optional=True
    ),
    "train.minutes": Field(float, 0.0, "choose the steps to fit into so many minutes; 0 to leave them", 0, 1e6, True),
    "train.choose": Field(bool, False, "choose what is not set by the data and the machine", resume=True),
    "train.chosen": Field(str, "", "the fields that were chosen so, which a run keeps", resume=True),
    "train.max_hours": Field(float, 0.0, "save and stop after so long; 0 for no limit", 0, 1e6, resume=True),
    "train.guard.patience": Field(
        int, 10, "bad steps in a row before returning to a checkpoint", 1, MOST, True, folder=True
    ),
    "train.guard.rollbacks": Field(int, 3, "returns to a checkpoint before giving up", 0, MOST, True, folder=True),
    "train.guard.spike": Field(float, 0.0, "skip steps whose gradient is this many times its average; 0 for none", 0),
    "train.cpu_devices": Field(int, 2, "devices to make of a CPU", 1, 2**16, resume=True),
    "train.mesh.data": Field(int, -1, "devices along which the batch is cut; -1 for the rest", -1, 2**24, resume=True),
    "train.mesh.fsdp": Field(int, 1, "devices along which batch and parameters are cut", -1, 2**24, resume=True),
    "train.mesh.tensor": Field(int, 1, "devices along which the channels of a block are cut", -1, 2**24, resume=True),
    "train.steps_per_call": Field(int, 0, "steps in one compiled call; 0 to choose", 0, 10**6, resume=True),
    "train.device_data": Field(str, "auto", "hold the data set on the devices: auto, always or never", resume=True),
    "train.readers": Field(int, 2, "threads that read ahead", 1, 1000, resume=True),
    "debug.nans": Field(bool, False, "stop at the operation that makes a NaN", resume=True),
    "sample.sampler": Field(Mapping, {"name": "ancestral"}, "the sampler, with its options", resume=True),
    "sample.steps": Field(int, 1000, "steps of the sampler", 1, 10**6, resume=True),
    "sample.grid": Field(Mapping, {"name": "uniform"}, "the times that the sampler visits", resume=True),
    "sample.process": Field(Mapping, {}, "the process to sample along, if another", resume=True, optional=True),
    "sample.clip": Field(object, 1.0, "bound on the denoiser's output; inf for none", resume=True),
}
"""All fields that a configuration has, by their dotted names."""


def defaults() -> dict[str, Any]:
    """A configuration of the defaults of all fields; it lacks its data, and optional parts.

    What may be left out and may change when a run goes on is there, so that a command line can set it.
    """
    config: dict[str, Any] = {}
    for name, field in FIELDS.items():
        if field.optional and (field.default == {} or not field.resume):
            continue
        *parents, last = name.split(".")
        part = config
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = copy.deepcopy(field.default)
    return config


def check_fields(config: Any) -> None:
    """Refuse a configuration that lacks a field, or has an unknown one, or a value that does not fit.

    The arguments of the functions that it names are checked when these are called.
    """
    for name, field in FIELDS.items():
        if not (field.optional and _is_missing(config, name)):
            check_value(f"config.{name}", _get(config, name), field.kind, field.least, field.most)
    for section in {name.rpartition(".")[0] for name in FIELDS} - FIELDS.keys():
        prefix = f"{section}." if section else ""
        known = {name.removeprefix(prefix).partition(".")[0] for name in FIELDS if name.startswith(prefix)}
        for name in _get(config, section):
            if name not in known:
                raise unknown("field", f"config.{prefix}{name}", [f"config.{prefix}{k}" for k in known])


def may_change(name: str) -> bool:
    """Tell whether a field, or an argument of a function that it names, may differ when a run goes on."""
    for field, declared in FIELDS.items():
        if f"{name}.".startswith(f"{field}."):
            argument = name[len(field) + 1 :]
            if declared.resume is True or (declared.resume and argument in declared.resume):
                return True
    return False


def _is_missing(config: Any, name: str) -> bool:
    *parents, last = name.split(".")
    return last not in _get(config, ".".join(parents))


def _get(config: Any, name: str) -> Any:
    for part in filter(None, name.split(".")):
        if not isinstance(config, Mapping) or part not in config:
            raise InputError(f"config.{name} is missing: `python -m jaxdiff.cli.settings` lists all")
        config = config[part]
    return config


def check_argument(kind: str, function: str, name: str, value: Any, parameter: inspect.Parameter) -> None:
    """Refuse a value that does not fit what a parameter is annotated with, or, failing that, its default.

    Where neither is plain data, nothing is refused, nor is a value that is none.

    Args:
      kind, function: whose argument it is, such as "net" and "unet".
    """
    kinds = kinds_of(parameter)
    if not kinds or Any in get_args(parameter.annotation) or callable(value):
        return
    least, most = RANGES.get(kind, {}).get(function, {}).get(name, (-math.inf, math.inf))
    if not any(_fits(value, k, least, most) for k in kinds):
        _refuse(f"{kind} {function!r}: {name}", value, kinds, least, most)


def read(text: str, parameter: inspect.Parameter | None) -> Any:
    """The value of an argument that is written on a command line: plain data, or else the text itself.

    A parameter that takes nothing but a text takes every text as it is.
    """
    if parameter and kinds_of(parameter) == [str]:
        return text
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {"inf": math.inf, "-inf": -math.inf}.get(text, text)


def kinds_of(parameter: inspect.Parameter) -> list[Any]:
    """The types of WORDS that a parameter takes, by its annotation or else its default; empty if unknown."""
    annotation, default = parameter.annotation, parameter.default
    if annotation in PLAIN:
        return [annotation]
    if get_origin(annotation) is Mapping:
        return [Mapping]
    if type(default) in (bool, float, str):
        return [type(default)]
    kinds = [kind for kind in (int, float, str, type(None)) if kind in get_args(annotation)]
    return kinds[1:] if float in kinds and int in kinds else kinds  # a whole number is a number


def check_value(what: str, value: Any, kind: Any, least: float = -math.inf, most: float = math.inf) -> None:
    """Refuse a value that is not of a kind, one of the WORDS, or out of its range."""
    if not _fits(value, kind, least, most):
        _refuse(what, value, [kind], least, most)


def _fits(value: Any, kind: Any, least: float, most: float) -> bool:
    if kind in (int, float):
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        real = whole or (kind is float and isinstance(value, (float, np.floating)))
        return bool(real and (whole or math.isfinite(value)) and least <= value <= most and abs(value) < 1e300)
    if kind in (Sequence[int], Sequence[float], np.ndarray):
        each = int if kind == Sequence[int] else float
        return isinstance(value, (list, tuple, np.ndarray)) and all(_fits(v, each, least, most) for v in value)
    if kind is Path:  # or, from Python, what is there
        return isinstance(value, str) or callable(value)
    return isinstance(value, kind)


def _refuse(what: str, value: Any, kinds: Sequence[Any], least: float, most: float) -> None:
    numbers = any(kind not in (bool, str, Mapping) for kind in kinds)
    within = f" from {least:g} to {most:g}" if numbers and (least, most) != (-math.inf, math.inf) else ""
    shown = " ".join(repr(value)[:1000].split())
    shown = shown if len(shown) < 80 else f"{shown[:76]} ..."
    raise InputError(f"{what}={shown}: must be {' or '.join(WORDS[kind] for kind in kinds)}{within}")
