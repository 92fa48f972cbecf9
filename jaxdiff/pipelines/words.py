"""Words: captions as a network of Stable Diffusion 1, 2 and XL is told them, by the text encoders of the same model."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.config.schema import check_value
from jaxdiff.data.tokenizer import Tokenizer, encode, installed_vocabulary, load_tokenizer
from jaxdiff.errors import InputError
from jaxdiff.interop import ldm
from jaxdiff.interop.clip import read_clip, read_clip_part, read_open_clip
from jaxdiff.interop.settings import read_json
from jaxdiff.interop.weights import opened
from jaxdiff.pipelines.foreign import INDEX
from jaxdiff.types import Array, Condition, Params

__all__ = ["no_words", "read_words"]

PREFIXES = (ldm.CLIP, ldm.OPEN_CLIP, ldm.CLIP_XL, ldm.OPEN_CLIP_XL)
logger = logging.getLogger(__name__)


class Encoder(NamedTuple):
    """A text encoder: `(params, ids) -> (sequence, pooled)`, its parameters, the length of a caption, its tokenizer."""

    run: Callable[[Params, Array], tuple[Array, Array]]
    params: Params
    length: int
    tokenizer: Tokenizer


def read_words(
    path: str | Path, tokenizer: str | Path = "", skip: int = 0, chunks: int = 1
) -> Callable[[Sequence[str | None]], Condition]:
    """The function from captions to the condition "context": the encoder's last states, of the padding, too.

    Of XL, the states before the last block of both encoders side by side, and beside them "pooled", the second one's
    vector for the whole caption. A caption None stands for zeros, which XL is told where nothing is to be avoided.

    Args:
      path: a folder with text_encoder/ and tokenizer/, of XL also text_encoder_2/ and tokenizer_2/; or a single file.
      tokenizer: of a single file, which holds none: a folder with CLIP's, by default tokenizer/ beside the file, or
        else the vocabulary of an installed open_clip.
      skip: blocks at the end of the encoders that are left out ("clip skip").
      chunks: of 75 pieces each, in which longer captions are read one by one, each between a start and an end of its
        own; their states are laid one after another, and the vector is that of the first. Shorter captions end in
        empty chunks. What does not fit is cut, and it is said.

    Raises:
      InputError: one of them is missing or cannot be read.
    """
    path = Path(path)
    if tokenizer and not path.is_file():
        raise InputError(f"tokenizer={str(tokenizer)!r}: {str(path)!r} has its own: leave it out")
    check_value("chunks", chunks, int, 1)
    encoders = _of_file(path, tokenizer, skip) if path.is_file() else _of_folder(path, skip)

    def words(captions: Sequence[str | None]) -> Condition:
        known = jnp.asarray([caption is not None for caption in captions], jnp.float32)
        states = [_read(encoder, [caption or "" for caption in captions], chunks) for encoder in encoders]
        condition = {"context": known[:, None, None] * jnp.concatenate([sequence for sequence, _ in states], axis=-1)}
        return condition | ({"pooled": known[:, None] * states[-1][1]} if len(states) > 1 else {})

    return words


def no_words(path: str | Path) -> str | None:
    """The caption that stands for none: "", but of XL None, zeros, unless its folder says otherwise."""
    path = Path(path)
    if path.is_file():
        return None if ldm.CLIP_XL in _prefixes(path) else ""
    zeros = (path / "text_encoder_2").is_dir() and read_json(path / INDEX).get("force_zeros_for_empty_prompt", True)
    return None if zeros else ""


def _prefixes(file: Path) -> list[str]:
    """Those of the text encoders in a file."""
    with opened(file) as stored:
        return [prefix for prefix in PREFIXES if any(name.startswith(prefix) for name in stored)]


def _read(encoder: Encoder, captions: Sequence[str], chunks: int) -> tuple[Array, Array]:
    """The states (n, chunks * length, width), and the vectors (n, width)."""
    most = chunks * (encoder.length - 2)
    ids, cut = encode(encoder.tokenizer, captions, most + 2)
    if cut:
        logger.warning("%d of the captions have more than %d pieces, and were cut", cut, most)
    sequence, pooled = encoder.run(encoder.params, jnp.asarray(_in_chunks(encoder, ids, chunks)))
    joined = lambda states: states.reshape(len(ids), -1, states.shape[-1])
    return joined(sequence), joined(pooled)[:, 0]


def _in_chunks(encoder: Encoder, ids: np.ndarray, chunks: int) -> np.ndarray:
    """Captions' ids, (n, start, pieces, end and padding), as a row for each chunk, (n * chunks, length)."""
    start, end, pad = encoder.tokenizer.start, encoder.tokenizer.end, encoder.tokenizer.pad
    rows = np.full((len(ids), chunks, encoder.length), pad, np.int32)
    for caption, row in zip(ids, rows, strict=True):
        pieces = caption[1 : np.argmax(caption == end)]
        for i, chunk in enumerate(row):
            part = pieces[i * (encoder.length - 2) : (i + 1) * (encoder.length - 2)]
            chunk[: len(part) + 2] = [start, *part, end]
    return rows.reshape(-1, encoder.length)


def _encoder(net, params: Params, tokenizer: Tokenizer, several: bool, skip: int) -> Encoder:
    """An encoder that is the only one, or one of several, whose last block and norm the words do without."""
    net = net.clone(skip=skip + several, plain=several)
    if not 0 <= skip < net.depth - several:
        raise InputError(f"skip={skip}: must be from 0 to {net.depth - several - 1}, to leave a block")
    highest = int(np.max([tokenizer.vocabulary - 1, tokenizer.pad]))
    if highest >= net.vocabulary:
        raise InputError(f"a tokenizer of {highest + 1} pieces for a text encoder of {net.vocabulary}: they do not fit")
    run = jax.jit(lambda params, ids: net.apply({"params": params}, ids))
    return Encoder(run, params, net.length, tokenizer)


def _of_folder(folder: Path, skip: int) -> list[Encoder]:
    several = (folder / "text_encoder_2").is_dir()
    encoders = []
    for end in ("", "_2")[: 1 + several]:
        net, params = read_clip(folder / f"text_encoder{end}", projected=bool(end))
        encoders.append(_encoder(net, params, load_tokenizer(folder / f"tokenizer{end}"), several, skip))
    return encoders


def _of_file(file: Path, tokenizer: str | Path, skip: int) -> list[Encoder]:
    """OpenCLIP's padding is 0, and OpenAI's the end of a caption."""
    there = _prefixes(file)
    if not there or (ldm.CLIP_XL in there) != (ldm.OPEN_CLIP_XL in there):
        raise InputError(f"{str(file)!r} has no text encoder: give the words as arrays")
    beside = file.parent / "tokenizer"
    found = tokenizer or (beside if beside.is_dir() else installed_vocabulary())
    if not found:
        raise InputError(
            f"{str(file)!r} holds no tokenizer: name a folder with CLIP's vocab.json and merges.txt (tokenizer=), put "
            f"it at {str(beside)!r}, or install open_clip_torch, which has the vocabulary"
        )
    read = load_tokenizer(found)
    encoders = []
    for prefix in there:
        if prefix in (ldm.CLIP, ldm.CLIP_XL):
            (net, params), own = read_clip_part(file, prefix), read._replace(pad=read.end)
        else:
            (net, params), own = read_open_clip(file, prefix, prefix == ldm.OPEN_CLIP_XL), read._replace(pad=0)
        encoders.append(_encoder(net, params, own, len(there) > 1, skip))
    return encoders
