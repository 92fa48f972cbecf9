"""Words: captions as a network of Stable Diffusion 1 and 2 is told them, by the text encoder of the same folder."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxdiff.data.tokenizer import encode, load_tokenizer
from jaxdiff.errors import InputError
from jaxdiff.interop.clip import read_clip
from jaxdiff.types import Condition

__all__ = ["read_words"]

logger = logging.getLogger(__name__)


def read_words(folder: str | Path) -> Callable[[Sequence[str]], Condition]:
    """The function from captions to the condition "context": the encoder's last states, of the padding, too.

    Args:
      folder: with text_encoder/ and tokenizer/.

    Raises:
      InputError: one of them is missing or cannot be read; or there are two encoders, as in XL.
    """
    folder = Path(folder)
    if (folder / "text_encoder_2").is_dir():
        raise InputError(f"{str(folder)!r} has two text encoders, which are not read: give the words as arrays")
    net, params = read_clip(folder / "text_encoder")
    tokenizer = load_tokenizer(folder / "tokenizer")
    run = jax.jit(lambda params, ids: net.apply({"params": params}, ids)[0])

    def words(captions: Sequence[str]) -> Condition:
        ids, cut = encode(tokenizer, captions, net.length)
        if cut:
            logger.warning("%d of the captions have more than %d pieces, and were cut", cut, net.length - 2)
        return {"context": run(params, jnp.asarray(ids))}

    return words
