"""Trajectories in a .npz file."""

import os
import zipfile
from pathlib import Path

import numpy as np

from jaxdiff.data.source import Source, labeled
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.trajectories.spec import make_codec, scaling_of, track_spec
from jaxdiff.types import Batch, ConditionSpec

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
      split: "all"; "test", every tenth trajectory; or "train", the others. All have the scaling of the whole.

    Raises:
      InputError: no such file or array, or one that holds no trajectories; what is wrong is said.
    """
    if split not in SPLITS:
        raise unknown("split of trajectories", split, SPLITS)
    if not os.path.isfile(path) or Path(path).suffix != ".npz":
        raise InputError(f"{path!r} is no file of trajectories: data.path is that of a .npz with an array {key!r}")
    arrays = _read(path, [name for name in (key, told, label) if name])
    windows = _checked(f"{path!r}: array {key!r}", arrays[key], 3)
    conditions = {told: _checked(f"{path!r}: array {told!r}", arrays[told], 2)} if told else {}
    labels = arrays[label] if label else None
    if labels is not None and (labels.dtype.kind not in "iu" or labels.min() < 0):
        raise InputError(f"{path!r}: array {label!r} of {labels.dtype}: classes are whole numbers from 0")
    for name in (n for n in (told, label) if n):
        if len(arrays[name]) != len(windows):
            raise InputError(f"{path!r}: {len(windows)} trajectories and {len(arrays[name])} rows of {name!r}")
    test = np.arange(len(windows)) % 10 == 9
    chosen = {"all": np.ones(len(windows), bool), "train": ~test, "test": test}[split]
    classes = 0 if labels is None else int(labels.max()) + 1
    conditions = {name: rows[chosen] for name, rows in conditions.items()}
    source = windows_source(windows[chosen], *scaling_of(windows, scaling), conditions)
    return labeled(source, None if labels is None else labels[chosen].astype(np.int32), classes)


def windows_source(
    windows: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    conditions: dict[str, np.ndarray] | None = None,
    channels: tuple[str, ...] = (),
    maze: str = "",
    stride: int = 0,
) -> Source:
    """A source of trajectories in memory, (n, steps, channels) in their own units, with vectors that are told."""
    if not len(windows):
        raise InputError("trajectories: there are none: give at least one")
    spec = track_spec(windows.shape[1:], shift, scale, channels, maze, stride)
    x_0, rows = make_codec(spec).encode(windows), conditions or {}

    def take(indices):
        return Batch(x_0[indices], {name: values[indices] for name, values in rows.items()} or None)

    specs = {name: ConditionSpec(values.shape[1:]) for name, values in rows.items()}
    return Source(len(x_0), spec, take, specs, known=b"".join(values.tobytes() for values in rows.values()))


def _read(path: str, names: list[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name in names:
                if name not in arrays.files:
                    raise unknown(f"array in {path!r}", name, arrays.files)
            return {name: arrays[name] for name in names}
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path!r} cannot be read: {' '.join(str(error).split())}") from error
    except ValueError as error:  # an array of objects, which is how NumPy keeps rows of several lengths
        raise InputError(
            f"{path!r}: {' '.join(str(error).split())}: trajectories of several lengths cannot be trained on: cut them "
            "into windows of one length"
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
