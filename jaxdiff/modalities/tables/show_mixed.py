"""Show tables of mixed columns: columns side by side with real ones, and a .csv as the one that was read."""

import csv
import json
from pathlib import Path

import numpy as np

from jaxdiff.modalities.tables import report, schema
from jaxdiff.modalities.tables.schema import Column
from jaxdiff.modalities.tables.spec import make_codec, mixed_columns
from jaxdiff.types import Batch, Spec

__all__ = ["at_moments", "columns_of", "side_by_side", "write"]

ACROSS, MOST, BINS, BARS = 4, 12, 30, 12
REAL, DRAWN = "tab:blue", "tab:orange"


def side_by_side(spec: Spec, drawn: Batch, real: Batch | None):
    """A figure of the first twelve columns: numbers as histograms, categories as bars, real beside drawn."""
    from matplotlib.figure import Figure  # half a second to import

    columns = mixed_columns(spec)[:MOST]
    rows = -(-len(columns) // ACROSS)
    figure = Figure(figsize=(2.8 * ACROSS, 2.2 * rows), layout="constrained")
    axes = figure.subplots(rows, ACROSS, squeeze=False).reshape(-1)
    for i, at in enumerate(axes):
        at.tick_params(labelsize=6)
        at.set_visible(i < len(columns))
    for i, column in enumerate(columns):
        tables = [(None if real is None else real.x_0, REAL, "real"), (drawn.x_0, DRAWN, "drawn")]
        _draw(axes[i], column, [(np.asarray(t, np.float64)[:, i], c, n) for t, c, n in tables if t is not None])
    axes[0].legend(fontsize=6, loc="upper right")
    return figure


def _draw(at, column: Column, parts: list) -> None:
    at.set_title(column.name, fontsize=8)
    if column.kind == "category":
        shown = column.values[:BARS]
        for k, (values, color, name) in enumerate(parts):
            share = np.bincount(np.nan_to_num(values).astype(int), minlength=len(column.values)) / max(len(values), 1)
            at.bar(np.arange(len(shown)) + 0.4 * k, share[: len(shown)], 0.4, color=color, label=name)
        at.set_xticks(np.arange(len(shown)), [value[:10] for value in shown], rotation=45, ha="right")
        return
    there = np.concatenate([values[np.isfinite(values)] for values, *_ in parts[:1]])
    low, high = (there.min(), there.max()) if len(there) else (0.0, 1.0)
    bins = np.linspace(low, high if high > low else low + 1, BINS + 1)
    for values, color, name in parts:
        values = values[np.isfinite(values)]
        at.hist(values, bins, weights=np.full(len(values), 1 / max(len(values), 1)), color=color, alpha=0.5, label=name)


def at_moments(spec: Spec, frames: np.ndarray, moments: np.ndarray):
    """A figure of the first column at moments of the reverse process."""
    from matplotlib.figure import Figure

    column, tables = mixed_columns(spec)[0], make_codec(spec).decode(np.asarray(frames)[moments])
    figure = Figure(figsize=(2.4 * len(moments), 2.4), layout="constrained")
    axes = figure.subplots(1, len(moments), squeeze=False)[0]
    for at, table, moment in zip(axes, tables, moments, strict=True):
        at.tick_params(labelsize=6)
        _draw(at, column, [(table[:, 0], DRAWN, "drawn")])
        at.set_title(f"{column.name}, state {moment}", fontsize=8)
    return figure


def columns_of(spec: Spec, batch: Batch) -> tuple[list[Column], np.ndarray]:
    """The columns as they stood in the file, the class of a row among them, and the table of these."""
    columns, table = mixed_columns(spec), np.asarray(batch.x_0, np.float64)
    label = (batch.condition or {}).get("label")
    if label is None or not spec.details["label"]:
        return columns, table
    place, details = spec.details["place"], spec.details
    columns.insert(place, Column(details["label"], "category", tuple(details["classes"])))
    return columns, np.insert(table, place, np.asarray(label), axis=1)


def write(folder: Path, spec: Spec, drawn: Batch, real: Batch | None) -> list[str]:
    """Write samples.csv, with header, order and texts of the table that was learned, and report.json.

    No report where no real rows are of a class that was asked for.
    """
    columns, table = columns_of(spec, drawn)
    with open(folder / "samples.csv", "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([column.name for column in columns])
        out.writerows(schema.cells(columns, table))
    if real is None:
        return ["samples.csv"]
    same, beside = columns_of(spec, real)
    if [c.name for c in same] != [c.name for c in columns]:
        return ["samples.csv"]
    if len(columns) > len(mixed_columns(spec)):
        columns, beside, table = _comparable(columns, beside, table, spec.details["place"])
    if not len(beside):
        return ["samples.csv"]
    errors = report.shape(columns, beside, table)
    content = {
        "shape error": float(np.mean(list(errors.values()))),
        "trend error": report.trend(columns, beside, table),
        "real rows": len(beside),
        "drawn rows": len(table),
        "shape error by column": errors,
    }
    half = len(beside) // 2
    if half:
        mixed = np.random.default_rng(0).permutation(beside)  # tables are often sorted
        floor = report.shape(columns, mixed[:half], mixed[half:])
        content["floors, of half of the real rows against the others"] = {
            "shape error": float(np.mean(list(floor.values()))),
            "trend error": report.trend(columns, mixed[:half], mixed[half:]),
        }
    (folder / "report.json").write_text(json.dumps(content, indent=2) + "\n")
    return ["samples.csv", "report.json"]


def _comparable(
    columns: list[Column], real: np.ndarray, drawn: np.ndarray, place: int
) -> tuple[list[Column], np.ndarray, np.ndarray]:
    """Tables of rows of which a class was asked for, not drawn: as many of the real ones are of each as of the drawn.

    Without the class, where it was not asked for in all rows.
    """
    asked, classes = drawn[:, place].astype(int), real[:, place].astype(int)
    if (asked < 0).any():
        others = [i for i in range(len(columns)) if i != place]
        return [columns[i] for i in others], real[:, others], drawn[:, others]
    there, wanted = (np.bincount(part, minlength=len(columns[place].values)) for part in (classes, asked))
    share = np.min(there[wanted > 0] / wanted[wanted > 0])
    order = np.random.default_rng(0).permutation(len(real))
    of_each = [order[classes[order] == c][: round(share * wanted[c])] for c in np.flatnonzero(wanted)]
    chosen = np.sort(np.concatenate(of_each))
    return columns, real[chosen], drawn
