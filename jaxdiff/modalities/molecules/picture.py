"""Pictures of molecules: balls and sticks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["COLORS", "draw", "sheet", "turned"]

COLORS = {
    "H": "#f2f2f2",
    "C": "#565656",
    "N": "#3050f8",
    "O": "#e8261a",
    "F": "#68c94b",
    "P": "#ff8a1f",
    "S": "#e6c229",
    "Cl": "#2fae3b",
    "Br": "#a0342b",
    "I": "#7d2b9e",
    "B": "#e8a9a0",
}
RADII = {"H": 0.25, "C": 0.36, "N": 0.36, "O": 0.36}


def draw(at: Any, positions: np.ndarray, symbols: Sequence[str], bonds: np.ndarray) -> None:
    """Draw one molecule on axes of Matplotlib, seen along z, the far atoms first.

    Args:
      positions: (atoms, 3), in Angstrom.
      bonds: (bonds, 2), numbers of atoms.
    """
    from matplotlib.patches import Circle

    x = np.asarray(positions, np.float64) - np.mean(positions, 0)
    for a, b in bonds:
        depth = float(x[a, 2] + x[b, 2]) / 2
        at.plot(*x[[a, b], :2].T, color="#8a8a8a", linewidth=2.2, zorder=depth, solid_capstyle="round")
    for place, symbol in zip(x, symbols, strict=True):
        color, radius = COLORS.get(symbol, "#d080d0"), RADII.get(symbol, 0.42)
        at.add_patch(Circle(place[:2], radius, facecolor=color, edgecolor="#2b2b2b", lw=0.6, zorder=place[2] + 0.01))
    size = np.abs(x[:, :2]).max() + 0.8
    at.set(xlim=(-size, size), ylim=(-size, size), aspect="equal")
    at.axis("off")


def turned(positions: np.ndarray) -> np.ndarray:
    """Positions (atoms, 3) turned, not mirrored, to lie widest in x and flattest in z."""
    x = np.asarray(positions, np.float64) - np.mean(positions, 0)
    _, _, axes = np.linalg.svd(x)
    return x @ (axes * np.sign(np.linalg.det(axes))).T


def sheet(rows: int, columns: int, size: float = 1.6) -> tuple[Any, np.ndarray]:
    """A figure of Matplotlib with empty axes (rows, columns)."""
    from matplotlib.figure import Figure  # half a second to import

    figure = Figure(figsize=(size * columns, size * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for at in axes.reshape(-1):
        at.axis("off")
    return figure, axes
