"""One picture file or array, brought to the size and channels that a network takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from jaxdiff.errors import InputError

__all__ = ["FORMATS", "LARGEST", "MODES", "check_shape", "fit", "opened"]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""What a file may hold, whatever its suffix: others, such as PostScript, run programs to be read."""
MODES = {1: "L", 3: "RGB"}
LARGEST = 2**14


@contextmanager
def opened(file: Any) -> Iterator[Image.Image]:
    """Open a picture, a path or an open file, whose pixels are not decoded if there are more than Pillow finds safe.

    Raises:
      Exception: of any kind, of a damaged file.
    """
    with Image.open(file, formats=FORMATS) as picture:
        if Image.MAX_IMAGE_PIXELS and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"{picture.width}x{picture.height} pixels are more than {Image.MAX_IMAGE_PIXELS:,}")
        stored = str(picture.tile[0].args) if picture.tile else ""
        if stored in ("L;2", "L;4") and "transparency" in picture.info:  # Pillow scales the others
            picture.info["transparency"] *= 255 // (2 ** int(stored[-1]) - 1)
        if (picture.format, picture.mode) == ("BMP", "1") and f"1', {(picture.width + 31) // 32 * 4}," not in stored:
            raise ValueError("black and white in more than one bit, which Pillow takes for one: save it as PNG")
        yield picture


def fit(picture: Image.Image, shape: tuple[int, ...]) -> np.ndarray:
    """Upright, on white where transparent, resized with antialiasing and cropped at the center.

    Of 16-bit greys the upper 8 bits are kept; of an animation the first frame.

    Args:
      shape: (height, width, channels) to bring it to.

    Returns: uint8, of this shape.

    Raises:
      ValueError: pixels that are floating point, or beyond 16 bits, have no range of their own.
    """
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode[0] in "IF":  # Pillow's own conversion would clip at 255
        pixels = np.asarray(picture)
        if picture.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("its pixels are floating point or have more than 16 bits: store 8 or 16 bits a channel")
        clear = pixels == picture.info.get("transparency", -1)
        picture = Image.fromarray(np.where(clear, 255, pixels >> 8).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    height, width, channels = shape
    picture = ImageOps.fit(picture.convert(MODES[channels]), (width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(shape)


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuse sides that no picture has, and channels other than 1 (grey) and 3 (RGB)."""
    height, width, channels = shape
    if not (1 <= height <= LARGEST and 1 <= width <= LARGEST) or channels not in MODES:
        raise InputError(
            f"images of size {height}x{width} and {channels} channels: sides are from 1 to {LARGEST}, channels 1 or 3"
        )
