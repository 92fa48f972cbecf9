"""One picture file or array, brought to the size and channels that a network takes."""

import numpy as np
from PIL import Image, ImageOps

from jaxdiff.errors import InputError

MODES = {1: "L", 3: "RGB"}


def fit(picture: Image.Image, size: int, channels: int) -> np.ndarray:
    """Upright, on white where transparent, resized with antialiasing and cropped at the centre.

    Returns: uint8 (size, size, channels).
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = ImageOps.fit(picture.convert(MODES[channels]), (size, size), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(size, size, channels)


def check_size(size: int, channels: int) -> None:
    """Refuse a size below 1 and channels other than 1 (grey) and 3 (RGB)."""
    if size < 1 or channels not in MODES:
        raise InputError(f"images of size {size} and {channels} channels: size must be positive, channels 1 or 3")
