"""Show: sounds as spectrograms, time to the right and pitch upwards, and as .wav."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jaxdiff.modalities.audio.measured import spectrograms
from jaxdiff.modalities.audio.spec import rate_of
from jaxdiff.modalities.audio.spectrogram import FLOOR
from jaxdiff.modalities.audio.wave import write_wave
from jaxdiff.modalities.figures import save_picture
from jaxdiff.types import Batch, Spec

__all__ = ["BESIDE", "CHAIN", "SHOWN", "describe", "preview", "save_chain", "save_samples", "tiles"]

SHOWN, BESIDE, CHAIN = 16, 16, 2
MOMENTS, LARGEST, TALL, WIDE, ABOVE = 8, 32, 120, 96, 14
LOUD = 1.5
"""log10 of the power that is shown brightest, of waves of standard deviation 1."""
PAUSE = 0.3
"""Seconds between two sounds in samples.wav."""


def describe(spec: Spec) -> str:
    """What a sound is: "sounds of 0.512 s, 4096 samples at 8000 Hz"."""
    length, channels = spec.shape
    if not spec.details:
        return f"sounds of {length} samples, {channels} channel{'s' if channels > 1 else ''}"
    rate = rate_of(spec)
    more = f", {channels} channels" if channels > 1 else ""
    return f"sounds of {length / rate:.4g} s, {length} samples at {rate} Hz{more}"


def preview(spec: Spec, drawn: Batch, real: Batch | None) -> np.ndarray:
    """Spectrograms of what was drawn, and below the real ones, uint8 (height, width, 3)."""
    rows = [_sheet(spec, batch, kind) for batch, kind in ((drawn, "drawn"), (real, "real")) if batch is not None]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows])


def save_chain(folder: Path, spec: Spec, frames: np.ndarray, note: str) -> list[str]:
    """Write chain.png: the first sounds at moments of the reverse process, which runs to the right."""
    frames = np.asarray(frames) * spec.details.get("scale", 1)
    moments = np.round(np.linspace(0, len(frames) - 1, min(MOMENTS, len(frames)))).astype(int)
    shown = frames[moments].swapaxes(0, 1).reshape(-1, *spec.shape)
    save_picture(folder / "chain.png", tiles(spectrograms(spec, shown), len(moments)), note)
    return ["chain.png"]


def save_samples(folder: Path, spec: Spec, drawn: Batch, real: Batch | None, note: str) -> list[str]:
    """Write each sound into waves/, the first 32 one after the other into samples.wav, and samples.png.

    The picture has the spectrograms of the same, above as many real ones where there are some.
    """
    rate, x = rate_of(spec), np.asarray(drawn.x_0, np.float32)
    place = folder / "waves"
    place.mkdir(exist_ok=True)
    for old in place.glob("*.wav"):
        old.unlink()
    names = _names(spec, drawn)
    for i, wave in enumerate(x):
        write_wave(place / f"{i:04d}{'-' if names[i] else ''}{names[i].replace(' ', '_')}.wav", rate, wave)
    rest = np.zeros((round(PAUSE * rate), spec.shape[1]), np.float32)
    write_wave(folder / "samples.wav", rate, np.concatenate([part for wave in x[:LARGEST] for part in (wave, rest)]))
    first = lambda batch: (
        batch and Batch(batch.x_0[:LARGEST], {name: value[:LARGEST] for name, value in (batch.condition or {}).items()})
    )
    save_picture(folder / "samples.png", preview(spec, first(drawn), first(real)), note)
    return ["samples.png", "samples.wav", "waves"]


def tiles(images: np.ndarray, columns: int, titles: Sequence[str] = ()) -> np.ndarray:
    """Log-mel spectrograms (n, frames, bands, 1) as a picture of uint8 (height, width, 3), in rows, on white.

    Args:
      titles: of each, above it; none by default.
    """
    from matplotlib import colormaps  # a fifth of a second

    floor = np.log10(FLOOR)
    shares = np.clip((np.nan_to_num(images[..., 0], nan=floor) - floor) / (LOUD - floor), 0, 1)
    pixels = (255 * colormaps["magma"](shares)[..., :3]).astype(np.uint8).swapaxes(1, 2)[:, ::-1]
    zoom = max(1, round(TALL / pixels.shape[1]))
    pixels = pixels.repeat(zoom, 1).repeat(max(1, round(WIDE / pixels.shape[2])), 2)
    above = ABOVE if titles else 0
    rows, (high, wide) = -(-len(pixels) // columns), pixels.shape[1:3]
    sheet = Image.new("RGB", (columns * (wide + 4) + 4, rows * (high + above + 4) + 4), "white")
    brush, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i, picture in enumerate(pixels):
        x, y = i % columns * (wide + 4) + 4, i // columns * (high + above + 4) + 4
        if titles:
            brush.text((x, y), titles[i][: wide // 6], "black", font)
        sheet.paste(Image.fromarray(picture), (x, y + above))
    return np.asarray(sheet)


def _sheet(spec: Spec, batch: Batch, kind: str) -> np.ndarray:
    """The spectrograms of a batch, eight or so in a row, each below what it is."""
    names = [f"{kind} {name}".strip() for name in _names(spec, batch)]
    images = spectrograms(spec, np.asarray(batch.x_0))
    return tiles(images, min(8, len(images)), names)


def _names(spec: Spec, batch: Batch) -> list[str]:
    """The names of the classes of a batch, "" where there is none."""
    label, names = (batch.condition or {}).get("label"), spec.details.get("classes", [])
    if label is None:
        return [""] * len(batch.x_0)
    return [names[i] if 0 <= i < len(names) else "" for i in np.asarray(label)]
