"""Show: molecules as balls and sticks, and as files."""

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from jaxdiff.modalities.molecules import show_conformers
from jaxdiff.types import Batch, Spec

__all__ = ["describe", "preview", "save_chain", "save_samples"]

SHOWN, BESIDE, CHAIN = 16, 16, 4
MOMENTS = 6


def describe(spec: Spec) -> str:
    """What an example is."""
    return show_conformers.describe(spec)


def preview(spec: Spec, drawn: Batch, real: Batch | None) -> np.ndarray:
    """The first molecules as a picture of uint8 (height, width, 3)."""
    return _rendered(show_conformers.side_by_side(drawn, real))


def save_chain(folder: Path, spec: Spec, frames: np.ndarray, note: str) -> list[str]:
    """Write chain.png: the atoms at moments of the reverse process."""
    moments = np.round(np.linspace(0, len(frames) - 1, min(MOMENTS, len(frames)))).astype(int)
    _save(folder / "chain.png", _rendered(show_conformers.at_moments(np.asarray(frames), moments)), note)
    return ["chain.png"]


def save_samples(folder: Path, spec: Spec, drawn: Batch, real: Batch | None, note: str) -> list[str]:
    """Write samples.sdf and figure.png."""
    _save(folder / "figure.png", preview(spec, drawn, real), note)
    return ["figure.png", *show_conformers.write(folder, drawn)]


def _rendered(figure) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _save(path: Path, picture: np.ndarray, note: str) -> None:
    text = PngInfo()
    text.add_text("Comment", note)
    Image.fromarray(picture).save(path, pnginfo=text)
