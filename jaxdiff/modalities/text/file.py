"""Text in files: one long text cut into windows, or a line an example."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from jaxdiff.data.numpy_file import member
from jaxdiff.data.source import Source, content
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.text.spec import encoded, text_spec
from jaxdiff.modalities.text.vocabulary import Vocabulary, encode, learn_vocabulary
from jaxdiff.types import Batch

__all__ = ["lines", "manual", "read_text", "text"]

SPLITS = ("all", "train", "test")
HELD = 0.05


def read_text(path: str) -> str:
    """The text of a file in UTF-8, .gz or not, with plain line ends.

    Raises:
      InputError: no such file, an empty one, or another encoding; the line is named.
    """
    try:
        stored = Path(path).expanduser().read_bytes()
        stored = gzip.decompress(stored) if Path(path).suffix == ".gz" else stored
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path!r} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        plain = stored.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = stored.count(b"\n", 0, error.start) + 1
        column = error.start - stored.rfind(b"\n", 0, error.start)
        raise InputError(
            f"{path!r}: line {line}, byte {column} is no UTF-8 (0x{stored[error.start]:02x}): convert the whole file "
            "to UTF-8"
        ) from error
    plain = plain.replace("\r\n", "\n").replace("\r", "\n")
    if not plain.strip():
        raise InputError(f"{path!r} is empty: it has to hold text")
    return plain


def text(
    path: str, length: int = 256, symbols: str = "characters", size: int = 512, split: str = "all", stride: int = 0
) -> Source:
    """Windows of a long text.

    Args:
      path: of a .txt in UTF-8, or a .txt.gz.
      length: symbols a window.
      symbols: characters, bytes, or pairs (`jaxdiff.modalities.text.vocabulary`).
      size: of pairs, how many symbols.
      split: "all"; "test", the last 20th of the text; or "train", the rest, in which both have their pairs and
        frequencies counted. All have the characters of the whole.
      stride: symbols between the starts of two windows; 0 for `length`.

    Raises:
      InputError: the file cannot be read, or the text is shorter than a window.
    """
    return _windows(read_text(path), repr(path), length, symbols, size, split, stride)


def manual(
    length: int = 128, symbols: str = "characters", size: int = 512, split: str = "all", stride: int = 0
) -> Source:
    """The embedded text: the reference of the Python language that `help()` shows, from the standard library.

    The arguments are those of `text`. Its characters beyond ASCII are left out.
    """
    from pydoc_data.topics import topics  # half a megabyte

    whole = "\n".join(topics[name] for name in sorted(topics))
    whole = whole.encode("ascii", "ignore").decode()
    return _windows(whole, "the embedded manual", length, symbols, size, split, stride)


def _windows(whole: str, what: str, length: int, symbols: str, size: int, split: str, stride: int) -> Source:
    if split not in SPLITS:
        raise unknown("split of a text", split, SPLITS)
    cut = int(len(whole) * (1 - HELD))
    seen, chosen = {
        "all": (whole, whole),
        "train": (whole[:cut], whole[:cut]),
        "test": (whole[:cut], whole[cut:]),
    }[split]
    vocabulary = learn_vocabulary(whole, symbols, size, seen=seen)
    part = encode(vocabulary, chosen)
    law = _law(vocabulary, part if split != "test" else encode(vocabulary, seen))
    if len(part) < length:
        raise InputError(
            f"{what}: its part {split!r} has {len(part)} symbols, and data.length is {length}: take less, or more text"
        )
    stride = stride or length
    return Source(
        (len(part) - length) // stride + 1,
        text_spec(vocabulary, law, length),
        lambda indices: Batch(part[np.asarray(indices)[:, None] * stride + np.arange(length)]),
        known=content(part),
    )


def lines(path: str, length: int = 0, symbols: str = "characters", size: int = 512, split: str = "all") -> Source:
    """The lines of a file, each an example, such as SMILES or names; empty lines are left out.

    Args:
      path: of a .txt or .smi in UTF-8, or with .gz; or of a .npz with arrays "train" and "test" of strings.
      length: symbols of the longest line; 0 to find it.
      symbols, size: see `text`.
      split: "all"; "test", every 20th line, wherever it is again (or the array "test"); or "train", the others: see
        `text`.

    Raises:
      InputError: the file cannot be read, has no line of the split, or a line is longer.
    """
    if split not in SPLITS:
        raise unknown("split of lines", split, SPLITS)
    every, train, chosen = _listed(path, split)
    seen = "\n".join(every[i] for i in train)
    vocabulary = learn_vocabulary("\n".join(every), symbols, size, end=True, seen=seen)
    vocabulary = _without_line_end(vocabulary)
    rows = [encode(vocabulary, line, f"{path!r}, ") for line in every] if not length else []
    length = length or max(map(len, rows))
    x_0 = encoded(vocabulary, every, length, f"{path!r}, line")
    law = _law(vocabulary, x_0[train].reshape(-1))
    x_0 = x_0[chosen]
    spec = text_spec(vocabulary, law, length)
    return Source(len(x_0), spec, lambda indices: Batch(x_0[indices]), known=content(x_0))


def _law(vocabulary: Vocabulary, ids: np.ndarray) -> np.ndarray:
    """The frequencies of the symbols, above 0 also of those that other text has, such as what a pair was made of."""
    return np.maximum(np.bincount(ids, minlength=len(vocabulary.symbols)), 1e-6) / max(len(ids), 1)


def _without_line_end(vocabulary: Vocabulary) -> Vocabulary:
    """The vocabulary of lines that were joined to be learned from, without what joined them; no pair has it."""
    if "\n" not in vocabulary.symbols:
        return vocabulary
    at = vocabulary.symbols.index("\n")
    merges = [[i - (i > at) for i in pair] for pair in vocabulary.merges]
    return Vocabulary(vocabulary.kind, [s for s in vocabulary.symbols if s != "\n"], merges)


def _listed(path: str, split: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """All lines of a file, the numbers of those that are learned from, and those of a split."""
    if Path(path).suffix == ".npz":
        try:
            arrays = {name: member(str(Path(path).expanduser()), name, "of lines") for name in ("train", "test")}
            parts = {name: list(filter(str.strip, map(_string, array.tolist()))) for name, array in arrays.items()}
        except Exception as error:  # of a damaged file, NumPy, zipfile and zlib raise all kinds
            reason = " ".join(str(error).split())
            raise InputError(f"{path!r}: holds no arrays 'train' and 'test' of strings ({reason})") from error
        every = parts["train"] + parts["test"]
        held = np.arange(len(every)) >= len(parts["train"])
    else:
        every = [line for line in read_text(path).split("\n") if line.strip()]
        first: dict[str, int] = {}  # a line that is there again goes where it first went
        held = np.array([first.setdefault(line, i) % 20 == 19 for i, line in enumerate(every)], bool)
    numbers = np.arange(len(every))
    train = numbers if split == "all" else numbers[~held]
    chosen = numbers[held] if split == "test" else train
    if not (len(train) and len(chosen)):
        raise InputError(
            f"data.split={split!r}: of {len(every)} lines of {path!r} {len(train)} are for training and "
            f"{held.sum()} for tests: take another split, or more lines"
        )
    return every, train, chosen


def _string(value: str | bytes) -> str:
    text = value.decode() if isinstance(value, bytes) else value
    if not isinstance(text, str) or "\n" in text:
        raise InputError(f"{text!r} is no line of text")
    return text
