"""Trajectories in a .npz file."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxdiff.data import numpy_file
from jaxdiff.data.source import Source, say_gaps
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.trajectories.spec import make_codec, scaling_of, track_spec
from jaxdiff.types import Batch, ConditionSpec, class_label

__all__ = ["of_lengths", "tracks", "windows_source"]

SPLITS = ("all", "train", "test")


def tracks(
    path: str,
    key: str = "windows",
    told: str = "",
    label: str = "",
    scaling: str = "range",
    split: str = "all",
    lengths: str = "",
    steps: int = 0,
) -> Source:
    """The trajectories of a .npz: an array (n, steps, channels), all of one length, or with their lengths.

    Args:
      path: of the file.
      key: of the array.
      told: the array (n, width) of what a network is told of each, its condition of that name; "" for none.
      label: the array (n,) of classes, whole numbers from 0; "" for none.
      scaling: of each channel: "range", to [-1, 1]; "std", to mean 0 and standard deviation 1; or "none".
      split: "all"; "test", every tenth trajectory; or "train", the others, whose scaling both have.
      lengths: the array (n,) of how many states each has; "" where all are as long. The other array may then be
        (n, most, channels), whatever it holds after the ends, or (all states, channels), one trajectory after another.
      steps: to which those of several lengths are padded; 0 for the next multiple of 8.

    Raises:
      InputError: no such file or array, or one that holds no trajectories; what is wrong is said.
    """
    if split not in SPLITS:
        raise unknown("split of trajectories", split, SPLITS)
    if not os.path.isfile(path) or Path(path).suffix != ".npz":
        raise InputError(f"{path!r} is no file of trajectories: data.path is that of a .npz with an array {key!r}")
    wanted = ((key, "key"), (told, "told"), (label, "label"), (lengths, "lengths"))
    arrays = {name: _read(path, name, field) for name, field in wanted if name}
    if lengths:
        windows = _padded(_cut(path, arrays[key], arrays[lengths], lengths), steps, f"{path!r}: array {key!r}")
    elif steps:
        raise InputError(f"data.steps={steps}: goes with data.lengths: set that, too, or leave it out")
    else:
        windows = _checked(f"{path!r}: array {key!r}", arrays[key], 3)
    conditions = {told: _checked(f"{path!r}: array {told!r}", arrays[told], 2)} if told else {}
    if label:
        labels = arrays[label]
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min() < 0:
            raise InputError(f"{path!r}: array {label!r} of {labels.dtype}: classes are (n,) whole numbers from 0")
        say_gaps(labels, f"{path!r}: array {label!r}")
        conditions["label"] = labels.astype(np.int32)
    for name, rows in conditions.items():
        if len(rows) != len(windows):
            raise InputError(f"{path!r}: {len(windows)} trajectories and {len(rows)} rows of {name!r}")
    test = np.arange(len(windows)) % 10 == 9
    chosen = {"all": np.ones(len(windows), bool), "train": ~test, "test": test}[split]
    classes = int(conditions["label"].max()) + 1 if label else 0
    conditions = {name: rows[chosen] for name, rows in conditions.items()}
    known = windows if split == "all" else windows[~test]
    several, scaled_by = _histogram(known) if lengths else None, scaling_of(known, scaling)
    return windows_source(windows[chosen], *scaled_by, conditions, classes=classes, lengths=several)


def of_lengths(arrays: Sequence[np.ndarray], scaling: str = "range", steps: int = 0) -> Source:
    """Trajectories of several lengths, each (any steps, channels), with the mask of their states as condition.

    Args:
      scaling, steps: as of `tracks`.

    Raises:
      InputError: none, or one that is empty, of other channels, or not finite.
    """
    windows = _padded(arrays, steps, "trajectories")
    return windows_source(windows, *scaling_of(windows, scaling), lengths=_histogram(windows))


def windows_source(
    windows: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    conditions: dict[str, np.ndarray] | None = None,
    channels: tuple[str, ...] = (),
    maze: str = "",
    stride: int = 0,
    classes: int = 0,
    lengths: np.ndarray | None = None,
) -> Source:
    """A source of trajectories in memory, (n, steps, channels) in their own units.

    Args:
      conditions: vectors (n, width) that are told, by name; and "label" (n,), of so many classes.
      lengths: how many of the whole have 0, 1 ... states, where they end with rows of NaN; None where none do.
    """
    if not len(windows):
        raise InputError("trajectories: there are none: give at least one")
    spec = track_spec(windows.shape[1:], shift, scale, channels, maze, stride, lengths)
    x_0, rows = make_codec(spec).encode(windows), dict(conditions or {})
    if lengths is not None:
        rows["mask"] = np.asarray(~np.isnan(windows).all(-1), np.float32)

    def take(indices):
        return Batch(x_0[indices], {name: values[indices] for name, values in rows.items()} or None)

    missing = lambda name: None if name == "mask" else 0
    specs = {n: ConditionSpec(values.shape[1:], missing=missing(n)) for n, values in rows.items() if n != "label"}
    labels = rows.get("label")
    specs |= {} if labels is None else {"label": class_label(classes)}
    known = b"".join(values.tobytes() for values in rows.values())
    return Source(len(x_0), spec, take, specs, labels=None if labels is None else lambda: labels, known=known)


def _read(path: str, name: str, field: str) -> np.ndarray:
    try:
        return numpy_file.member(path, name, f"data.{field}")
    except InputError:
        raise
    except Exception as error:  # of a damaged file, NumPy, zipfile and zlib raise all kinds
        reason = " ".join(str(error).split())
        raise InputError(
            f"array {name!r} in {path!r} cannot be read: {reason}; trajectories of several lengths are written one "
            "after another, with an array of their lengths, data.lengths"
        ) from error


def _cut(path: str, array: np.ndarray, lengths: np.ndarray, name: str) -> list[np.ndarray]:
    """The trajectories of an array by their lengths."""
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not len(lengths) or lengths.min() < 1:
        raise InputError(f"{path!r}: array {name!r} of {lengths.dtype}: lengths are (n,) whole numbers from 1")
    if array.ndim == 2 and len(array) == lengths.sum():
        return np.split(array, np.cumsum(lengths)[:-1])
    if array.ndim == 3 and len(array) == len(lengths) and lengths.max() <= array.shape[1]:
        return [row[:length] for row, length in zip(array, lengths, strict=True)]
    raise InputError(
        f"{path!r}: {len(lengths)} lengths up to {lengths.max()}, {lengths.sum()} states in all, are not those of an "
        f"array of shape {array.shape}: give (n, most, channels), or (all states, channels)"
    )


def _padded(arrays: Sequence[np.ndarray], steps: int, what: str) -> np.ndarray:
    """Trajectories (any steps, channels) as (n, steps, channels), float32, with rows of NaN after their ends."""
    parts = [_checked(f"{what}, number {i}", np.asarray(one)[None], 3)[0] for i, one in enumerate(arrays)]
    if len(widths := sorted({part.shape[1] for part in parts})) != 1:
        raise InputError(f"{what}: trajectories of {widths} channels: give one or more, all of as many")
    most = max(map(len, parts))
    steps = steps or -(-most // 8) * 8
    if steps < most:
        raise InputError(f"data.steps={steps}: the longest trajectory has {most}: raise it, or leave it out")
    windows = np.full((len(parts), steps, parts[0].shape[1]), np.nan, np.float32)
    for window, part in zip(windows, parts, strict=True):
        window[: len(part)] = part
    return windows


def _histogram(windows: np.ndarray) -> np.ndarray:
    """How many trajectories that end with rows of NaN have 0, 1 ... states."""
    return np.bincount((~np.isnan(windows).all(-1)).sum(1), minlength=windows.shape[1] + 1)


def _checked(what: str, array: np.ndarray, axes: int) -> np.ndarray:
    """An array of finite numbers with so many axes, float32."""
    if array.ndim != axes or array.dtype.kind not in "fiu" or 0 in array.shape:
        wanted = "(n, steps, channels)" if axes == 3 else "(n, width)"
        raise InputError(f"{what} of {array.dtype} and shape {array.shape}: must be numbers {wanted}")
    if not (good := np.isfinite(array).reshape(len(array), -1).all(1)).all():
        raise InputError(
            f"{what}: {(~good).sum()} of {len(array)} are not finite, the first is number {int(np.argmin(good))}: "
            "leave them out, cut windows around what is missing, or, if these are ends, set data.lengths"
        )
    return array.astype(np.float32)
