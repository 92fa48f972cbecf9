"""Vocabulary: from text to numbers of symbols, and back.

    characters      a symbol for each character that there is
    bytes           a symbol for each byte of UTF-8 that there is
    pairs           characters, and pairs of symbols that stood beside each other most often, merged one after the other
                    (byte pair encoding; Sennrich et al. 2016), never over the end of a line

A vocabulary may have an end, a symbol of no text, after which nothing counts: what shorter sequences are filled with.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxdiff.errors import InputError, unknown

__all__ = ["KINDS", "Vocabulary", "counted", "decode", "encode", "learn_vocabulary"]

KINDS = ("characters", "bytes", "pairs")
LEARNED = 1_000_000
"""Pairs are counted in so many first characters."""


class Vocabulary(NamedTuple):
    """The symbols of a text.

    Attributes:
      kind: one of `KINDS`.
      symbols: what each stands for; a byte as the character of its number. An end is "", the last.
      merges: of pairs, the two symbols that each further one is made of.
    """

    kind: str
    symbols: list[str]
    merges: list[list[int]]

    @property
    def end(self) -> int:
        """The number of the end; -1 for none."""
        return len(self.symbols) - 1 if self.symbols[-1] == "" else -1


def learn_vocabulary(
    content: str, kind: str = "characters", size: int = 512, end: bool = False, seen: str | None = None
) -> Vocabulary:
    """The vocabulary of a text.

    Args:
      kind: one of `KINDS`.
      size: of pairs, how many symbols there shall be at most.
      end: whether it has an end.
      seen: the part of the text in which pairs are counted, that of training; all of it by default.

    Raises:
      InputError: another kind, or fewer symbols than there are characters.
    """
    if kind not in KINDS:
        raise unknown("kind of symbols (data.symbols)", kind, KINDS)
    plain = _spelled(content, kind)
    symbols, merges = sorted(set(plain)), []
    if kind == "pairs":
        if size < len(symbols) + end:
            raise InputError(f"data.size={size}: this text has {len(symbols)} characters: take more symbols, or bytes")
        counted = plain if seen is None else _spelled(seen, kind)
        merges = _learn_merges(counted[:LEARNED], symbols, size - len(symbols) - end)
    return Vocabulary(kind, [*symbols, *([""] if end else [])], merges)


def _learn_merges(plain: str, symbols: list[str], count: int) -> list[list[int]]:
    """Merge the commonest pair, so many times; the new symbols are appended to `symbols`."""
    ids, merges = _numbers(plain, symbols), []
    for _ in range(count):
        apart = np.array(["\n" in symbol for symbol in symbols])
        codes = ids[:-1].astype(np.int64) * len(symbols) + ids[1:]
        codes = codes[~(apart[ids[:-1]] | apart[ids[1:]])]
        if not len(codes):
            break
        seen = np.bincount(codes, minlength=1)
        best = int(seen.argmax())
        if seen[best] < 2:
            break
        a, b = divmod(best, len(symbols))
        merges.append([a, b])
        symbols.append(symbols[a] + symbols[b])
        ids = _merged(ids, a, b, len(symbols) - 1)
    return merges


def _merged(ids: np.ndarray, a: int, b: int, new: int) -> np.ndarray:
    """Each a that b follows, from the left, as one new symbol."""
    at = np.flatnonzero((ids[:-1] == a) & (ids[1:] == b))
    if a == b and len(at):  # of a run of the same, every other pair
        runs = np.cumsum(np.diff(at, prepend=at[0] - 2) > 1)
        first = at[np.searchsorted(runs, runs)]
        at = at[(at - first) % 2 == 0]
    ids = ids.copy()
    ids[at] = new
    return np.delete(ids, at + 1)


def _spelled(content: str, kind: str) -> str:
    return content.encode().decode("latin-1") if kind == "bytes" else content


def _numbers(plain: str, symbols: Sequence[str]) -> np.ndarray:
    """The number of each character; -1 where there is none."""
    points = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), np.uint32)
    single = [(ord(symbol), i) for i, symbol in enumerate(symbols) if len(symbol) == 1]
    table = np.full(max([point for point, _ in single], default=0) + 2, -1, np.int32)
    for point, i in single:
        table[point] = i
    return table[np.minimum(points, len(table) - 1)]


def encode(vocabulary: Vocabulary, content: str, where: str = "") -> np.ndarray:
    """The numbers of the symbols of a text, (n,) int32.

    Args:
      where: the text is, for the error.

    Raises:
      InputError: it holds a symbol that the vocabulary lacks; line and column are named.
    """
    plain = _spelled(content, vocabulary.kind)
    ids = _read(vocabulary, plain)
    if (ids < 0).any():
        first = int(np.argmax(ids < 0))
        line, column = plain.count("\n", 0, first) + 1, first - plain.rfind("\n", 0, first)
        raise InputError(
            f"{where}line {line}, column {column}: {plain[first]!r} is none of the {len(vocabulary.symbols)} symbols "
            "of this model: take it out, or train with it"
        )
    return ids


def counted(vocabulary: Vocabulary, content: str) -> np.ndarray:
    """How often each symbol stands in a text, as `encode` reads it, (symbols,); what is none counts for nothing.

    A text that was drawn may be of other pairs, or of bytes that are no text, so that `encode` would refuse it.
    """
    ids = _read(vocabulary, _spelled(content, vocabulary.kind))
    return np.bincount(ids[ids >= 0], minlength=len(vocabulary.symbols))


def _read(vocabulary: Vocabulary, plain: str) -> np.ndarray:
    """The numbers of the symbols of a text, -1 of what is none."""
    ids = _numbers(plain, vocabulary.symbols[: len(vocabulary.symbols) - len(vocabulary.merges)])
    base = len(vocabulary.symbols) - len(vocabulary.merges) - (vocabulary.end >= 0)
    for i, (a, b) in enumerate(vocabulary.merges):
        ids = _merged(ids, a, b, base + i)
    return ids


def decode(vocabulary: Vocabulary, ids: np.ndarray, mask: str = "_") -> str:
    """The text of numbers of symbols (n,), up to the end; what is no symbol, such as [MASK], is `mask`."""
    ids = np.asarray(ids).astype(int)
    if vocabulary.end >= 0 and (ends := np.flatnonzero(ids == vocabulary.end)).size:
        ids = ids[: ends[0]]
    known = range(len(vocabulary.symbols))
    plain = "".join(vocabulary.symbols[i] if i in known else mask for i in ids)
    return plain.encode("latin-1", "replace").decode(errors="replace") if vocabulary.kind == "bytes" else plain
