"""One picture file or array, brought to the size and channels that a network takes."""

import numpy as np
from PIL import Image, ImageOps

from jaxdiff.errors import InputError

MODES = {1: "L", 3: "RGB"}
LARGEST = 2**14


def fit(picture: Image.Image, size: int, channels: int) -> np.ndarray:
    """Upright, on white where transparent, resized with antialiasing and cropped at the center.

    Of 16-bit greys the upper 8 bits are kept; of an animation the first frame.

    Returns: uint8 (size, size, channels).

    Raises:
      ValueError: pixels that are floating point, or beyond 16 bits, have no range of their own.
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.mode[0] in "IF":  # Pillow's own conversion would clip at 255
        pixels = np.asarray(picture)
        if picture.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("its pixels are floating point or have more than 16 bits: store 8 or 16 bits a channel")
        clear = pixels == picture.info.get("transparency", -1)
        picture = Image.fromarray(np.where(clear, 255, pixels >> 8).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = ImageOps.fit(picture.convert(MODES[channels]), (size, size), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(size, size, channels)


def check_size(size: int, channels: int) -> None:
    """Refuse a size that no picture has, and channels other than 1 (grey) and 3 (RGB)."""
    if not 1 <= size <= LARGEST or channels not in MODES:
        raise InputError(f"images of size {size} and {channels} channels: size is from 1 to {LARGEST}, channels 1 or 3")
