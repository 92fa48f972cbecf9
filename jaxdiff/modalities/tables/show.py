"""Show: tables as figures of their first columns, and as .csv files."""

import csv
from pathlib import Path

import numpy as np

from jaxdiff.modalities.figures import rendered, save_picture
from jaxdiff.modalities.tables import show_mixed
from jaxdiff.modalities.tables.spec import make_codec
from jaxdiff.types import Batch, Spec

__all__ = ["MARGINS", "describe", "preview", "save_chain", "save_samples"]

SHOWN, BESIDE, CHAIN = 1000, 10_000, 500
COLUMNS, MOMENTS, BINS = 4, 6, 30
REAL, DRAWN = "tab:blue", "tab:orange"
MARGINS = {"left": 0.07, "right": 0.98, "bottom": 0.07, "top": 0.93, "wspace": 0.35, "hspace": 0.3}


def describe(spec: Spec) -> str:
    """What a row is: "rows of 30 columns"."""
    if "schema" in spec.details:
        columns = show_mixed.mixed_columns(spec)
        numbers = sum(column.kind == "number" for column in columns)
        return f"rows of {len(columns)} columns, {numbers} of numbers and {len(columns) - numbers} of categories"
    total, varying = len(_names(spec, spec.shape[0])), spec.shape[0]
    return f"rows of {total} columns" + (f", {varying} of which vary" if varying < total else "")


def preview(spec: Spec, drawn: Batch, real: Batch | None) -> np.ndarray:
    """The first columns, pair by pair, as a picture of uint8 (height, width, 3).

    On the diagonal are histograms, below it real rows, above it those drawn, on the same axes. Without real rows, those
    drawn are on both sides. Rows that are not finite are left out.
    """
    if "schema" in spec.details:
        return rendered(show_mixed.side_by_side(spec, drawn, real))
    ours, its = _finite(drawn.x_0), None if real is None else _finite(real.x_0)
    names = _names(spec, ours.shape[1])[:COLUMNS]
    k, limits = len(names), _limits(ours if its is None or not len(its) else its)

    from matplotlib.figure import Figure  # half a second to import

    figure = Figure(figsize=(2.4 * k, 2.4 * k))
    axes = figure.subplots(k, k, squeeze=False, gridspec_kw=MARGINS)
    for row in range(k):
        for column in range(k):
            at, low, high = axes[row, column], *limits[column]
            at.set_xlim(low, high)
            at.tick_params(labelsize=6)
            if row == column:
                for x, color, name in ((its, REAL, "real"), (ours, DRAWN, "drawn")):
                    if x is not None and len(x):
                        bins = np.linspace(low, high, BINS + 1)
                        at.hist(x[:, row], bins, density=True, color=color, alpha=0.5, label=name)
                at.set_title(names[row], fontsize=8)
                continue
            x, color = (its, REAL) if row > column and its is not None else (ours, DRAWN)
            at.scatter(x[:, column], x[:, row], 3, color, alpha=0.5, linewidths=0)
            at.set_ylim(*limits[row])
    if axes[0, 0].get_legend_handles_labels()[0]:
        axes[0, 0].legend(fontsize=6, loc="upper right")
    return rendered(figure)


def save_chain(folder: Path, spec: Spec, frames: np.ndarray, note: str) -> list[str]:
    """Write chain.png: the first two columns at moments of the reverse process, in the table's units."""
    from matplotlib.figure import Figure  # half a second to import

    moments = np.round(np.linspace(0, len(frames) - 1, min(MOMENTS, len(frames)))).astype(int)
    if "schema" in spec.details:
        save_picture(folder / "chain.png", rendered(show_mixed.at_moments(spec, frames, moments)), note)
        return ["chain.png"]
    rows = make_codec(spec).decode(np.asarray(frames)[moments])
    names = _names(spec, rows.shape[-1])
    figure = Figure(figsize=(2.4 * len(moments), 2.6))
    axes = figure.subplots(1, len(moments), squeeze=False, gridspec_kw={**MARGINS, "bottom": 0.2, "top": 0.88})[0]
    for at, x, moment in zip(axes, rows, moments, strict=True):
        limits = _limits(x)
        at.set_title(f"state {moment}", fontsize=8)
        at.tick_params(labelsize=6)
        at.set_xlim(*limits[0])
        at.set_xlabel(names[0], fontsize=8)
        if len(names) == 1:
            at.hist(x[:, 0], np.linspace(limits[0, 0], limits[0, 1], BINS + 1), density=True, color=DRAWN)
            continue
        at.scatter(x[:, 0], x[:, 1], 3, DRAWN, alpha=0.5, linewidths=0)
        at.set_ylim(*limits[1])
        at.set_ylabel(names[1], fontsize=8)
    save_picture(folder / "chain.png", rendered(figure), note)
    return ["chain.png"]


def save_samples(folder: Path, spec: Spec, drawn: Batch, real: Batch | None, note: str) -> list[str]:
    """Write samples.csv, all rows in the table's units, with their class where one was asked for, and figure.png."""
    if "schema" in spec.details:
        some = Batch(np.asarray(drawn.x_0[:SHOWN]))
        save_picture(folder / "figure.png", preview(spec, some, real), note)
        return ["figure.png", *show_mixed.write(folder, spec, drawn, real)]
    label = (drawn.condition or {}).get("label")
    classes = spec.details.get("classes", [])
    named = lambda c: "" if c < 0 else classes[c] if c < len(classes) else str(c)
    with open(folder / "samples.csv", "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        header = _names(spec, drawn.x_0.shape[1])
        out.writerow(header if label is None else [*header, spec.details.get("label") or "label"])
        for i, row in enumerate(drawn.x_0):
            cells = [f"{value:.8g}" for value in row]
            out.writerow(cells if label is None else [*cells, named(int(label[i]))])
    some = Batch(np.asarray(drawn.x_0[:SHOWN]))
    save_picture(folder / "figure.png", preview(spec, some, real), note)
    return ["figure.png", "samples.csv"]


def _names(spec: Spec, count: int) -> list[str]:
    return list(spec.details.get("columns") or [f"column {c}" for c in range(count)])


def _finite(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    return rows[np.isfinite(rows).all(1)]


def _limits(rows: np.ndarray) -> np.ndarray:
    """(columns, 2): what all but the outermost hundredth of the rows lie within, and a tenth more to each side."""
    if not len(rows):
        return np.tile([-1.0, 1.0], (rows.shape[1], 1))
    low, high = np.percentile(rows, [0.5, 99.5], axis=0)
    margin = np.maximum(0.1 * (high - low), 1e-6 * np.maximum(abs(high), 1e-6))
    return np.stack([low - margin, high + margin], axis=1)
