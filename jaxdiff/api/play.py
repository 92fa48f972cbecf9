"""Play: sounds and videos as a notebook shows them, by HTML with the data in it."""

import base64
import html
import io
from typing import Any

import numpy as np
from PIL import Image

from jaxdiff.errors import InputError
from jaxdiff.modalities.audio.show import tiles
from jaxdiff.modalities.audio.spectrogram import log_mel
from jaxdiff.modalities.audio.wave import write_wave
from jaxdiff.modalities.video.show import sheets

__all__ = ["Shown", "sounds", "videos"]


class Shown:
    """What a notebook shows by itself.

    Attributes:
      html: of it, which needs no other file.
    """

    def __init__(self, html: str):
        self.html = html

    def _repr_html_(self) -> str:
        return self.html


def sounds(waves: Any, rate: int, columns: int | None = None) -> Shown:
    """Sounds as spectrograms, each above its player.

    Args:
      waves: (n, samples, channels), or (samples, channels) for one, of full scale 1.
      rate: samples a second.
      columns: in a row; eight at most by default.

    Raises:
      InputError: an array of another shape or type.
    """
    waves = np.asarray(waves)
    waves = waves[None] if waves.ndim == 2 else waves
    if waves.ndim != 3 or 0 in waves.shape or waves.dtype.kind != "f":
        raise InputError(f"sounds of {waves.dtype} and shape {waves.shape}: must be ([n,] samples, channels), real")
    parts = []
    for wave in waves:
        picture, sound = io.BytesIO(), io.BytesIO()
        mono = wave.mean(-1)[None] / max(float(waves.std()), 1e-9)
        Image.fromarray(tiles(log_mel(mono, rate)[..., None], 1)).save(picture, "PNG")
        write_wave(sound, rate, wave)
        parts.append(
            f"<div>{_image(picture, 'png')}<br><audio controls src='data:audio/wav;base64,{_text(sound)}' "
            "style='width: 110px; height: 24px'></audio></div>"
        )
    across = columns or min(8, len(parts))
    style = f"display: grid; grid-template-columns: repeat({across}, max-content); gap: 6px"
    return Shown(f"<div style='{html.escape(style)}'>{''.join(parts)}</div>")


def videos(x: Any, pace: float) -> Shown:
    """Videos side by side, moving.

    Args:
      x: (n, frames, height, width, channels), or without n for one, in [-1, 1].
      pace: frames a second.

    Raises:
      InputError: an array of another shape or type.
    """
    x = np.asarray(x)
    x = x[None] if x.ndim == 4 else x
    if x.ndim != 5 or 0 in x.shape or x.dtype.kind != "f":
        raise InputError(
            f"videos of {x.dtype} and shape {x.shape}: must be ([n,] frames, height, width, channels), real"
        )
    movie = io.BytesIO()
    first, *rest = [Image.fromarray(f[..., 0] if f.shape[-1] == 1 else f) for f in sheets(x)]
    first.save(movie, "GIF", save_all=True, append_images=rest, duration=round(1000 / pace), loop=0)
    return Shown(_image(movie, "gif"))


def _image(file: io.BytesIO, kind: str) -> str:
    return f"<img src='data:image/{kind};base64,{_text(file)}'>"


def _text(file: io.BytesIO) -> str:
    return base64.b64encode(file.getvalue()).decode()
