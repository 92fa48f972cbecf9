"""Fields: what the values of a configuration may be.

A configuration may come from a file that somebody wrote or damaged. What is wrong with it is said here, by the name of
the field, before any of it is used.
"""

import ast
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

import numpy as np

from jaxdiff.errors import InputError, unknown

WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    Mapping: "fields by name",
    Sequence[int]: "a row of whole numbers",
    Sequence[float]: "a row of finite numbers",
    np.ndarray: "a row of finite numbers",
    type(None): "None",
    object: "there",
}

PLAIN = (bool, int, float, str, Sequence[int], Sequence[float], np.ndarray)
MOST = 2**31 - 1
RANGES = {
    "size": (0, 2**14),
    "cache_gb": (0, math.inf),
    "net.channels": (1, 2**20),
    "net.outputs": (1, 2),  # which the loss decides
    "multipliers": (1, 2**10),
    "blocks": (1, 1000),
    "attention": (1, MOST),
    "dropout": (0, 1),
    "num_classes": (0, MOST),
    "fourier": (-64, 64),
    "patch": (1, 2**10),
    "octaves": (1, 16),
    "frequency": (1e-6, 1),
    "persistence": (0, 1),
    "groups": (1, MOST),
    "heads": (1, MOST),
    "head_channels": (0, 2**20),
    "width": (1, 2**20),
    "steps": (1, 10**6),
    "total": (1, 10**6),
    "levels": (2, 2**16),
    "keep": (1, 10**4),
    "sigma_data": (1e-6, 1e6),
    "std": (0, math.inf),
    "gamma": (0, math.inf),
    "k": (0, math.inf),
    "s": (0, 1),
    "rho": (1e-3, 1e3),
    "learning_rate": (0, 1e38),
    "b1": (0, 1),
    "b2": (0, 1),
    "momentum": (0, 1),
    "eps": (0, 1),
    "eps_root": (0, 1),
    "weight_decay": (0, 1e6),
    "decay_steps": (1, MOST),
    "transition_steps": (1, MOST),
    "transition_begin": (0, MOST),
    "warmup_steps": (1, MOST),
    "decay_rate": (1e-30, 1e30),
    "end_value": (0, 1e38),
    "learning.alpha": (0, 1),
    "learning.exponent": (0, 100),
    "learning.power": (0, 100),
}
"""Range of each numeric argument, keyed by `name` or `kind.name`; of samplers: `jaxdiff.pipelines.model.RANGES`."""

FIELDS: dict[str, tuple[Any, float, float]] = {
    "seed": (int, 0, 2**63 - 1),
    **dict.fromkeys(("data", "process", "parameterization", "net", "loss", "optimizer"), (Mapping, 0, 0)),
    "net.num_classes": (int, 0, MOST),
    "optimizer.learning_rate": (float, 0, 1e38),
    "optimizer.warmup": (int, 0, MOST),
    "optimizer.schedule": (Mapping, 0, 0),
    "optimizer.clip": (float, 0, math.inf),
    **dict.fromkeys((f"ema.{k}" for k in ("decay", "half_life", "power")), (Sequence[float], 0, MOST)),
    "train.steps": (int, 0, MOST),
    "train.batch_size": (int, 1, 2**24),
    "train.accumulate": (int, 1, 2**24),
    **dict.fromkeys((f"train.{k}_every" for k in ("log", "sample", "checkpoint")), (int, 1, MOST)),
    "train.keep": (int, 1, MOST),
    "train.keep_every": (int, 0, MOST),
    "train.keep_best": (str, 0, 0),
    "train.verify": (bool, 0, 0),
    "train.held_out_examples": (int, 0, MOST),
    "train.balanced": (bool, 0, 0),
    "train.drop_condition": (float, 0, 1),
    "train.augment": (float, 0, 1),
    "train.shrink": (int, 1, 2**10),
    "train.enlarge": (int, 1, 2**10),
    "train.enlarge_noise": (float, 0, 100),
    "train.readers": (int, 1, 1000),
    "train.max_hours": (float, 0, 1e6),
    "train.guard.patience": (int, 1, MOST),
    "train.guard.rollbacks": (int, 0, MOST),
    "train.guard.spike": (float, 0, math.inf),
    "train.cpu_devices": (int, 1, 2**16),
    **dict.fromkeys((f"train.mesh.{k}" for k in ("data", "fsdp", "tensor")), (int, -1, 2**24)),
    "train.steps_per_call": (int, 0, 10**6),
    "train.device_data": (str, 0, 0),
    "debug.nans": (bool, 0, 0),
    "sample.sampler": (Mapping, 0, 0),
    "sample.sampler.name": (str, 0, 0),
    "sample.steps": (int, 1, 10**6),
    "sample.grid": (Mapping, 0, 0),
    "sample.grid.name": (str, 0, 0),
    "sample.clip": (object, 0, 0),
}
"""The fields that have to be there: `(kind, least, most)`."""

