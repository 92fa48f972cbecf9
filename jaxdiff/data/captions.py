"""Captions of examples: texts beside a source, which become ids once the network that reads them is known."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxdiff.data.source import Source
from jaxdiff.data.tokenizer import details_of, encode, from_details, load_tokenizer, train_tokenizer
from jaxdiff.errors import InputError
from jaxdiff.types import Batch, ConditionSpec

__all__ = ["captioned", "captioned_by", "ids_of", "text_details", "tokenized", "without_captions"]

logger = logging.getLogger(__name__)


def captioned(source: Source, captions: Sequence[str], where: str) -> Source:
    """A source with a caption for each example.

    Args:
      where: the captions are from, for messages.

    Raises:
      InputError: another number of captions than of examples, or all are empty.
    """
    if len(captions) != source.size:
        raise InputError(f"{where} has {len(captions):,} captions for {source.size:,} examples: give one for each")
    if not any(caption.strip() for caption in captions):
        raise InputError(f"{where}: all captions are empty: write some, or leave them out")
    return source._replace(captions=tuple(captions), known=source.known + "\0".join(captions).encode())


def captioned_by(source: Source, texts: np.ndarray, where: str) -> Source:
    """A source with the captions of an array of texts, (n,), refused if it holds none."""
    if texts.ndim != 1 or texts.dtype.kind != "U":
        raise InputError(f"{where} must hold one text for each example")
    return captioned(source, texts.tolist(), where)


def text_details(
    captions: Sequence[str], length: int = 0, vocabulary: int = 1024, tokenizer: str = ""
) -> dict[str, Any]:
    """The tokenizer of a run and the length of its captions, as `Spec.details["text"]`.

    Args:
      captions: of the data of training.
      length: of a caption in ids, its start and end included; 0 for that of the longest caption, 77 at most.
      vocabulary: ids at most, of a tokenizer that is trained on these captions.
      tokenizer: the path of CLIP's files in place of that (`jaxdiff.data.tokenizer.load_tokenizer`).
    """
    made = load_tokenizer(tokenizer) if tokenizer else train_tokenizer(captions, vocabulary)
    if not length:
        longest = max(len(found.ids) for found in made.core.encode_batch(list(captions), add_special_tokens=False))
        length = min(longest + 2, 77)
    return details_of(made, length)


def ids_of(details: Mapping[str, Any], captions: Sequence[str], what: str) -> np.ndarray:
    """The ids of captions, (n, length), int32; that some were cut is said once for all of them.

    Args:
      details: see `text_details`.
      what: the captions are, for that message.
    """
    length = details["length"]
    ids, cut = encode(from_details(details), captions, length)
    if cut:
        logger.warning("%s: %d of %d are longer than the %d ids that are read: cut", what, cut, len(captions), length)
    return ids


def tokenized(source: Source, details: Mapping[str, Any]) -> Source:
    """A source whose captions are told as the condition "text", ids (length,), by the tokenizer of these details.

    Raises:
      InputError: it has no captions.
    """
    if not source.captions:
        raise InputError("net.text: this data has no captions to be read: set data.captions, or net.text={} for none")
    ids, inner = ids_of(details, source.captions, "captions"), source.take

    def take(indices):
        batch = inner(indices)
        return Batch(batch.x_0, {**(batch.condition or {}), "text": ids[indices]})

    empty = (details["start"], details["end"], *[details["pad"]] * (details["length"] - 2))
    told = ConditionSpec((details["length"],), np.int32, empty, details["vocabulary"])
    spec = source.spec._replace(details={**source.spec.details, "text": dict(details)})
    return source._replace(spec=spec, take=take, conditions={**source.conditions, "text": told})


def without_captions(source: Source) -> Source:
    """The same examples, for a network that reads none."""
    return source._replace(captions=())
