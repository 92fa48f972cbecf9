"""Resize: how images were brought to the size of an Inception network where figures were published, to the bit.

Images are uint8 (n, height, width, channels), and what comes out is float32 in [0, 255].

    tensorflow1   bilinear without antialiasing; the first pixels of both grids lie upon each other:
                  FID of Heusel et al. 2017, whose sources are at i * (old / new)
    clean         bicubic with antialiasing, each channel in float32, clipped: Parmar et al. 2022

They differ most where images shrink, and by tenths of a point of FID where they grow.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from jaxdiff.modalities.figures import to_uint8

__all__ = ["RESIZES", "clean", "quantized", "tensorflow1"]


def tensorflow1(images: np.ndarray, side: int) -> np.ndarray:
    """The bilinear kernel of TensorFlow 1, align_corners=False, in float32: left to right, then top to bottom."""
    low_y, high_y, part_y = _places(images.shape[1], side)
    low_x, high_x, part_x = _places(images.shape[2], side)
    pixels = images.astype(np.float32)
    left, right = pixels[:, :, low_x], pixels[:, :, high_x]
    rows = left + (right - left) * part_x[:, None]
    top, bottom = rows[:, low_y], rows[:, high_y]
    return top + (bottom - top) * part_y[:, None, None]


def clean(images: np.ndarray, side: int) -> np.ndarray:
    """Pillow's bicubic filter on floating-point channels, clipped to [0, 255] and not rounded."""

    def channel(pixels: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(np.ascontiguousarray(pixels, np.float32))
        return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)).clip(0, 255)

    return np.stack([np.stack([channel(c) for c in np.moveaxis(image, -1, 0)], -1) for image in images])


RESIZES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"tensorflow1": tensorflow1, "clean": clean}


def quantized(images: np.ndarray, rounding: str) -> np.ndarray:
    """Images in [-1, 1] as uint8.

    Args:
      rounding: "nearest", as pictures are saved here; or "floor", `floor(127.5 x + 128)` clipped, as the samples of
        published diffusion models were.
    """
    if rounding == "floor":
        return (np.asarray(images, np.float32) * np.float32(127.5) + 128).clip(0, 255).astype(np.uint8)
    return to_uint8(images)


def _places(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each new pixel the old ones on both sides, and how far it is from the first, float32."""
    at = np.arange(new, dtype=np.float32) * np.float32(old / new)
    low = at.astype(np.int32)
    return low, np.minimum(low + 1, old - 1), at - low.astype(np.float32)
