"""Show: videos as film strips, time to the right, and as GIF."""

from pathlib import Path

import numpy as np

from jaxdiff.modalities.figures import save_picture, to_uint8
from jaxdiff.modalities.video.file import write_clip
from jaxdiff.modalities.video.spec import pace
from jaxdiff.types import Batch, Spec

__all__ = ["BESIDE", "CHAIN", "SHOWN", "describe", "preview", "save_chain", "save_samples", "sheets", "strips"]

SHOWN, BESIDE, CHAIN = 8, 4, 1
TILE, LARGEST, ACROSS, STRIP, MOMENTS = 32, 64, 8, 16, 8


def describe(spec: Spec) -> str:
    """What a video is: "videos of 16 frames of 16x16, 1 channel"."""
    frames, height, width, channels = spec.shape
    return f"videos of {frames} frames of {height}x{width}, {channels} channel{'s' if channels > 1 else ''}"


def preview(spec: Spec, drawn: Batch, real: Batch | None) -> np.ndarray:
    """Film strips of what was drawn, a row each, and below of real ones, uint8 (height, width, channels)."""
    parts = [np.asarray(batch.x_0) for batch in (drawn, real) if batch is not None]
    return strips(np.concatenate(parts))


def save_chain(folder: Path, spec: Spec, frames: np.ndarray, note: str) -> list[str]:
    """Write chain.png: the first video at moments of the reverse process, a film strip each, the last one below."""
    moments = np.round(np.linspace(0, len(frames) - 1, min(MOMENTS, len(frames)))).astype(int)
    save_picture(folder / "chain.png", strips(np.asarray(frames)[moments, 0]), note)
    return ["chain.png"]


def save_samples(folder: Path, spec: Spec, drawn: Batch, real: Batch | None, note: str) -> list[str]:
    """Write samples.gif, the first 64 videos side by side, samples.png, film strips of eight, and clips/, a GIF each.

    Real ones, where there are some, stand below those of the strips.
    """
    x = np.asarray(drawn.x_0)[:LARGEST]
    write_clip(folder / "samples.gif", sheets(x), pace(spec), note)
    place = folder / "clips"
    place.mkdir(exist_ok=True)
    for old in place.glob("*.gif"):
        old.unlink()
    for i, video in enumerate(x):
        write_clip(place / f"{i:04d}.gif", sheets(video[None]), pace(spec), note)
    first = lambda batch, n: batch and batch._replace(x_0=batch.x_0[:n])
    save_picture(folder / "samples.png", preview(spec, first(drawn, SHOWN), first(real, SHOWN)), note)
    return ["samples.gif", "samples.png", "clips"]


def sheets(x: np.ndarray) -> np.ndarray:
    """Videos (n, frames, height, width, channels) side by side: uint8 (frames, height, width, channels)."""
    return np.stack([_sheet(x[:, i], min(ACROSS, len(x))) for i in range(x.shape[1])])


def strips(x: np.ndarray) -> np.ndarray:
    """Videos as rows of up to sixteen of their frames, time to the right: uint8 (height, width, channels)."""
    at = np.round(np.linspace(0, x.shape[1] - 1, min(STRIP, x.shape[1]))).astype(int)
    return _sheet(x[:, at].reshape(-1, *x.shape[2:]), len(at))


def _sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """Images (n, height, width, channels) in rows, on grey, small ones enlarged; what is not finite is black."""
    images = np.nan_to_num(np.asarray(images, np.float32), nan=-1.0, posinf=-1.0, neginf=-1.0)
    pixels = to_uint8(images)
    zoom = max(1, TILE // max(pixels.shape[1:3]))
    pixels = pixels.repeat(zoom, 1).repeat(zoom, 2)
    pixels = np.pad(pixels, ((0, -len(pixels) % columns), (1, 1), (1, 1), (0, 0)), constant_values=96)
    rows = pixels.reshape(-1, columns, *pixels.shape[1:]).swapaxes(1, 2)
    sheet = rows.reshape(rows.shape[0] * rows.shape[1], -1, pixels.shape[-1])
    return sheet if sheet.shape[-1] in (1, 3) else sheet[..., :1]
