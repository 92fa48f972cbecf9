"""Tasks: `sample.py --task` on files, as the pipelines declare them (`jaxdiff.pipelines.pipeline`).

The input is a picture, a folder of pictures, a .npy or .npz, or "held_out": the first images of the run's held-out
data. Into the run's folder, under samples/TASK, go images.npz (float32, in [-1, 1]), a PNG of each of the first 64, and
before_after.png, where each column is an image: what was given above what came of it. Of sounds and videos the input is
what their modality reads, and what comes of it is shown and saved as samples are, above what was given.
"""

import argparse
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from jaxdiff import pipelines
from jaxdiff.cli.inputs import read_examples, read_images, read_labels
from jaxdiff.cli.shape import has_lengths
from jaxdiff.cli.written import claimed
from jaxdiff.config.names import import_name
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities import find as modality
from jaxdiff.modalities.images import pictures
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite
from jaxdiff.pipelines.pipeline import Argument, Outcome, Pipeline
from jaxdiff.types import Batch

__all__ = [
    "CONTRACT",
    "OF_SAMPLE",
    "PIPELINES",
    "SHOWN",
    "add_arguments",
    "check",
    "described",
    "find",
    "flags",
    "perform",
    "psnr",
]

SHOWN = 64
OF_SAMPLE = ("label", "steps", "atoms", "property", "length")
"""Flags that sample.py has without a task, too."""
CONTRACT = "a jaxdiff.pipelines.pipeline.Pipeline"
PIPELINES: dict[str, Pipeline] = {
    name: pipeline
    for file in pkgutil.iter_modules(pipelines.__path__)
    for name, pipeline in getattr(importlib.import_module(f"{pipelines.__name__}.{file.name}"), "PIPELINES", {}).items()
}
"""Those that the files of `jaxdiff.pipelines` declare, by name."""


def find(task: str) -> Pipeline:
    """The pipeline of a task, by its name or as `package.module:name`.

    Raises:
      InputError: there is none.
    """
    if ":" in task:
        return import_name("task", task, CONTRACT, lambda found: isinstance(found, Pipeline))
    if task not in PIPELINES:
        raise unknown("task", task, PIPELINES)
    return PIPELINES[task]


def flags(task: str | None = None) -> dict[str, dict[str, Argument]]:
    """The arguments by flag and task; those of a task from outside only if it is asked for."""
    among = PIPELINES if task is None or ":" not in task else {**PIPELINES, task: find(task)}
    found: dict[str, dict[str, Argument]] = {}
    for name, pipeline in among.items():
        for argument in pipeline.arguments:
            found.setdefault(argument.option, {})[name] = argument
    return found


def add_arguments(parser: argparse.ArgumentParser, task: str | None = None) -> None:
    """Declare the flags of the tasks, and of a task from outside if it is asked for."""
    add = parser.add_argument_group("what to do other than to draw").add_argument
    add("--task", help=f"what to do other than to draw: {', '.join(sorted(PIPELINES))}")
    add("--input", help="a picture, a folder, a .npy or .npz, or, by default, held_out (data)")
    add("--degrade", action="store_true", default=None, help="first do to the input what is to be undone; tells PSNR")
    for flag, uses in flags(task).items():
        if flag not in OF_SAMPLE:
            one = next(iter(uses.values()))
            add(
                f"--{flag.replace('_', '-')}",
                type=one.kind,
                nargs="+" if one.many else None,
                help=described(uses).replace("%", "%%"),
            )


def described(uses: Mapping[str, Argument]) -> str:
    """The help of a flag: what it is to each task."""
    texts: dict[str, list[str]] = {}
    for task, argument in uses.items():
        texts.setdefault(argument.described, []).append(task)
    return "; ".join(f"{', '.join(tasks)}: {text}" for text, tasks in texts.items())


