"""Show: arrays of images as one picture, sounds with players, videos that move, and molecules that can be turned."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from jaxdiff.api.play import Shown, sounds, videos
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import pictures
from jaxdiff.modalities.molecules.view import are_molecules, view

__all__ = ["show"]


def show(images: Any, columns: int | None = None, rate: int = 0, pace: float = 0.0) -> Image.Image | Shown:
    """Images as one picture, which a notebook shows by itself; small ones are enlarged. Also sounds, videos, molecules.

    Args:
      images: floating point in [-1, 1] or uint8: (n, height, width, channels); (height, width, channels) for one; or
        (time, n, height, width, channels), such as the frames of `Model.trajectory`, as rows in which time runs to the
        right. Or molecules (n, atoms, 4), atomic numbers and places, as `Model.sample` draws them, or of RDKit, as
        of `pipelines.conformers`: the first sixteen, to be turned with the mouse.
      columns: of the picture; about as many as rows by default.
      rate: of sounds (n, samples, channels), samples a second: each is shown as a spectrogram above a player.
      pace: of videos (n, frames, height, width, channels), frames a second: they move.

    Raises:
      InputError: an array of another shape or type; or molecules, and py3Dmol or RDKit is not installed.
    """
    if rate and pace:
        raise InputError(f"rate={rate}, pace={pace}: the one is of sounds, the other of videos: give one of them")
    if rate:
        return sounds(images, rate, columns)
    if pace:
        return videos(images, pace)
    images = list(images) if isinstance(images, Iterator) else images
    if are_molecules(images):
        return Shown(view(images, columns).write_html())
    images = np.asarray(images)
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / 127.5 - 1
    if not np.issubdtype(images.dtype, np.floating) and images.dtype.name != "bfloat16":
        raise InputError(f"images of {images.dtype}: must be floating point in [-1, 1], or uint8")
    if images.ndim == 5:
        images, columns = images.swapaxes(0, 1), columns or len(images)
        images = images.reshape(-1, *images.shape[2:])
    if images.ndim == 3 and images.shape[-1] > 4:
        raise InputError(
            f"images of shape {images.shape}: give images[..., None] if these are grey ones, and images[None] if it is "
            f"one of {images.shape[-1]} channels"
        )
    images = images[None] if images.ndim == 3 else images
    if images.ndim != 4 or 0 in images.shape:
        raise InputError(f"images of shape {images.shape}: must be ([time,] n, height, width, channels)")
    sheet = pictures.grid(np.nan_to_num(images, nan=-1.0), columns)
    return Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)
