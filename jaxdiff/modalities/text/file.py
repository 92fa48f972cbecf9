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
      split: "all"; "test", the last 20th of the text; or "train", the rest. All have the vocabulary of the whole.
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
    vocabulary = learn_vocabulary(whole, symbols, size)
    ids = encode(vocabulary, whole)
    law = _law(vocabulary, ids)
    cut = int(len(ids) * (1 - HELD))
    part = {"all": ids, "train": ids[:cut], "test": ids[cut:]}[split]
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
      split: "all"; "test", every 20th line (or the array "test"); or "train", the others.

    Raises:
      InputError: the file cannot be read, or a line is longer.
    """
    if split not in SPLITS:
        raise unknown("split of lines", split, SPLITS)
    every, chosen = _listed(path, split)
    vocabulary = learn_vocabulary("\n".join(every), symbols, size, end=True)
    vocabulary = _without_line_end(vocabulary)
    rows = [encode(vocabulary, line, f"{path!r}, ") for line in every] if not length else []
    length = length or max(map(len, rows))
    x_0 = encoded(vocabulary, every, length, f"{path!r}, line")
    law = _law(vocabulary, x_0.reshape(-1))
    x_0 = x_0[chosen]
    spec = text_spec(vocabulary, law, length)
    return Source(len(x_0), spec, lambda indices: Batch(x_0[indices]), known=content(x_0))


def _law(vocabulary: Vocabulary, ids: np.ndarray) -> np.ndarray:
    """The frequencies of the symbols, above 0 also of those that other text has, such as what a pair was made of."""
    return np.maximum(np.bincount(ids, minlength=len(vocabulary.symbols)), 1e-6) / len(ids)


def _without_line_end(vocabulary: Vocabulary) -> Vocabulary:
    """The vocabulary of lines that were joined to be learned from, without what joined them; no pair has it."""
    if "\n" not in vocabulary.symbols:
        return vocabulary
    at = vocabulary.symbols.index("\n")
    merges = [[i - (i > at) for i in pair] for pair in vocabulary.merges]
    return Vocabulary(vocabulary.kind, [s for s in vocabulary.symbols if s != "\n"], merges)


def _listed(path: str, split: str) -> tuple[list[str], np.ndarray]:
    """All lines of a file, and the numbers of those of a split."""
    if Path(path).suffix == ".npz":
        try:
            arrays = {name: member(str(Path(path).expanduser()), name, "of lines") for name in ("train", "test")}
            parts = {name: [_string(s) for s in array.tolist()] for name, array in arrays.items()}
        except Exception as error:  # of a damaged file, NumPy, zipfile and zlib raise all kinds
            reason = " ".join(str(error).split())
            raise InputError(f"{path!r}: holds no arrays 'train' and 'test' of strings ({reason})") from error
        every, first = parts["train"] + parts["test"], len(parts["train"])
        numbers = np.arange(len(every))
        chosen = {"all": numbers, "train": numbers[:first], "test": numbers[first:]}[split]
        return every, chosen
    every = [line for line in read_text(path).split("\n") if line.strip()]
    numbers = np.arange(len(every))
    held = numbers % 20 == 19
    return every, {"all": numbers, "train": numbers[~held], "test": numbers[held]}[split]


def _string(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