def check(args: argparse.Namespace, options: Iterable[str] = (), free: Container[str] = ()) -> None:
    """Refuse what would be ignored: an argument of another task, or, without a task, of any.

    Args:
      options: those of sampling that are given.
      free: flags that have a use without a task.
    """
    declared = flags(args.task)
    having = {flag: list(uses) for flag, uses in declared.items() if args.task or flag not in OF_SAMPLE}
    having["input"] = [name for name, one in PIPELINES.items() if one.takes]
    having["degrade"] = [name for name, one in PIPELINES.items() if one.degrade]
    if args.task:
        pipeline = find(args.task)
        having["input"] += [args.task] if pipeline.takes else []
        having["degrade"] += [args.task] if pipeline.degrade else []
        if _takes_options(pipeline.run):
            having.pop("steps", None)
        elif foreign := sorted(set(options) - {"steps"}):
            raise InputError(f"{foreign[0]}: {args.task} draws with no sampler, and has no use for it")
    for flag, tasks in having.items():
        if getattr(args, flag) is not None and args.task not in tasks and flag not in free:
            where = f"not with {args.task}" if args.task else "which --task names"
            raise InputError(f"--{flag.replace('_', '-')}: goes with {', '.join(sorted(tasks))}, {where}")
    if args.task:
        for argument in pipeline.arguments:
            if argument.required and getattr(args, argument.option) is None:
                raise InputError(f"{args.task}: give --{argument.option.replace('_', '-')}, {argument.help}")


def _takes_options(run: Callable[..., Any]) -> bool:
    return any(p.kind == p.VAR_KEYWORD for p in inspect.signature(run).parameters.values())


def perform(args: argparse.Namespace, out: Path, config: dict, model: Model, options: dict) -> None:
    """Do a task, and write what comes of it into a folder of its name below `out`.

    Raises:
      InputError: an unknown task, input that does not fit, or a folder that cannot be written.
    """
    check(args, options)
    pipeline = find(args.task)
    arguments = {**options, **_read_arguments(args, pipeline, config, model)}
    images = truth = None
    if model.spec.modality != "images" and not pipeline.save:
        _perform_other(args, out, config, model, arguments)
        return
    if pipeline.takes:
        shape = model.shape if args.degrade else pipeline.takes(model, arguments)
        noisy = pipeline.measured and not args.degrade
        images = read_images(args.input or "held_out", args.num, config, model.spec.levels, shape, noisy)
        if args.degrade and pipeline.degrade:
            truth = images
            images, arguments = pipeline.degrade(np.random.default_rng(args.seed), truth, model, arguments)
        arguments = pipeline.settle(images, arguments)
    if pipeline.labeled:
        arguments["labels"] = read_labels(args.input or "held_out", args.num)
    outcome = _run(pipeline, model, jax.random.key(args.seed), images, args.num, args.batch, arguments)
    before = [row for row in (truth, images) if row is not None and len(row) == len(outcome.images)]
    with claimed(out / args.task.replace(":", ".")) as place:
        if pipeline.save:
            seen = pipeline.save(place, model, outcome)
            print(f"look at {place / seen[0]}; {', '.join(seen[1:])} there")
        else:
            _write(place, outcome, [*before, *outcome.rows, outcome.images])
    if images is not None and truth is not None and truth.shape == outcome.images.shape:
        given = _fitted(images, model.shape)
        print(f"PSNR {psnr(outcome.images, truth):.2f} dB, of the input {psnr(given, truth):.2f} dB")
    for line in outcome.lines:
        print(line)


def _perform_other(args, out: Path, config: dict, model: Model, arguments: dict) -> None:
    """Do a task of examples of another modality, and write them as samples are."""
    pipeline, show = find(args.task), modality(model.spec.modality, "show")
    given = read_examples(args.input or "held_out", args.num, config, model) if pipeline.takes else None
    made = _run(pipeline, model, jax.random.key(args.seed), given, args.num, args.batch, arguments).images
    with claimed(out / args.task.replace(":", ".")) as place:
        arrays = {"examples": made} | ({} if given is None else {"given": given})
        np.savez(place / "examples.npz", allow_pickle=False, **arrays)
        beside = None if given is None else Batch(given)
        seen = show.save_samples(place, model.spec, Batch(made), beside, model.weights)
        print(f"look at {place / seen[0]}; all {len(made)} are in examples.npz there")


