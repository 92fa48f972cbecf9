"""Figures: how every kind of data turns values or a figure of matplotlib into a picture, and writes it with a note."""

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

__all__ = ["rendered", "save_picture", "to_uint8"]


def to_uint8(x: np.ndarray) -> np.ndarray:
    """[-1, 1] to 0 to 255, clipped and rounded to the nearest."""
    return np.round((np.clip(np.asarray(x, np.float32), -1, 1) + 1) * np.float32(127.5)).astype(np.uint8)


def rendered(figure) -> np.ndarray:
    """A figure of matplotlib as a picture, uint8 (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def save_picture(path: Path, picture: np.ndarray, note: str = "") -> None:
    """Write a picture, uint8 (height, width, 1 or 3), as PNG, with a note in the file's text."""
    text = PngInfo()
    if note:
        text.add_text("Comment", note)
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(path, pnginfo=text)
