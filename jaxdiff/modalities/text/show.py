"""Show: text as it is, and the reverse process as masks that fill."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from jaxdiff.modalities.text.spec import vocabulary_of
from jaxdiff.modalities.text.vocabulary import decode
from jaxdiff.types import Batch, Spec

__all__ = ["BESIDE", "CHAIN", "MASK", "SHOWN", "describe", "page", "preview", "save_chain", "save_samples"]

SHOWN, BESIDE, CHAIN = 12, 0, 4
COLUMNS, MOMENTS, GIF = 96, 9, 30
MASK = "_"
INK, PAPER, FAINT = (30, 30, 30), (255, 255, 255), (120, 120, 120)


def describe(spec: Spec) -> str:
    """What a text is: "texts of 256 symbols (63 characters)"."""
    if not spec.details:
        return f"sequences of {spec.shape[0]} symbols"
    vocabulary = vocabulary_of(spec)
    return f"texts of {spec.shape[0]} symbols ({len(vocabulary.symbols)} {vocabulary.kind})"


def preview(spec: Spec, drawn: Batch, real: Batch | None) -> np.ndarray:
    """The texts as a picture of uint8 (height, width, 3), each below a line."""
    return page([str(text) for text in np.asarray(drawn.x_0).tolist()])


def page(texts: Sequence[str], rows: int | None = None) -> np.ndarray:
    """Texts set in lines of 96 characters, as a picture of uint8 (height, width, 3).

    Args:
      rows: lines of each; as many as it has by default.
    """
    font = ImageFont.load_default(14)
    set_rows = [(_set(text) + [""] * (rows or 0))[: rows or None] for text in texts]
    lines = [(line, INK) for each in set_rows for line in [*each, ""]]
    step = 18
    width = 20 + max([int(font.getlength(_plain(line))) for line, _ in lines] + [200])
    image = Image.new("RGB", (width, 20 + step * len(lines)), PAPER)
    brush = ImageDraw.Draw(image)
    for i, (line, color) in enumerate(lines):
        if line:
            brush.text((10, 10 + i * step), _plain(line), color, font)
        elif i + 1 < len(lines):
            brush.line((10, 19 + i * step, 60, 19 + i * step), FAINT)
    return np.asarray(image)


def save_chain(folder: Path, spec: Spec, frames: np.ndarray, note: str) -> list[str]:
    """Write chain.txt, the first text at moments of the reverse process, and chain.gif, in which its masks fill."""
    frames = np.asarray(frames)
    texts = [[_read(spec, row) for row in moment] for moment in frames]
    moments = np.round(np.linspace(0, len(frames) - 1, min(MOMENTS, len(frames)))).astype(int)
    chain = "\n".join(f"---- state {m} of {len(frames) - 1}\n{texts[m][0]}" for m in moments)
    (folder / "chain.txt").write_text(chain + "\n", encoding="utf-8")
    rows = max(len(_set(texts[m][0])) for m in moments)
    shown = np.round(np.linspace(0, len(frames) - 1, min(GIF, len(frames)))).astype(int)
    pages = [page(texts[m][:1], rows) for m in shown]
    width = max(each.shape[1] for each in pages)
    padded = [np.pad(each, ((0, 0), (0, width - each.shape[1]), (0, 0)), constant_values=255) for each in pages]
    first, *rest = [Image.fromarray(each) for each in padded]
    first.save(folder / "chain.gif", save_all=True, append_images=rest, duration=[120] * len(rest) + [2500], loop=0)
    return ["chain.gif", "chain.txt"]


def save_samples(folder: Path, spec: Spec, drawn: Batch, real: Batch | None, note: str) -> list[str]:
    """Write samples.txt: all texts, a line each where none has a line of its own, or parted by lines of dashes."""
    texts = [str(text) for text in np.asarray(drawn.x_0).tolist()]
    whole = any("\n" in text for text in texts)
    (folder / "samples.txt").write_text(
        ("\n" + "-" * 40 + "\n" if whole else "\n").join(texts) + "\n", encoding="utf-8"
    )
    info = PngInfo()
    info.add_text("Comment", note)
    Image.fromarray(page(texts[:SHOWN])).save(folder / "samples.png", pnginfo=info)
    return ["samples.txt", "samples.png"]


def _read(spec: Spec, row: np.ndarray) -> str:
    return decode(vocabulary_of(spec), row, MASK) if spec.details else " ".join(map(str, row.tolist()))


def _set(text: str) -> list[str]:
    """Lines of at most 96 characters."""
    return [line[i : i + COLUMNS] for line in text.split("\n") for i in range(0, max(len(line), 1), COLUMNS)]


def _plain(line: str) -> str:
    return line.encode("latin-1", "replace").decode("latin-1")
