"""Show: trajectories as lines, on the map of their maze where there is one, and as .npz files."""

from pathlib import Path

import numpy as np

from jaxdiff.modalities.figures import rendered, save_picture
from jaxdiff.modalities.trajectories.mazes import find_maze
from jaxdiff.modalities.trajectories.spec import make_codec
from jaxdiff.types import Batch, Spec

__all__ = ["describe", "draw_plans", "preview", "save_chain", "save_samples"]

SHOWN, BESIDE, CHAIN = 32, 32, 4
MOMENTS, PANELS = 6, 16


def describe(spec: Spec) -> str:
    """What a trajectory is: "trajectories of 64 steps of 2 channels, in the maze medium"."""
    where = f", in the maze {spec.details['maze']}" if spec.details.get("maze") else ""
    upto = "up to " if "lengths" in spec.details else ""
    return f"trajectories of {upto}{spec.shape[0]} steps of {spec.shape[1]} channels{where}"


def preview(spec: Spec, drawn: Batch, real: Batch | None) -> np.ndarray:
    """Those drawn, beside real ones if there are some, as a picture of uint8 (height, width, 3)."""
    parts = [("drawn", drawn)] + ([] if real is None else [("real", real)])
    figure, axes = _figure(len(parts))
    limits = _limits([batch.x_0 for _, batch in parts])
    for at, (name, batch) in zip(axes, parts, strict=True):
        _draw(at, spec, np.asarray(batch.x_0)[:SHOWN], limits)
        at.set_title(name, fontsize=9)
    return rendered(_tidy(figure))


def save_chain(folder: Path, spec: Spec, frames: np.ndarray, note: str) -> list[str]:
    """Write chain.png: the first trajectories at moments of the reverse process."""
    moments = np.round(np.linspace(0, len(frames) - 1, min(MOMENTS, len(frames)))).astype(int)
    states = make_codec(spec).decode(np.asarray(frames)[moments])
    figure, axes = _figure(len(moments))
    for at, x, moment in zip(axes, states, moments, strict=True):
        _draw(at, spec, x, _limits([x]))
        at.set_title(f"state {moment}", fontsize=9)
    save_picture(folder / "chain.png", rendered(_tidy(figure)), note)
    return ["chain.png"]


def save_samples(folder: Path, spec: Spec, drawn: Batch, real: Batch | None, note: str) -> list[str]:
    """Write tracks.png and samples.npz, with the array "windows" in the trajectories' own units.

    Those of several lengths have rows of NaN after their ends, and an array "lengths" beside.
    """
    x = np.asarray(drawn.x_0)
    several = {"lengths": (~np.isnan(x).all(-1)).sum(1)} if "lengths" in spec.details else {}
    some = Batch(np.asarray(drawn.x_0[:SHOWN]))
    save_picture(folder / "tracks.png", preview(spec, some, real), note)
    np.savez(folder / "samples.npz", allow_pickle=False, windows=x, **several)
    return ["tracks.png", "samples.npz"]


def draw_plans(spec: Spec, plans: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Plans, each in a panel of its own, as a picture of uint8; those of one panel share their start.

    Args:
      plans: (n, steps, channels) or (n, several, steps, channels), in their own units; the first of several is thick.
      known: (n, steps), whether a state was given; those are marked.
    """
    plans = np.asarray(plans)[:PANELS]
    plans = plans[:, None] if plans.ndim == 3 else plans
    figure, axes = _figure(len(plans))
    for at, several, given in zip(axes, plans, known, strict=False):
        _draw(at, spec, several, _limits([plans]))
        if plans.shape[-1] > 1:
            at.plot(*several[0, :, :2].T, "k-", linewidth=1.5)
            at.plot(*several[0][given][:, :2].T, "r*", markersize=8)
        else:
            at.plot(np.flatnonzero(given), several[0][given][:, 0], "r*", markersize=8)
    return rendered(_tidy(figure))


def _draw(at, spec: Spec, x: np.ndarray, limits) -> None:
    """Lines that turn from blue, where they begin, to red; of one channel, over time."""
    at.tick_params(labelsize=6)
    if x.shape[-1] == 1:
        at.plot(x[..., 0].T, linewidth=0.8)
        return
    if spec.details.get("maze"):
        walls = find_maze(spec.details["maze"]).walls
        rows, columns = walls.shape
        extent = (-columns / 2, columns / 2, -rows / 2, rows / 2)
        at.imshow(~walls, cmap="gray", extent=extent, vmin=-1, vmax=1, interpolation="nearest")
        limits = (extent[:2], extent[2:])
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    pieces = np.stack([x[:, :-1, :2], x[:, 1:, :2]], axis=2)
    colors = np.tile(colormaps["coolwarm"](np.linspace(0, 1, pieces.shape[1])), (len(x), 1))
    at.add_collection(LineCollection(list(pieces.reshape(-1, 2, 2)), colors=colors, linewidths=0.9))
    at.set_xlim(*limits[0])
    at.set_ylim(*limits[1])
    at.set_aspect("equal")


def _limits(arrays) -> tuple[tuple[float, float], ...]:
    """What the finite states of the first two channels lie within, and a tenth more."""
    rows = np.concatenate([np.asarray(x, np.float64).reshape(-1, np.shape(x)[-1])[:, :2] for x in arrays])
    rows = rows[np.isfinite(rows).all(1)]
    rows = rows if len(rows) else np.zeros((1, rows.shape[1]))
    margin = 0.1 * (rows.max() - rows.min()) + 1e-6
    return tuple(
        (float(low - margin), float(high + margin)) for low, high in zip(rows.min(0), rows.max(0), strict=True)
    )


def _figure(panels: int):
    from matplotlib.figure import Figure  # half a second to import

    columns = min(panels, 4)
    rows = -(-panels // columns)
    figure = Figure(figsize=(3.2 * columns, 3.2 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).reshape(-1)[:panels]


def _tidy(figure):
    """The figure without the frames of places where nothing is drawn."""
    for at in figure.axes:
        if not at.has_data():
            at.set_axis_off()
    return figure
