"""Trajectories in a .npz file."""

import os
from pathlib import Path

import numpy as np

from jaxdiff.data import numpy_file
from jaxdiff.data.source import Source, say_gaps
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.trajectories.spec import make_codec, scaling_of, track_spec
from jaxdiff.types import Batch, ConditionSpec, class_label

__all__ = ["tracks", "windows_source"]

SPLITS = ("all", "train", "test")


def tracks(
    path: str, key: str = "windows", told: str = "", label: str = "", scaling: str = "range", split: str = "all"
) -> Source:
    """The trajectories of a .npz: an array (n, steps, channels), all of one length.

    Args:
      path: of the file.
      key: of the array.
      told: the array (n, width) of what a network is told of each, its condition of that name; "" for none.
      label: the array (n,) of classes, whole numbers from 0; "" for none.
      scaling: of each channel: "range", to [-1, 1]; "std", to mean 0 and standard deviation 1; or "none".
      split: "all"; "test", every tenth trajectory; or "train", the others, whose scaling both have.

    Raises:
      InputError: no such file or array, or one that holds no trajectories; what is wrong is said.
    """
    if split not in SPLITS:
        raise unknown("split of trajectories", split, SPLITS)
    if not os.path.isfile(path) or Path(path).suffix != ".npz":
        raise InputError(f"{path!r} is no file of trajectories: data.path is that of a .npz with an array {key!r}")
    arrays = {
        name: _read(path, name, field) for name, field in ((key, "key"), (told, "told"), (label, "label")) if name
    }
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
    scaled_by = scaling_of(windows if split == "all" else windows[~test], scaling)
    return windows_source(windows[chosen], *scaled_by, conditions, classes=classes)


def windows_source(
    windows: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    conditions: dict[str, np.ndarray] | None = None,
    channels: tuple[str, ...] = (),
    maze: str = "",
    stride: int = 0,
    classes: int = 0,
) -> Source:
    """A source of trajectories in memory, (n, steps, channels) in their own units.

    Args:
      conditions: vectors (n, width) that are told, by name; and "label" (n,), of so many classes.
    """
    if not len(windows):
        raise InputError("trajectories: there are none: give at least one")
    spec = track_spec(windows.shape[1:], shift, scale, channels, maze, stride)
    x_0, rows = make_codec(spec).encode(windows), conditions or {}

    def take(indices):
        return Batch(x_0[indices], {name: values[indices] for name, values in rows.items()} or None)

    specs = {name: ConditionSpec(values.shape[1:]) for name, values in rows.items() if name != "label"}
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
            f"array {name!r} in {path!r} cannot be read: {reason}; trajectories of several lengths have to be cut into "
            "windows of one"
        ) from error


def _checked(what: str, array: np.ndarray, axes: int) -> np.ndarray:
    """An array of finite numbers with so many axes, float32."""
    if array.ndim != axes or array.dtype.kind not in "fiu" or 0 in array.shape:
        wanted = "(n, steps, channels)" if axes == 3 else "(n, width)"
        raise InputError(f"{what} of {array.dtype} and shape {array.shape}: must be numbers {wanted}")
    if not (good := np.isfinite(array).reshape(len(array), -1).all(1)).all():
        raise InputError(
            f"{what}: {(~good).sum()} of {len(array)} are not finite, the first is number {int(np.argmin(good))}: "
            "leave them out, or cut windows around what is missing"
        )
    return array.astype(np.float32)
