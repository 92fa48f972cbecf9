"""What one example of text is: the numbers of so many symbols, and the vocabulary that gives them meaning."""

from collections.abc import Sequence

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.text.vocabulary import KINDS, Vocabulary, decode, encode
from jaxdiff.types import Codec, Spec

__all__ = ["AXES", "RANGE", "encoded", "make_codec", "text_spec", "vocabulary_of"]

AXES = ("positions",)
RANGE = (None, None)


def text_spec(vocabulary: Vocabulary, law: np.ndarray, length: int) -> Spec:
    """A sequence of `length` symbols; law (symbols,) has their frequencies."""
    details = {
        "kind": vocabulary.kind,
        "vocabulary": list(vocabulary.symbols),
        "merges": [list(map(int, pair)) for pair in vocabulary.merges],
        "law": np.asarray(law, np.float64).tolist(),
    }
    return Spec((length,), "text", details=details)


def vocabulary_of(spec: Spec) -> Vocabulary:
    """The vocabulary that the details of a specification hold.

    Raises:
      InputError: they hold none.
    """
    details = spec.details
    try:
        kind, symbols, merges = details["kind"], list(details["vocabulary"]), [list(m) for m in details["merges"]]
        law = np.asarray(details["law"], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"details of text: {type(error).__name__} {error}: they hold no vocabulary") from error
    fits = kind in KINDS and all(isinstance(symbol, str) for symbol in symbols) and law.shape == (len(symbols),)
    fits = fits and len(merges) < max(len(symbols), 1) and np.isfinite(law).all() and (law >= 0).all() and law.sum() > 0
    base = len(symbols) - len(merges) - (bool(symbols) and symbols[-1] == "")
    fits = fits and all(
        len(m) == 2 and all(isinstance(i, int) and 0 <= i < base + place for i in m) for place, m in enumerate(merges)
    )
    if not fits:
        raise InputError("details of text: are not those of a vocabulary with its frequencies")
    return Vocabulary(kind, symbols, merges)


def make_codec(spec: Spec) -> Codec:
    """From texts, an array of strings (n,), to numbers (n, positions), and back; without details the identity.

    Raises:
      InputError: details that are no vocabulary.
    """
    if not spec.details:
        return Codec()
    vocabulary, length = vocabulary_of(spec), spec.shape[0]
    width = max(1, length * max(map(len, vocabulary.symbols)))

    def decoded(x):
        return np.array([decode(vocabulary, row) for row in np.asarray(x).reshape(-1, length)], f"<U{width}")

    return Codec(lambda texts: encoded(vocabulary, texts, length), decoded)


def encoded(vocabulary: Vocabulary, texts: Sequence[str] | np.ndarray, length: int, where: str = "text") -> np.ndarray:
    """Texts as rows of numbers, (n, length) int32; shorter ones are filled up, where the vocabulary has an end.

    Raises:
      InputError: a text has another number of symbols, or symbols that are unknown.
    """
    rows = np.full((len(texts), length), vocabulary.end, np.int32)
    for i, one in enumerate(texts):
        ids = encode(vocabulary, str(one), f"{where} {i + 1}, ")
        if len(ids) > length or (len(ids) < length and vocabulary.end < 0):
            raise InputError(f"{where} {i + 1}: has {len(ids)} symbols, and this model takes {length}")
        rows[i, : len(ids)] = ids
    return rows
