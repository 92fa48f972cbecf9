"""Pictures of images: grids, the reverse process as a film strip or a GIF, and the curve of the loss."""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jaxdiff.modalities.figures import save_picture, to_uint8

__all__ = [
    "TILE",
    "curve",
    "grid",
    "save_curves",
    "save_film_strip",
    "save_gif",
    "save_grid",
    "save_picture",
    "save_sheet",
    "to_uint8",
    "visible",
]

TILE = 64


def visible(images: np.ndarray) -> np.ndarray:
    """Images (..., channels) as grey or RGB: of more than three channels the first three; a second alone with black."""
    if images.shape[-1] == 2:
        images = np.concatenate([images, np.full_like(images[..., :1], -1)], -1)
    return images[..., :3]


def grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images (n, height, width, channels) in [-1, 1] as one of uint8, row by row, on white; small ones are enlarged."""
    images = to_uint8(visible(np.asarray(images)))
    n, height, width, channels = images.shape
    zoom, columns = max(1, TILE // max(height, width)), columns or math.ceil(math.sqrt(n))
    rows, border = math.ceil(n / columns), 2
    sheet = np.full(
        (rows * (height * zoom + border) + border, columns * (width * zoom + border) + border, channels), 255, np.uint8
    )
    for i, image in enumerate(images):
        y, x = (
            border + p * (side * zoom + border) for p, side in zip(divmod(i, columns), (height, width), strict=True)
        )
        sheet[y : y + height * zoom, x : x + width * zoom] = image.repeat(zoom, 0).repeat(zoom, 1)
    return sheet


def save_grid(path: Path, images: np.ndarray, columns: int | None = None, note: str = "") -> None:
    """Write a grid as PNG, with a note in the file's text: where the images are from."""
    save_picture(path, grid(images, columns), note)


def save_sheet(path: Path, images: np.ndarray, captions: Sequence[str], columns: int = 4, note: str = "") -> None:
    """Write images (n, height, width, channels) as PNG, each above its caption, which is broken into lines."""
    images = to_uint8(visible(np.asarray(images)))
    zoom = max(1, 2 * TILE // max(images.shape[1:3]))
    tiles = [_picture(image.repeat(zoom, 0).repeat(zoom, 1)).convert("RGB") for image in images]
    width, height = max(tiles[0].width, 2 * TILE), tiles[0].height
    font = ImageFont.load_default()
    broken = [textwrap.fill(caption, width // 6) for caption in captions]
    under = 12 * max(text.count("\n") + 1 for text in broken) + 8
    columns = min(columns, len(tiles))
    size = columns * (width + 8) + 8, math.ceil(len(tiles) / columns) * (height + under) + 8
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for i, (tile, text) in enumerate(zip(tiles, broken, strict=True)):
        y, x = i // columns * (height + under) + 8, i % columns * (width + 8) + 8
        sheet.paste(tile, (x, y))
        draw.multiline_text((x, y + height + 2), text, fill="black", font=font, spacing=1)
    save_picture(path, np.asarray(sheet), note)


def save_film_strip(path: Path, frames: np.ndarray, rows: int = 8, note: str = "") -> None:
    """Write the first `rows` images of `frames` (time, n, height, width, channels) as PNG: time runs to the right."""
    frames = np.asarray(frames)[:, :rows].swapaxes(0, 1)
    save_grid(path, frames.reshape(-1, *frames.shape[2:]), columns=frames.shape[1], note=note)


def save_gif(path: Path, frames: np.ndarray, note: str = "") -> None:
    """Write `frames` (time, n, height, width, channels) as an endless GIF of grids: 4 s, and a rest on the last one."""
    pictures = [_picture(grid(frame)) for frame in np.asarray(frames)]
    durations = [4000 // len(pictures)] * (len(pictures) - 1) + [2000]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, comment=note)


def save_curves(
    path: Path | io.BytesIO,
    curves: Mapping[str, list[tuple[float, float]]],
    xlabel: str = "step",
    xscale: str = "linear",
    yscale: str = "log",
) -> None:
    """Write curves as PNG: (step, value) of each, by name; on a "log" scale all are positive."""
    from matplotlib.figure import Figure  # half a second to import, at the end of a run only

    figure = Figure(figsize=(7, 4), layout="tight")
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot(*np.transpose(points), linewidth=1, label=name)
    axes.set(xlabel=xlabel, ylabel=" and ".join(curves) if len(curves) < 3 else "", xscale=xscale, yscale=yscale)
    if len(curves) > 1:
        axes.legend()
    axes.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=120)


def curve(points: list[tuple[float, float]]) -> np.ndarray | None:
    """A curve of (step, value) as a picture, uint8; None of no points."""
    if not points:
        return None
    out = io.BytesIO()
    save_curves(out, {"value": points}, yscale="linear")
    return np.asarray(Image.open(out).convert("RGB"))


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
