"""Train from Python: on arrays in memory, a folder or a file, a source, or what a configuration names.

model = jaxdiff.train(images, steps=2000)
model = jaxdiff.train(images, labels=labels, net=MyModule(), weight=my_weight, optimizer=optax.adamw(1e-3))
model = jaxdiff.train("photos/", workdir="runs/photos", batch_size=64)
"""

import copy
import dataclasses
import functools
import os
import signal
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxdiff.api.basis import basis
from jaxdiff.cli import command
from jaxdiff.cli.fit import settle
from jaxdiff.cli.output import quietly, say
from jaxdiff.cli.setup import described, prepare
from jaxdiff.cli.train import LOWER
from jaxdiff.cli.train import train as train_run
from jaxdiff.config import build
from jaxdiff.config.choose import got, is_set
from jaxdiff.config.given import MADE, NAMED, check_places, with_fields, with_parts
from jaxdiff.config.names import Given
from jaxdiff.config.parts import DATA, NET
from jaxdiff.config.schema import FIELDS
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.images.memory import image_array
from jaxdiff.pipelines.experiment import Trained
from jaxdiff.pipelines.load import load_any
from jaxdiff.pipelines.progress import is_shown, make_bar
from jaxdiff.training import feed, log, sharding, stop
from jaxdiff.training.errors import explained, looked_for
from jaxdiff.training.files import place
from jaxdiff.training.guard import Tally

__all__ = ["SHORT", "configured", "set_by_name", "train"]

SHORT = {
    "batch_size": "train.batch_size",
    "learning_rate": "optimizer.learning_rate",
    "seed": "seed",
    "freeze": "train.freeze",
    "cond_dropout": "train.cond_dropout",
}
"""Fields that may be given by their last name."""
INTERRUPTED = stop.exit_code(signal.SIGINT)
LOADED = ("net", "process", "parameterization", "loss", "sampler", "grid")
"""The parts that a model is loaded with."""


def train(
    data: Any = None,
    steps: int | None = None,
    *,
    labels: Any = None,
    range: tuple[float, float] | None = None,
    classes: Sequence[str] = (),
    flip: bool = False,
    workdir: str | Path | None = None,
    init: Any = None,
    config: Any = None,
    fields: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    **parts: Any,
) -> Trained:
    """Train a model, and return it, ready to sample.

    Args:
      data: images, (n, height, width, channels) or (n, height, width), of uint8 or floating point; the path of a folder
        of pictures, or of a .npy, .npz or .csv; a `jaxdiff.data.source.Source`; or a whole configuration, such as
        `get_config()` of a file in configs/. By default that of `config`.
      steps: updates of the parameters; by default those of the configuration. For as many as fit into a time, set
        `fields={"train.minutes": 15}` instead.
      labels: of images in memory: (n,) whole numbers, or texts.
      range: of floating-point images in memory, such as (0, 1).
      classes: names of the classes.
      flip: mirror images in memory at random.
      workdir: a run's folder, as of `jaxdiff train`, where training goes on if it was there before. By default nothing
        is written, fields that are of such a folder alone are refused, and `train.patience` and `train.max_hours` end
        training early with a warning.
      init: a model, or the path of a run or a model folder, whose weights to begin with, as far as they fit.
      config: a configuration to begin with, for data that is none; or its name, as `jaxdiff train` takes it: "ddpm",
        "edm:folder=PATH", "my_config.py".
      fields: other values of fields of the configuration, by their dotted names, such as `{"net.channels": 64}`.
      progress: show a bar, and say what is about to happen; by default the bar in a terminal and in a notebook alone.
      **parts: names of parts, `{"name": ..., **arguments}`, or the parts themselves: `net` (a Linen or NNX module, or
        `(function, params)` of `(params, x, t, condition) -> out`), `optimizer` (of optax), `process`,
        `parameterization`, `loss`, `weight` (`(process, parameterization, t) -> w`), `times`, `sampler`, `grid`,
        `held_out` (a source); and `batch_size`, `learning_rate`, `seed`, `freeze`, `cond_dropout`.

    Returns: the model. An interrupt (Ctrl-C, or a notebook's stop) ends training early, with a warning.

    Raises:
      InputError: something that does not fit, before anything is trained.
      SystemExit: 128 and the number of the signal, such as SIGTERM, that the system ended a run with, once it is saved.
    """
    given = {"labels": labels, "range": range, "classes": classes or None, "flip": flip or None}
    whole = configured(data, given, config, fields, parts)
    for name, value in (("steps", steps), ("init", init)):
        if value is not None and f"train.{name}" in (fields or {}):
            raise InputError(f"{name}: is given as the field 'train.{name}', too: leave one of them out")
    if steps is not None:
        whole["train"]["steps"] = steps
    if init is not None:
        whole["train"]["init"] = os.fspath(init) if isinstance(init, str | Path) else Given(init)
    fixed = set_by_name(parts, fields or {}) + ["train.steps"] * (steps is not None)
    _check_kept(whole, fixed, workdir)
    with quietly(progress is False), explained(LOWER):
        settled = settle(whole, place(workdir) if workdir is not None else None, fixed)
        if workdir is None:
            return _fit(settled.config, progress)
        code = train_run(settled.config, place(workdir), settled.speed, progress)
    if code not in (0, INTERRUPTED):
        raise SystemExit(code)
    model = load_any(workdir, **{name: part for name, part in parts.items() if name in LOADED})
    if code:
        warnings.warn(f"interrupted: this is {model.weights}", stacklevel=2)
    return model


