"""Tokenizer: captions as rows of ids, by byte-pair encoding (Sennrich et al. 2016) of the library `tokenizers`.

A caption becomes one id for its start, those of its pieces, one for its end, and padding up to a fixed length. Two
kinds of tokenizer differ in how a text falls into words before pairs are merged:

    trained here   NFC and lower case, then GPT-2's words, which keep their spaces: decoding gives back every character
    CLIP's         NFC, one space for each run of white space, lower case; words end in "</w>"

A run's record keeps the whole tokenizer (`details`), so that a model folder reads prompts by itself.
"""

import functools
import gzip
import importlib.util
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdiff.errors import InputError

__all__ = [
    "Tokenizer",
    "decode",
    "details_of",
    "encode",
    "from_details",
    "installed_vocabulary",
    "load_tokenizer",
    "train_tokenizer",
]

logger = logging.getLogger(__name__)

START, END, PAD = "<|startoftext|>", "<|endoftext|>", "<|pad|>"
VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""CLIP's."""


class Tokenizer(NamedTuple):
    """A tokenizer and the ids around a caption.

    Attributes:
      core: of the library `tokenizers`.
      start, end, pad: ids.
    """

    core: Any
    start: int
    end: int
    pad: int

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        return self.core.get_vocab_size()


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise InputError("captions need the library `tokenizers`: pip install 'jaxdiff[text]'") from error
    return tokenizers


def train_tokenizer(captions: Iterable[str], vocabulary: int = 1024) -> Tokenizer:
    """Train a byte-pair tokenizer.

    Args:
      captions: what to train on.
      vocabulary: ids at most: 3 special ones, 256 bytes, and a merged pair each.

    Raises:
      InputError: fewer than 259.
    """
    if vocabulary < 259:
        raise InputError(f"vocabulary={vocabulary}: 256 bytes and 3 special ids need at least 259")
    library = _library()
    core = library.Tokenizer(library.models.BPE())
    core.normalizer = library.normalizers.Sequence([library.normalizers.NFC(), library.normalizers.Lowercase()])
    core.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary,
        show_progress=False,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
    )
    core.train_from_iterator(captions, trainer)
    return _ready(core, 1, 2, 0)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read a tokenizer of CLIP's kind: a folder, or a file, with tokenizer.json, or vocab.json and merges.txt.

    Or the vocabulary that comes with CLIP's own code, bpe_simple_vocab_16e6.txt.gz.

    The padding is that of tokenizer_config.json, where there is one, and else the end.

    Raises:
      InputError: no such files, merges that do not fit the vocabulary, or no start and end in it.
    """
    place = Path(path)
    folder = place if place.is_dir() else place.parent
    if not place.exists():
        raise InputError(
            f"no tokenizer at {str(path)!r}: name a folder with tokenizer.json, or vocab.json and merges.txt"
        )
    try:
        if place.suffix == ".gz":
            core, folder = _clip(*_published(place), str(place)), place  # beside which there is no configuration
        elif (folder / "tokenizer.json").is_file():
            core = _library().Tokenizer.from_str((folder / "tokenizer.json").read_text())
        else:
            vocabulary = json.loads((folder / "vocab.json").read_text())
            lines = (folder / "merges.txt").read_text().splitlines()
            merges = [tuple(line.split()) for line in lines if line.strip() and not line.startswith("#version")]
            core = _clip(vocabulary, merges, str(folder))
        config = folder / "tokenizer_config.json"
        pad = json.loads(config.read_text()).get("pad_token") if config.is_file() else None
    except InputError:
        raise
    except Exception as error:  # `tokenizers` raises plain ones
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"no tokenizer at {str(path)!r}, tokenizer.json or vocab.json and merges.txt: {reason}"
        ) from error
    pad = pad["content"] if isinstance(pad, Mapping) else pad or END
    start, end, padding = map(core.token_to_id, (START, END, pad))
    if None in (start, end, padding):
        raise InputError(f"the vocabulary at {str(path)!r} lacks one of {START}, {END} and {pad}: CLIP's has them")
    return _ready(core, start, end, padding)


def installed_vocabulary() -> str:
    """The path of CLIP's vocabulary in an installed open_clip; empty without one."""
    found = importlib.util.find_spec("open_clip")
    file = Path(found.origin).parent / VOCABULARY if found and found.origin else None
    return str(file) if file and file.is_file() else ""


