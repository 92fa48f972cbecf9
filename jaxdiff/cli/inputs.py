"""Inputs: the images, sounds and videos that the tasks of `sample.py` are given, read from files."""

from contextlib import suppress
from pathlib import Path

import numpy as np

from jaxdiff.config import build
from jaxdiff.data import numpy_file
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.modalities import find
from jaxdiff.modalities.images import arrays, folder, read_picture
from jaxdiff.pipelines.model import Model
from jaxdiff.types import Batch

__all__ = ["NOISY", "names_in", "read_examples", "read_images", "read_labels"]

NOISY = 64
"""Noise takes the pixels of arrays beyond [-1, 1], but not so far."""


def read_images(path: str, n: int, config: dict, levels: int | None, shape: tuple[int, ...], noisy: bool) -> np.ndarray:
    """The first n images of a picture, a folder, a .npy or .npz, or of the run's held-out data, (n, ...) in [-1, 1].

    Bytes of arrays are from 0 to 255, or have the run's own data.low and data.high, if its data are bytes, too.

    Args:
      path: of these, or "held_out".
      config: of the run.
      levels: of the pixels of its data (`jaxdiff.types.Spec`).
      shape: that pictures are brought to; arrays keep theirs.
      noisy: whether arrays may hold values beyond [-1, 1].

    Raises:
      InputError: there is nothing of the kind, or it cannot be read.
    """
    place, (height, width, channels) = Path(path), shape
    if path == "held_out":
        return _first(build.held_out(config), n).x_0
    if place.is_dir():
        return _first(folder(path, height, width, channels, flip=False), n).x_0
    if place.suffix in (".npy", ".npz"):
        key = "images" if "images" in names_in(place) else ""
        if levels not in (None, 256) and _holds_bytes(path, key):
            own = {name: config["data"][name] for name in ("low", "high") if name in config["data"]}
            return _first(arrays(path, key, **own), n).x_0
        scale = NOISY if noisy else 1
        source = arrays(path, key, low=-scale, high=scale)
        return _first(source, n).x_0 * (1 if source.spec.levels else scale)
    if place.is_file():
        return read_picture(place, shape)[None]
    raise InputError(f"--input {path}: is no picture, folder, .npy or .npz, nor held_out")


def read_examples(path: str, n: int, config: dict, model: Model) -> np.ndarray:
    """The first n examples of a file or folder, or of the run's held-out data, (n, ...), in the data's own units.

    Raises:
      InputError: there is nothing of the kind, or it cannot be read.
    """
    if path == "held_out":
        return np.asarray(model.codec.decode(_first(build.held_out(config, model.spec), n).x_0))
    return find(model.spec.modality, "given").read(path, model.spec)[:n]


def _first(source: Source, n: int) -> Batch:
    return source.take(np.arange(min(n, source.size)))


def names_in(path: Path) -> list[str]:
    """The names of the arrays in a .npz; none of a .npy, or of what is no such file, as the reader will say."""
    try:
        return numpy_file.names_in(path) or []
    except Exception:
        return []


def _holds_bytes(path: str, key: str) -> bool:
    """Tell whether an array is uint8; of what cannot be read, which the reader says, it is not."""
    with suppress(Exception):
        return numpy_file.load(path, key, "", "")[0].dtype == np.uint8
    return False


def read_labels(path: str, n: int) -> np.ndarray | None:
    """The first n labels of a .npz that holds "images" and "labels"."""
    if not {"images", "labels"} <= set(names_in(Path(path))):
        return None
    condition = _first(arrays(path, "images", "labels"), n).condition
    return condition["label"] if condition else None
