"""Masks: which pixels of an image are known, by name or as a picture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from jaxdiff.data.picture import fit, opened
from jaxdiff.errors import InputError

__all__ = ["MASKS", "fitted_mask", "read_mask"]

MASKS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "left": lambda y, x: x < 0.5,
    "top": lambda y, x: y < 0.5,
    "border": lambda y, x: np.maximum(abs(y - 0.5), abs(x - 0.5)) > 0.25,
    "center": lambda y, x: np.maximum(abs(y - 0.5), abs(x - 0.5)) < 0.25,
}
"""`(y, x) -> known` of places in [0, 1]."""


def read_mask(mask: str, shape: tuple[int, ...]) -> np.ndarray:
    """A mask (1, height, width, 1): 1 where a pixel is known.

    Args:
      mask: a name of `MASKS`, or the path of a picture: white where a pixel is known, black or transparent elsewhere.
      shape: of an image.

    Raises:
      InputError: no such name or picture, another size, greys, or nothing to draw.
    """
    height, width, _ = shape
    if mask in MASKS:
        y, x = (np.arange(height)[:, None] + 0.5) / height, (np.arange(width) + 0.5) / width
        return MASKS[mask](y, x).astype(np.float32)[None, ..., None] * np.ones((1, height, width, 1), np.float32)
    if not Path(mask).is_file():
        raise InputError(f"--mask {mask}: is no picture, and none of {', '.join(MASKS)}")
    try:
        with opened(mask) as picture:
            white, black = _extremes(ImageOps.exif_transpose(picture))
    except Exception as error:  # of a damaged file, Pillow's decoders raise all kinds
        raise InputError(f"--mask {mask}: cannot be read as a picture ({error})") from error
    if white.shape != (height, width):
        raise InputError(
            f"--mask {mask}: is {white.shape[0]}x{white.shape[1]}, and the model's images {height}x{width}"
        )
    if not (white | black).all():
        raise InputError(
            f"--mask {mask}: holds greys: make it white where a pixel is known, and black or transparent elsewhere"
        )
    return _some_free(mask, white)


def fitted_mask(mask: str, shape: tuple[int, ...]) -> np.ndarray:
    """A mask (1, height, width, 1) by a picture of any size and greys, brought to a size as pictures are.

    Args:
      mask: the path of a picture: light where a pixel is known, dark or transparent elsewhere.
      shape: of an image.

    Raises:
      InputError: no such picture, or nothing to draw.
    """
    height, width, _ = shape
    try:
        with opened(mask) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "black"), upright)
            light = fit(upright, (height, width, 1))[..., 0] > 127
    except Exception as error:  # of a damaged file, Pillow's decoders raise all kinds
        raise InputError(f"--mask {mask}: cannot be read as a picture ({error})") from error
    return _some_free(mask, light)


def _some_free(mask: str, known: np.ndarray) -> np.ndarray:
    """What is known, (height, width), as a mask, if it is not everything."""
    if known.all():
        raise InputError(f"--mask {mask}: is all white: make it black or transparent where there is something to draw")
    return known.astype(np.float32)[None, ..., None]


def _extremes(picture: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels are white and opaque, and which are black or transparent, (height, width) each."""
    if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off rather than scale
        values = np.asarray(picture)
        return values == 2**16 - 1, values == 0
    rgba = np.asarray(picture.convert("RGBA"))
    color, alpha = rgba[..., :3], rgba[..., 3]
    return (color == 255).all(-1) & (alpha == 255), ((color == 0).all(-1) & (alpha == 255)) | (alpha == 0)