def configured(
    data: Any,
    given: Mapping[str, Any],
    config: Any = None,
    fields: Mapping[str, Any] | None = None,
    parts: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """The whole configuration of a training.

    Args:
      data, config, fields, parts: see `train`.
      given: what `image_array` takes beside the images.

    Raises:
      InputError: an unknown part, or data that is none.
    """
    allowed = SHORT | MADE | NAMED
    for name in parts:
        if name not in allowed:
            raise unknown("argument", name, {*allowed, *given, *(("steps", "init", "workdir") if given else ())})
    if "learning_rate" in parts and not isinstance(parts.get("optimizer", ""), str | Mapping):
        raise InputError("learning_rate: the optimizer that is given has its own: leave it out")
    check_places(parts, fields or {})
    for name in parts.keys() & SHORT.keys():
        if SHORT[name] in (fields or {}):
            raise InputError(f"{name}: is given as the field {SHORT[name]!r}, too: leave one of them out")
    given = {name: value for name, value in given.items() if value is not None}
    config = command.named(os.fspath(config)) if isinstance(config, str | Path) else config
    if data is None:
        if not _plain(config):
            raise InputError(f"config={config!r}: must be a configuration, such as 'ddpm', where no data is given")
        data, config = config, None
    classes, whole = None, _plain(data)
    if whole and (given or config is not None):
        raise InputError(f"{', '.join(given) or 'config'}: the data is a whole configuration: leave it out")
    if not whole:
        named = _data(data, given)
        source = DATA.make(named)
        classes = source.conditions["label"].values or 0 if "label" in source.conditions else 0
        whole = basis(source, named, fields or {}) if config is None else _plain(config)
        if not whole:
            raise InputError(f"config={config!r}: must be a configuration, such as get_config() of a file in configs/")
        whole = {**whole, "data": whole["data"] if config is None else named, "held_out": {}}
        if "net" in whole and NET.takes(whole["net"], "num_classes"):
            whole["net"] = {**whole["net"], "num_classes": classes}
    short = {SHORT[name]: value for name, value in parts.items() if name in SHORT}
    whole = with_fields(whole, {**short, **(fields or {})})
    whole = with_parts(whole, {name: part for name, part in parts.items() if name not in SHORT}, classes)
    if "labels" in given and not build.classes_of(whole["net"], source.spec):
        raise InputError("labels: this network is told no classes: give one with a condition_spec, or leave them out")
    return whole


def set_by_name(parts: Mapping[str, Any], fields: Mapping[str, Any]) -> list[str]:
    """The dotted names of what is given as parts, for short, and as fields."""
    return [{**SHORT, **MADE, **NAMED}[name] for name in parts] + [*fields]


def _plain(config: Any) -> dict[str, Any]:
    """A configuration as plain data; empty if it is none."""
    config = config.to_dict() if hasattr(config, "to_dict") and hasattr(config, "lock") else config
    return copy.deepcopy(dict(config)) if isinstance(config, Mapping) else {}


def _data(data: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What to train on, as a configuration names it."""
    if not isinstance(data, str | Path | Source):
        return {"name": Given(image_array(data, **given))}
    if given:
        raise InputError(f"{', '.join(given)}: go with images in memory: leave them out")
    if isinstance(data, Source):
        return {"name": Given(data)}
    path = Path(data).expanduser()
    kinds = {".npy": "arrays", ".npz": "arrays", ".csv": "table"}
    if not path.is_dir() and path.suffix not in kinds:
        if str(data).partition(":")[0] in command.known_configs():
            raise InputError(
                f"{str(data)!r}: there is no such folder: the configuration of this name is config={str(data)!r}"
            )
        raise InputError(f"{str(data)!r}: must be a folder of pictures, or a {', '.join(kinds)} file")
    return {"name": "folder" if path.is_dir() else kinds[path.suffix], "path": str(path)}


def _check_kept(config: Mapping[str, Any], fixed: Collection[str], workdir: Any) -> None:
    """Refuse fields that would do nothing: of the command, and, without a run's folder, of that."""
    if is_set("train.cpu_devices", fixed):
        raise InputError("train.cpu_devices: is of the command, since JAX has its devices here: leave it out")
    means = {"train.keep_best"} if config["train"].get("patience") else set()
    for name, field in FIELDS.items():
        if workdir is None and field.folder and name not in means:
            others = name != "train.sample_every" and got(config, name) not in (None, field.default)
            if others or name in fixed:  # files of configs/ say how often there are previews
                raise InputError(f"{name}={got(config, name)}: is of a run's folder: give a workdir, or leave it out")


def _fit(config: dict[str, Any], progress: bool | None) -> Trained:
    """Train in memory, from the first step to the last or to a reason to end early."""
    began = time.monotonic()
    sharding.use_compilation_cache()
    setup = prepare(config)
    settings = config["train"]
    state = setup.begun(setup.first(), settings["init"])
    say(described(setup, state))
    plan = feed.Calls(0, settings["steps"], setup.length)
    stream = feed.ahead(setup.feed.read, plan, settings["readers"])
    best, patience, hours = settings["keep_best"], settings.get("patience", 0), settings["max_hours"]
    pending, shown, figures, why = [], {}, [], ""
    nans, infs = looked_for(config["debug"]["nans"])
    with (
        jax.debug_nans(nans),
        jax.debug_infs(infs),
        make_bar(settings["steps"], "step", disable=not is_shown(progress)) as bar,
    ):
        try:
            for first, n in plan:
                state, metrics = setup.step_fn(state, setup.feed.resident, next(stream))
                pending.append(metrics)
                if len(pending) > 2:
                    jax.block_until_ready(pending[-3])
                if first == 0:
                    jax.block_until_ready(metrics)
                    bar.set_description("training", refresh=False)
                step, last = first + n, first + n == settings["steps"]
                if step % settings["log_every"] == 0 or last:
                    shown["loss"], pending = log.means(jax.device_get(pending))["loss"], []
                if step % settings["checkpoint_every"] == 0 or last:
                    measure = functools.partial(setup.measure, setup.averages(state)[0][1])
                    measured = stop.aside("the measurement", measure, lambda: 0) or {}
                    shown |= {name: value for name, value in measured.items() if "/" not in name}
                    figures += [measured[best]] if best in measured else []
                    why = stop.stalled(best, figures, patience)
                bar.set_postfix_str(", ".join(f"{k} {v:.4f}" for k, v in shown.items()), refresh=False)
                bar.update(n)
                if hours and not last and time.monotonic() - began > 3600 * hours:
                    why = why or f"training ended: train.max_hours={hours:g} are over"
                if why:
                    break
        except KeyboardInterrupt:
            why = "interrupted"
    if why:
        warnings.warn(f"{why}: this is the model of step {int(state.step):,}", stacklevel=3)
    tally = Tally(0, 0, settings["guard"]["spike"])
    if complaint := tally.count(int(state.step), int(state.health.skipped), end=True):
        warnings.warn(complaint, stacklevel=3)
    name, params = setup.averages(state)[0]
    params = sharding.on_mesh(sharding.drawing_mesh(setup.mesh), params)
    return dataclasses.replace(setup.parts.model, params=params, weights=f"{name} of step {int(state.step):,}")