def _published(file: Path) -> tuple[dict[str, int], list[tuple[str, ...]]]:
    """The vocabulary and the merges of the file of CLIP's code: letters, letters that end a word, and merged pairs."""
    lines = gzip.decompress(file.read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49_152 - 256 - 2 + 1] if line]
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in seen] + [chr(256 + i) for i in range(256 - len(seen))]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(m) for m in merges), START, END]
    return {token: i for i, token in enumerate(tokens)}, merges


def _clip(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, ...]], where: str) -> Any:
    """The tokenizer of CLIP with these files, as transformers builds it."""
    for merge in merges:
        if len(merge) != 2 or any(part not in vocabulary for part in (*merge, "".join(merge))):
            raise InputError(
                f"{where!r}: the merge {' '.join(merge)!r} of merges.txt does not fit vocab.json: take both files of "
                "one tokenizer"
            )
    library = _library()
    model = library.models.BPE(
        vocab=dict(vocabulary),
        merges=[(a, b) for a, b in merges],
        continuing_subword_prefix="",
        end_of_word_suffix="</w>",
        fuse_unk=False,
        unk_token=END,
    )
    core = library.Tokenizer(model)
    normal, before = library.normalizers, library.pre_tokenizers
    space = normal.Replace(library.Regex(r"\s+"), " ")
    core.normalizer = normal.Sequence([normal.NFC(), space, normal.Lowercase()])
    words = before.Split(library.Regex(WORDS), behavior="removed", invert=True)
    core.pre_tokenizer = before.Sequence([words, before.ByteLevel(add_prefix_space=False)])
    core.decoder = library.decoders.ByteLevel()
    core.add_special_tokens([token for token in (START, END) if token in vocabulary])
    return core


def _ready(core: Any, start: int, end: int, pad: int) -> Tokenizer:
    """A tokenizer that adds nothing by itself; what stands for special ids in a text is text, but in CLIP's."""
    core.no_padding()
    core.no_truncation()
    core.encode_special_tokens = core.token_to_id(PAD) is not None
    return Tokenizer(core, start, end, pad)


def encode(tokenizer: Tokenizer, captions: Sequence[str], length: int) -> tuple[np.ndarray, int]:
    """The ids of captions, (n, length), int32, and how many of them were cut to that length."""
    ids = np.full((len(captions), length), tokenizer.pad, np.int32)
    cut = 0
    for row, found in zip(ids, tokenizer.core.encode_batch(list(captions), add_special_tokens=False), strict=True):
        inner = found.ids[: length - 2]
        cut += len(found.ids) > len(inner)
        row[: len(inner) + 2] = [tokenizer.start, *inner, tokenizer.end]
    return ids, cut


def decode(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    """The text between start and end; of CLIP's tokenizer a space stands after each word."""
    inner = []
    for i in map(int, ids):
        if i == tokenizer.end:
            break
        if i != tokenizer.start:
            inner.append(i)
    return tokenizer.core.decode(inner, skip_special_tokens=False).replace("</w>", " ")


def details_of(tokenizer: Tokenizer, length: int) -> dict[str, Any]:
    """Plain data from which `from_details` makes the tokenizer again, with the length of its captions."""
    ids = {"start": tokenizer.start, "end": tokenizer.end, "pad": tokenizer.pad}
    return {"tokenizer": tokenizer.core.to_str(), "vocabulary": tokenizer.vocabulary, "length": length, **ids}


def from_details(details: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of `details_of`.

    Raises:
      InputError: they are damaged.
    """
    try:
        return _ready(_parsed(details["tokenizer"]), details["start"], details["end"], details["pad"])
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"the tokenizer of this record cannot be read: {' '.join(str(error).split())[:300]}"
        ) from error


@functools.lru_cache(maxsize=8)
def _parsed(text: str) -> Any:
    return _library().Tokenizer.from_str(text)