def _read_arguments(args, pipeline: Pipeline, config: dict, model: Model) -> dict[str, Any]:
    """The arguments that are given, as the function takes them."""
    given = {}
    for argument in pipeline.arguments:
        value = getattr(args, argument.option)
        if value is not None and argument.images:
            value = read_images(value, args.num, config, model.spec.levels, model.shape, pipeline.measured)
        if value is not None:
            given[argument.name] = argument.read(value, model)
    return given


def _run(pipeline: Pipeline, model: Model, key, images, n: int, batch: int, arguments: dict) -> Outcome:
    """The outcome for images, or of n that are drawn: in batches, unless the pipeline divides its work itself."""
    if pipeline.whole:
        takes = inspect.signature(pipeline.run).parameters
        more = {"batch": batch} if "batch" in takes else {}
        given = [images] if images is not None else [n] if "n" in takes else []
        return _checked(pipeline.run(model, key, *given, **more, **arguments), model)
    n = n if images is None else len(images)
    parts = []
    for i in range(0, n, batch):
        given = min(batch, n - i) if images is None else images[i : i + batch]
        parts.append(_checked(pipeline.run(model, key, given, first=i, **arguments), model))
    return Outcome(*jax.tree.map(lambda *each: np.concatenate(each), *[part[:3] for part in parts]))


def _checked(result: Any, model: Model) -> Outcome:
    """The outcome of a pipeline as NumPy arrays, checked to be finite.

    But for trajectories of several lengths, which are checked as they are drawn, and have NaN after their ends.
    """
    outcome = result if isinstance(result, Outcome) else Outcome(result)
    check = (lambda array, *what: array) if has_lengths(model) else finite
    arrays = {name: check(np.asarray(value), name) for name, value in outcome.arrays.items()}
    rows = tuple(check(np.asarray(row)) for row in outcome.rows)
    return outcome._replace(images=check(np.asarray(outcome.images)), arrays=arrays, rows=rows)


def psnr(images: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, the mean over images (n, ...) in [-1, 1]."""
    squares = np.mean((np.clip(images, -1, 1) - truth) ** 2, axis=tuple(range(1, truth.ndim)))
    return float(np.mean(10 * np.log10(4 / np.maximum(squares, 1e-12))))


def _fitted(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Smaller images (n, ...), enlarged, on black, and with as many channels, to be shown beside others."""
    zoom = max(1, min(shape[0] // images.shape[1], shape[1] // images.shape[2]))
    images = images.repeat(zoom, 1).repeat(zoom, 2)
    canvas = np.full((len(images), *shape), -1, np.float32)
    canvas[:, : images.shape[1], : images.shape[2]] = images
    return canvas


def _write(out: Path, outcome: Outcome, rows: list[np.ndarray]) -> None:
    """Write arrays and pictures; of the rows, each (n, ...), the first 16 columns, or, of a single one, a grid."""
    shape = outcome.images.shape[1:]
    shown = [_fitted(row[:16] if len(rows) > 1 else row[:SHOWN], shape) for row in rows]
    np.savez(out / "images.npz", allow_pickle=False, **{"images": outcome.images, **outcome.arrays})
    for i, image in enumerate(outcome.images[:SHOWN]):
        pixels = pictures.to_uint8(pictures.visible(image))
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(out / f"{i:04d}.png")
    columns = None if len(shown) == 1 else len(shown[0])
    pictures.save_grid(out / "before_after.png", np.concatenate(shown), columns=columns)
    if outcome.curves:
        pictures.save_curves(out / "roc.png", outcome.curves, xlabel="share of normal", yscale="linear")
    print(f"look at {out / 'before_after.png'}; all {len(outcome.images)} are in images.npz there")
