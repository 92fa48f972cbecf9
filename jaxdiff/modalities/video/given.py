"""Given: videos in files, brought to what a model draws."""

from pathlib import Path

import numpy as np

from jaxdiff.data.below import is_hidden
from jaxdiff.data.numpy_file import array_of
from jaxdiff.data.source import to_unit_range
from jaxdiff.errors import InputError
from jaxdiff.modalities.video.file import FRAMES, MOVIES, read_clip
from jaxdiff.modalities.video.spec import every
from jaxdiff.types import Spec

__all__ = ["read"]


def read(path: str, spec: Spec) -> np.ndarray:
    """A .gif, an .mp4, a folder of frames or of such files, or a .npy (n, *spec.shape): (n, *spec.shape) in [-1, 1].

    Of a clip one frame of as many is taken as of those of training (data.every), and of longer ones the beginning. A
    clip of exactly as many frames as an example has, as those that a model drew, is taken whole, and a .npy as it is.

    Raises:
      InputError: none of these, or a clip that is damaged, too short, or of pictures of several sizes.
    """
    place = Path(path).expanduser()
    if place.suffix == ".npy" and place.is_file():
        found = array_of(place)
        fits = found.shape[1:] == spec.shape and found.dtype.kind == "f" and np.isfinite(found).all()
        if not fits or np.abs(found).max() > 1.001:
            raise InputError(
                f"{path!r} holds {found.dtype} of shape {found.shape}: must be (n, {spec.shape}) in [-1, 1]"
            )
        return found.astype(np.float32)
    if place.is_dir() and not any(file.suffix.lower() in FRAMES for file in place.iterdir()):
        there = sorted(file for file in place.iterdir() if not is_hidden(file.name))
        files = [file for file in there if file.is_dir() or file.suffix.lower() in MOVIES]
    else:
        files = [place]
    if not files or not all(file.is_dir() or file.suffix.lower() in MOVIES for file in files):
        raise InputError(f"{path!r} is no .gif, .mp4, .npy, folder of frames, or folder of such")
    return to_unit_range(np.stack([_frames(file, spec) for file in files]))


def _frames(file: Path, spec: Spec) -> np.ndarray:
    """The frames of an example in a clip, uint8."""
    (frames, *shape), step = spec.shape, every(spec)
    if step > 1 and len(whole := read_clip(file, tuple(shape), 1, frames)) == frames:
        return whole
    return read_clip(file, tuple(shape), step, frames)[:frames]
