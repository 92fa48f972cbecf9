"""Show: molecules as balls and sticks, and as files."""

from pathlib import Path

import numpy as np

from jaxdiff.modalities.figures import rendered, save_picture
from jaxdiff.modalities.molecules import show_conformers, show_molecules
from jaxdiff.types import Batch, Spec

__all__ = ["describe", "preview", "save_chain", "save_samples"]

SHOWN, BESIDE, CHAIN = 24, 16, 4
MOMENTS = 6


def describe(spec: Spec) -> str:
    """What an example is: "molecules of up to 23 atoms of H, C, N, O, S"."""
    return (show_conformers if _is_conformer(spec) else show_molecules).describe(spec)


def preview(spec: Spec, drawn: Batch, real: Batch | None) -> np.ndarray:
    """The first molecules as a picture of uint8 (height, width, 3), those that are not finite left out."""
    return rendered((show_conformers if _is_conformer(spec) else show_molecules).side_by_side(drawn, real))


def save_chain(folder: Path, spec: Spec, frames: np.ndarray, note: str) -> list[str]:
    """Write chain.png: the first molecules at moments of the reverse process."""
    moments = np.round(np.linspace(0, len(frames) - 1, min(MOMENTS, len(frames)))).astype(int)
    if _is_conformer(spec):
        figure = show_conformers.at_moments(np.asarray(frames), moments)
    else:
        figure = show_molecules.at_moments(spec, frames, moments)
    save_picture(folder / "chain.png", rendered(figure), note)
    return ["chain.png"]


def save_samples(folder: Path, spec: Spec, drawn: Batch, real: Batch | None, note: str) -> list[str]:
    """Write figure.png, samples.sdf and, of molecules, samples.xyz and report.json."""
    save_picture(folder / "figure.png", preview(spec, drawn, real), note)
    return ["figure.png", *(show_conformers if _is_conformer(spec) else show_molecules).write(folder, drawn)]


def _is_conformer(spec: Spec) -> bool:
    return "conformers" in spec.details
