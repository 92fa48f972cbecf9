"""Sets: examples to be compared, taken in batches from any position on, with all that tells them from others."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdiff.data import numpy_file
from jaxdiff.data.source import Source, fingerprint
from jaxdiff.errors import InputError
from jaxdiff.evaluation.weights import checksum
from jaxdiff.modalities import find, images, make_codec, tables
from jaxdiff.modalities.images.coded import pictures_of
from jaxdiff.modalities.images.folder import survey
from jaxdiff.modalities.tables.mixed import rows_of
from jaxdiff.modalities.tables.spec import check_names, mixed_columns
from jaxdiff.pipelines.model import Model
from jaxdiff.types import Spec

__all__ = ["Examples", "first", "held", "in_own_units", "labels_like", "of_file", "of_model", "of_path", "of_source"]

BATCH = 256
HIGHEST = 1.5
"""Samples of images may lie a little outside of [-1, 1]."""


class Examples(NamedTuple):
    """A set of examples in the data's own units.

    Attributes:
      size: how many there are.
      spec: what one is, in these.
      told: all that they depend on, as plain data: it is written down, and names what was computed of them.
      batches: `(start) -> batches (n, ...)` of all from number `start` on, in their order.
    """

    size: int
    spec: Spec
    told: Mapping[str, Any]
    batches: Callable[[int], Iterator[np.ndarray]]


def in_own_units(spec: Spec) -> Spec:
    """What an example is in the data's own units: of latents, the picture."""
    return pictures_of(spec) or spec


def first(examples: Examples, n: int) -> np.ndarray:
    """The first n examples, or all if there are fewer."""
    some, count = [], 0
    for batch in examples.batches(0):
        some.append(batch[: n - count])
        count += len(some[-1])
        if count >= n:
            break
    return np.concatenate(some)


def held(examples: Examples, most: int) -> Examples:
    """The same examples, of which the first `most` at least stay in memory once they were made."""
    rows: list[np.ndarray] = []

    def batches(start):
        at = 0
        for batch in [*rows]:
            at += len(batch)
            if at > start:
                yield batch[max(len(batch) - at + start, 0) :]
        beyond = max(at, start)
        for batch in examples.batches(beyond) if beyond < examples.size else ():
            if beyond < most and beyond == sum(map(len, rows)):
                rows.append(batch)
            beyond += len(batch)
            yield batch

    return examples._replace(batches=batches)


def labels_like(source: Source, n: int, seed: int) -> np.ndarray:
    """Labels of n examples with the shares that the classes have in a source, each first part of them, too.

    They lie at the places of a golden-ratio sequence on the labels in their order, which begins where the seed says.
    """
    if source.labels:
        labels = source.labels()
    else:
        read = lambda i: source.take(np.arange(i, min(i + BATCH, source.size))).condition
        labels = np.concatenate([np.asarray((read(i) or {})["label"]) for i in range(0, source.size, BATCH)])
    places = (np.random.default_rng([seed, 2]).random() + np.arange(n) * ((5**0.5 - 1) / 2)) % 1
    return np.sort(labels)[(places * len(labels)).astype(int)]


def of_source(source: Source, name: str, label: int | None = None) -> Examples:
    """The examples of a source.

    Args:
      label: of those of one class alone.

    Raises:
      InputError: there are no labels, or none of this class.
    """
    decode = make_codec(source.spec).decode
    told: dict[str, Any] = {"name": name, "fingerprint": fingerprint(source)}
    chosen = np.arange(source.size)
    if label is not None:
        chosen = np.flatnonzero(source.labels() == label) if source.labels else chosen[:0]
        told["label"] = label
    if not len(chosen):
        raise InputError(f"--label {label}: {name} has no example of this class: leave it out")

    def batches(start):
        for i in range(start, len(chosen), BATCH):
            yield np.asarray(decode(source.take(chosen[i : i + BATCH]).x_0))

    return Examples(len(chosen), in_own_units(source.spec), told, batches)


def of_model(
    model: Model,
    n: int,
    batch: int,
    seed: int,
    told: Mapping[str, Any],
    labels: np.ndarray | None = None,
    **options: Any,
) -> Examples:
    """What a model draws: example i is the same whatever was drawn before, so that any position can be taken.

    Args:
      told: of the run and its weights.
      labels: (n,), of a model that is told classes, in place of a condition for all.
      options: of `Model.stream`.
    """
    steps, sampler = options.pop("steps", None) or model.steps, options.pop("sampler", None)
    usual = {**(model.config or {}).get("sample", {}), **model.options, "sampler": dict(model.sampler)}
    given = {"sampler": sampler or model.sampler["name"], "steps": steps, "seed": seed, "options": options}
    told_of = json.dumps([usual, np.asarray(model.grid(steps)).tolist()], sort_keys=True, default=str)
    given |= {"defaults": hashlib.sha256(told_of.encode()).hexdigest()[:16]}

    if labels is not None:
        given |= {"labels_sha256": hashlib.sha256(labels.astype(np.int64).tobytes()).hexdigest()[:16]}

    def batches(start):
        key = jax.random.key(seed)
        if labels is not None and start < n:
            options["condition"] = {"label": labels[start:]}
        return model.stream(key, n - start, batch, steps, sampler, first=start, **options)

    told = {**told, "weights": model.weights, **given, "num": n}
    return Examples(n, in_own_units(model.spec), told, batches)


