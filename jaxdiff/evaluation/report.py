"""Report: one page of HTML with figures and pictures, which lie within it."""

import base64
import html
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxdiff.modalities.images import pictures
from jaxdiff.training import log

__all__ = ["curves", "in_columns", "page", "table"]

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}img{max-width:100%}pre{overflow:auto;background:#f4f4f4;padding:1rem}
.bar{display:inline-block;height:.8rem;background:#47a}.real{background:#bbb}"""


def page(
    title: str,
    result: Mapping[str, Any],
    shown: Mapping[str, np.ndarray | None],
    lines: tuple[list[str], list[list[str]]] | None = None,
) -> str:
    """The page of a result of `evaluate`.

    Args:
      shown: uint8 (height, width, channels), by what they show; those that are None are left out.
      lines: heads and rows of its table, in place of those of `table`.
    """
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p><b>{html.escape(w)}</b></p>" for w in result["warnings"])]
    heads, rows = lines or table(result)
    cells = lambda tag, row: "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in row) + "</tr>"
    parts.append("<table>" + cells("th", heads) + "".join(cells("td", row) for row in rows) + "</table>")
    for name, counts in result.get("figures", {}).items():
        if name.startswith("classes_"):
            parts += [f"<h2>Classes, {html.escape(name.removeprefix('classes_'))}</h2>", _bars(counts)]
    for name, picture in shown.items():
        if picture is not None:
            parts += [f"<h2>{html.escape(name)}</h2>", f'<img alt="{html.escape(name)}" src="{_inline(picture)}">']
    told = {k: v for k, v in result.items() if k not in ("figures", "floor", "likelihood", "rows", "warnings")}
    parts.append(
        f"<h2>What the figures depend on</h2><pre>{html.escape(json.dumps(told, indent=2, default=str))}</pre>"
    )
    head = f"<meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def table(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: each figure with its interval, and, at equal n, samples and real examples in their place."""
    heads = ["", "value", "95 %", "samples at the floor's n", "real, disjoint"]
    rows = []
    for key, found in result["figures"].items():
        figure, features = next((key[: -len(f) - 1], f) for f in result["features"] if key.endswith(f"_{f}"))
        if figure == "memorization":
            rows += [[f"{key}: {k}", f"{v:.4g}", "", "", ""] for k, v in found.items()]
        elif figure != "classes":
            bounds = f"{found['low']:.4g} to {found['high']:.4g}" if "low" in found else ""
            bounds = bounds or (f"± {found['spread']:.4g}" if "spread" in found else "")
            level = result["floor"].get(features, {})
            at_n = [level.get(who, {}).get(figure) for who in ("samples", "real")]
            rows.append([key, f"{found['value']:.4g}", bounds, *(_about(one) for one in at_n)])
    for name, bits in result.get("likelihood", {}).items():
        low, high = (bits["mean"] + side * 1.96 * bits["error"] for side in (-1, 1))
        rows.append([f"{name}, {result['unit']}", f"{bits['mean']:.4f}", f"{low:.4f} to {high:.4f}", "", ""])
    return heads, rows


def in_columns(heads: list[str], rows: list[list[str]]) -> str:
    """A table as text, its first column to the left and the others to the right."""
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    line = lambda row: [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
    return "\n".join("  ".join(line(row)) for row in [heads, *rows])


def curves(folder: Path) -> dict[str, np.ndarray | None]:
    """What was measured at the checkpoints of a run."""
    rows = log.read(folder)
    is_shown = lambda name: name in ("held_out_mse", "held_out_bits") or name.startswith("fd_")
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if is_shown(name)]
    return {f"{name} over steps": pictures.curve([(r["step"], r[name]) for r in rows if r.get(name)]) for name in names}


def _about(one: Mapping[str, float] | None) -> str:
    return f"{one['mean']:.4g} ± {one['spread']:.2g}" if one else ""


def _bars(counts: Mapping[str, Any]) -> str:
    """The share of each class, of samples above and of the reference below."""
    lines = []
    for i, share in enumerate(counts["value"]):
        bars = [("bar", share), *([("bar real", counts["reference"][i])] if "reference" in counts else [])]
        drawn = "<br>".join(f'<span class="{c}" style="width:{500 * s:.0f}px"></span> {100 * s:.1f} %' for c, s in bars)
        lines.append(f"<tr><td>{i}</td><td style='text-align:left'>{drawn}</td></tr>")
    return f"<table>{''.join(lines)}</table><p>samples in blue, reference in grey</p>"


def _inline(picture: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
