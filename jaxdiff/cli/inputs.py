"""Inputs: the images, sounds and videos that the tasks of `sample.py` are given, read from files."""

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


def read_images(path: str, n: int, config: dict, shape: tuple[int, ...], noisy: bool) -> np.ndarray:
    """The first n images of a picture, a folder, a .npy or .npz, or of the run's held-out data, (n, ...) in [-1, 1].

    Args:
      path: of these, or "held_out".
      config: of the run.
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
        scale = NOISY if noisy else 1
        source = arrays(path, "images" if "images" in names_in(place) else "", low=-scale, high=scale)
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


def read_labels(path: str, n: int) -> np.ndarray | None:
    """The first n labels of a .npz that holds "images" and "labels"."""
    if not {"images", "labels"} <= set(names_in(Path(path))):
        return None
    condition = _first(arrays(path, "images", "labels"), n).condition
    return condition["label"] if condition else None