def of_path(path: str, key: str = "", like: Spec | None = None) -> Examples:
    """The examples of a .npy, a .npz, a .csv, a folder of pictures, sounds or videos, or a known set by name.

    Args:
      key: of the array in a .npz.
      like: what they are compared with, which tells the size that pictures of a folder are brought to.

    Raises:
      InputError: nothing there that can be read.
    """
    if like and like.modality in ("audio", "video"):
        return _of_given(path, like)
    if Path(path).is_dir():
        size, channels = survey(path)
        height, width, channels = like.shape if like else (size, size, channels)
        return of_source(images.folder(path, height, width, channels, flip=False), Path(path).name)
    if Path(path).suffix == ".csv":
        return _of_csv(path, like)
    if path == "digits" or (not Path(path).suffix and not Path(path).exists()):
        return of_source(images.digits("all") if path == "digits" else images.tfds(path), path)
    return of_file(path, key, like)


def _of_given(path: str, like: Spec) -> Examples:
    """Sounds or videos in files, brought to a specification."""
    x = find(like.modality, "given").read(path, like)
    told = {"name": Path(path).name, "sha256": hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()}
    return Examples(len(x), like, told, lambda start: (x[i : i + BATCH] for i in range(start, len(x), BATCH)))


def _of_csv(path: str, like: Spec | None) -> Examples:
    """The rows of a .csv; as rows of another table, where there is one to compare them with."""
    if like and "schema" in like.details:
        table = rows_of(path, mixed_columns(like))
        told = {"name": Path(path).name, "sha256": checksum(path)}
        batches = lambda start: (table[i : i + BATCH] for i in range(start, len(table), BATCH))
        return Examples(len(table), like, told, batches)
    examples = of_source(tables.table(path), Path(path).name)
    if not like or like.modality != "tables" or not like.details:
        return examples
    check_names(repr(path), examples.spec, like)
    return examples._replace(spec=like)


def of_file(path: str, key: str = "", like: Spec | None = None) -> Examples:
    """The examples of a .npy or .npz: those of `like`; or images (n, height, width[, channels]), or rows (n, columns).

    Raises:
      InputError: it cannot be read; or some values are not finite, which are counted; or images are of another range
        than uint8, or floating point near [-1, 1]; or nothing tells whether three axes are of grey images.
    """
    try:
        rows, _ = numpy_file.load(path, key, "", "--key")
    except InputError:
        raise
    except Exception as error:  # of a damaged file, NumPy and zipfile raise all kinds
        raise InputError(f"{path!r} cannot be read as a NumPy file: {' '.join(str(error).split())}") from error
    if len(rows.shape) not in (2, 3, 4) or 0 in rows.shape:
        raise InputError(f"{path!r} holds shape {rows.shape}: must be images (n, height, width[, channels]) or rows")
    shape, is_image = rows.shape[1:], like is not None and like.modality == "images"
    own = like if like and not is_image and shape == tuple(like.shape) else None
    table = own is not None or len(shape) == 1
    if not table and len(shape) == 2 and not is_image and rows.dtype != np.uint8:
        raise InputError(
            f"{path!r} holds {rows.dtype} of shape {rows.shape}: grey images, trajectories or something else? give "
            "images as (n, height, width, 1), and others as rows, (n, numbers)"
        )
    spec = (own or Spec(shape, "tables")) if table else images.image_spec((*shape, 1)[:3])
    step = max(1, min(BATCH, 2**24 // math.prod(shape)))
    _check(path, rows, table, step)

    def batches(start):
        for i in range(start, rows.shape[0], step):
            part = rows.take(np.arange(i, min(i + step, rows.shape[0])))
            if not table:
                part = part.astype(np.float32) / np.float32(127.5) - 1 if part.dtype == np.uint8 else part
                part = part.reshape(len(part), *spec.shape)
            yield part

    return Examples(rows.shape[0], spec, {"name": Path(path).name, "sha256": checksum(path), "array": key}, batches)


def _check(path: str, rows: numpy_file.Rows, table: bool, step: int) -> None:
    if rows.dtype == np.uint8 and not table:
        return
    if not np.issubdtype(rows.dtype, np.floating) and not table:
        raise InputError(f"{path!r} holds {rows.dtype}: images are uint8, or floating point in [-1, 1]")
    lost, high = 0, 0.0
    for i in range(0, rows.shape[0], step):
        part = rows.take(np.arange(i, min(i + step, rows.shape[0]))).astype(np.float64)
        lost += int((~np.isfinite(part.reshape(len(part), -1))).any(1).sum())
        high = max(high, float(np.nanmax(np.abs(part), initial=0)))
    if lost:
        raise InputError(
            f"{path!r}: {lost:,} of {rows.shape[0]:,} examples have values that are not finite: leave them out"
        )
    if high > HIGHEST and not table:
        raise InputError(f"{path!r} has pixels up to {high:g}: must be uint8, or floating point in [-1, 1]")
