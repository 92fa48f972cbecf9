"""Fit: a configuration to its data, its machine and its time, before training begins.

What the user has not set is chosen (`jaxdiff.config.choose`) where the configuration asks for it, `train.choose`, and
the steps are fitted to `train.minutes` by timing some (`jaxdiff.config.budget`). Each choice is printed, with the
option that overrules it. A run keeps what was chosen first: its record says which fields, `train.chosen`.
"""

import contextlib
import copy
import json
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdiff.cli.output import say
from jaxdiff.cli.setup import Setup, prepare
from jaxdiff.config.budget import Speed, within
from jaxdiff.config.choose import Choice, Facts, choose, got, is_set, put
from jaxdiff.config.parts import DATA
from jaxdiff.config.record import read_record
from jaxdiff.errors import InputError
from jaxdiff.modalities import require
from jaxdiff.modalities.images.folder import survey
from jaxdiff.modalities.images.mirror import SURE, directed
from jaxdiff.training import hosts

__all__ = ["Settled", "facts", "measure", "settle"]

LOOKED_AT = 1000
TIMED_S, TIMED = 4.0, 30
"""Steps are timed for so long, and no more than so many."""


class Settled(NamedTuple):
    """A configuration in which nothing is left to choose, and the speed of its step, if it was measured."""

    config: dict
    speed: Speed | None = None


def settle(config: dict, workdir: Path | None, fixed: Collection[str] = (), began: float | None = None) -> Settled:
    """All that was to be chosen, here or when the run in `workdir`, if that is a run, began.

    Args:
      fixed: dotted names of the fields that the user has set.
      began: the time, of `time.monotonic`, at which the minutes began; now by default.

    Raises:
      InputError: something to choose by does not fit.
    """
    train = config["train"]
    began = time.monotonic() if began is None else began
    if train["minutes"] and is_set("train.steps", fixed):
        raise InputError(f"train.minutes={train['minutes']:g} and train.steps={train['steps']}: set one of them")
    folder = workdir or Path()
    there = workdir is not None and (folder / "config.json").exists()
    hosts.agree({"whether there is a run in --workdir": there})
    if there:
        return Settled(hosts.as_one(lambda: _kept(config, read_record(folder).config, fixed)))
    speed: Speed | None = None
    made: list[Choice] = []
    if train["choose"]:
        known = _of_first(hosts.as_one(lambda: facts(config, fixed)))
        config, made = choose(known, config, fixed)
        height, width, channels = known.shape
        classes = f" in {known.classes} classes" if known.classes else ""
        device = f"{known.cores} CPU core(s)" if known.device == "cpu" else f"{known.devices} {known.device} device(s)"
        _say(f"chosen for {known.examples:,} images of {height}x{width}x{channels}{classes} and {device}; to change:")
        _say(*made)
    if minutes := config["train"]["minutes"]:
        _say(f"timing some steps, for {minutes:g} minutes ...")
        speed = measure(hosts.as_one(lambda: prepare(config)))
        passed = hosts.of_writer(int(time.monotonic() - began)) or 0
        config, fitted = within(config, 60 * minutes - passed, speed, fixed, least=30 * minutes)
        _say(*fitted)
        made = made + fitted
    names = ",".join(dict.fromkeys(one.field for one in made))
    return Settled({**config, "train": {**config["train"], "chosen": names}}, speed)


def _of_first(known: Facts) -> Facts:
    """The facts of the first process, by which all choose alike."""
    told = Facts(**json.loads(hosts.gather(json.dumps(known._asdict()))[0])) if jax.process_count() > 1 else known
    return told._replace(shape=tuple(told.shape), values=told.values and tuple(told.values))


def _kept(config: dict, before: dict[str, Any], fixed: Collection[str]) -> dict:
    """The configuration with what was chosen when its run began."""
    fields = [name for name in before.get("train", {}).get("chosen", "").split(",") if name]
    there = lambda name: got(config, name.partition(".")[0])  # held-out data may be there no longer
    kept = [name for name in fields if not is_set(name, fixed) and there(name)]
    config = copy.deepcopy({**config, "train": {**config["train"], "chosen": ",".join(fields)}})
    for name in kept:
        put(config, name, got(before, name))
    if kept:
        _say(f"as chosen when this run began: {', '.join(kept)}")
    return config


def _say(*lines: Any) -> None:
    if hosts.is_writer():
        say(*lines)


def facts(config: dict, fixed: Collection[str] = ()) -> Facts:
    """What the data and the machine are."""
    data = dict(config["data"])
    side = 0
    if data.get("name") == "folder":
        side, channels = survey(data["path"])
        data["channels"] = data["channels"] if is_set("data.channels", fixed) else channels
    values = None
    if data.get("name") == "arrays" and not (is_set("data.low", fixed) or is_set("data.high", fixed)):
        values = _values(data["path"], data.get("key", ""))
        if values and values[0] >= 0:
            data |= {"low": 0.0, "high": 1.0 if values[1] <= 1 else 255.0}
    source = DATA.make(data)
    require("images", source.spec, "train.choose=True")
    some = source.take(np.linspace(0, source.size - 1, min(LOOKED_AT, source.size)).astype(int)).x_0
    shape = (side, side, source.spec.shape[2]) if side else source.spec.shape
    label = source.conditions.get("label")
    devices = jax.local_devices()
    return Facts(
        examples=source.size,
        shape=shape,
        classes=(label.values or 0) if label else 0,
        mirrored=directed(some) < SURE,
        rms=float(np.sqrt(np.mean(np.square(some, dtype=np.float64)))),
        values=values,
        device=jax.default_backend(),
        devices=jax.device_count(),
        cores=os.cpu_count() or 1,
        memory=(devices[0].memory_stats() or {}).get("bytes_limit", 0),
        minutes=config["train"]["minutes"],
    )


def _values(path: str, key: str) -> tuple[float, float] | None:
    """The lowest and highest value of some floating-point images in a file; None of bytes, or of what is not there."""
    with contextlib.suppress(Exception):  # the source itself says what is wrong with a file
        content = np.load(path, mmap_mode="r", allow_pickle=False)
        images = content if isinstance(content, np.ndarray) else content[key or content.files[0]]
        if np.issubdtype(images.dtype, np.floating):
            some = images[np.linspace(0, len(images) - 1, min(LOOKED_AT, len(images))).astype(int)]
            return float(some.min()), float(some.max())
    return None


def measure(setup: Setup) -> Speed:
    """The speed of a step, by some on a state of their own; the first compiles."""
    state, begun = setup.first(), time.perf_counter()
    along = setup.feed.read(0, setup.length)

    def call(state):
        state, metrics = setup.step_fn(state, setup.feed.resident, along)
        jax.block_until_ready(metrics)
        return state

    state = call(state)
    compiled, taken = time.perf_counter() - begun, []
    alone = jax.process_count() == 1  # several take as many steps
    while len(taken) < 2 or (alone and len(taken) < TIMED and sum(taken) < TIMED_S):
        begun = time.perf_counter()
        state = call(state)
        taken.append((time.perf_counter() - begun) / setup.length)
    step_s = (hosts.of_writer(int(1e6 * np.mean(taken))) or 1) / 1e6
    compile_s = (hosts.of_writer(int(1e3 * compiled)) or 0) / 1e3
    return Speed(step_s, max(0.0, compile_s - step_s * setup.length))