LATER = {
    "train": {"shrink": 1, "enlarge": 1, "enlarge_noise": 0.0},
    "optimizer": {"schedule": {"name": "constant_schedule"}},
}
"""Fields that older runs do not name, and what they are there."""
OPTIONAL = ("held_out", "sample.process")
CLOSED = ("", "ema.", "train.", "train.guard.", "train.mesh.", "debug.", "sample.")
"""Parts that have no fields but these."""


def check_fields(config: Any, *parts: str) -> None:
    """Refuse a configuration without one of the fields above, or with a value there that does not fit.

    Args:
      parts: those to look at, such as "net" or "train.mesh"; by default all, which then may hold nothing else.
    """
    for field, (kind, least, most) in FIELDS.items():
        if not parts or any(f"{field}.".startswith(f"{part}.") for part in parts):
            check_value(f"config.{field}", _get(config, field), kind, least, most)
    for part in () if parts else CLOSED:
        known = {f.removeprefix(part).partition(".")[0] for f in (*FIELDS, *OPTIONAL) if f.startswith(part)}
        for name in _get(config, part.rstrip(".")):
            if name not in known:
                raise unknown("field", f"config.{part}{name}", [f"config.{part}{k}" for k in known])


def _get(config: Any, field: str) -> Any:
    for name in filter(None, field.split(".")):
        if not isinstance(config, Mapping) or name not in config:
            raise InputError(f"config.{field} is missing: compare with configs/ddpm.py")
        config = config[name]
    return config


def check_argument(kind: str, name: str, value: Any, parameter: inspect.Parameter) -> None:
    """Refuse a value that does not fit what a parameter is annotated with, or, failing that, its default.

    Where neither is plain data, nothing is refused, nor is a value that is none.

    Args:
      kind: of function, "net", and its name: "net 'unet'".
    """
    kinds = _kinds(parameter)
    if not kinds or Any in get_args(parameter.annotation) or callable(value):
        return
    least, most = RANGES.get(f"{kind.partition(' ')[0]}.{name}") or RANGES.get(name, (-math.inf, math.inf))
    if not any(_fits(value, k, least, most) for k in kinds):
        _refuse(f"{kind}: {name}", value, kinds, least, most)


def read(text: str, parameter: inspect.Parameter | None) -> Any:
    """The value of an argument that is written on a command line: plain data, or else the text itself.

    A parameter that takes nothing but a text takes every text as it is.
    """
    if parameter and _kinds(parameter) == [str]:
        return text
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {"inf": math.inf, "-inf": -math.inf}.get(text, text)


def _kinds(parameter: inspect.Parameter) -> list[Any]:
    """What a parameter takes, of the WORDS, by its annotation or, failing that, its default; empty if nobody knows."""
    annotation, default = parameter.annotation, parameter.default
    if annotation in PLAIN:
        return [annotation]
    if get_origin(annotation) is Mapping:
        return [Mapping]
    if type(default) in (bool, float, str):
        return [type(default)]
    return [kind for kind in (int, float, str, type(None)) if kind in get_args(annotation)]


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
    return isinstance(value, kind)


def _refuse(what: str, value: Any, kinds: Sequence[Any], least: float, most: float) -> None:
    numbers = any(kind not in (bool, str, Mapping) for kind in kinds)
    within = f" from {least:g} to {most:g}" if numbers and (least, most) != (-math.inf, math.inf) else ""
    shown = " ".join(repr(value)[:1000].split())
    shown = shown if len(shown) < 80 else f"{shown[:76]} ..."
    raise InputError(f"{what}={shown}: must be {' or '.join(WORDS[kind] for kind in kinds)}{within}")
