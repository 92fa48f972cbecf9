"""Infill: draw what is unknown of texts or of rows of a table, and keep what is known."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdiff.discrete import product
from jaxdiff.discrete.denoiser import LEAST
from jaxdiff.discrete.process import Replacement
from jaxdiff.discrete.product import Product
from jaxdiff.discrete.samplers import infill as filled
from jaxdiff.errors import InputError
from jaxdiff.modalities import require
from jaxdiff.modalities.tables.spec import mixed_columns
from jaxdiff.modalities.text.spec import vocabulary_of
from jaxdiff.modalities.text.vocabulary import encode
from jaxdiff.pipelines.common import draw_with
from jaxdiff.pipelines.hooks import Hooks, Inputs
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite, is_whole
from jaxdiff.types import Array, Key

__all__ = ["impute", "infill", "infill_symbols"]


def _keep_symbols(process, denoiser, sampler, inputs):
    return filled(process, sampler, inputs.each["known"], inputs.each["free"])


def _go_on(process, denoiser, inputs):
    def denoise(x_t, t):
        p = denoiser(x_t, t)
        ends = jnp.arange(process.symbols) == process.symbols - 1
        others = jnp.where(ends, 0, jnp.maximum(p, LEAST))
        return jnp.where(inputs.each["inside"][..., None], others / others.sum(-1, keepdims=True), p)

    return denoise


def _keep_parts(process, denoiser, sampler, inputs):
    known, free = product.parted(process, inputs.each["known"]), inputs.each["free"]
    count = known["numbers"].shape[-1]
    parts = {"numbers": free[:, :count], "symbols": free[:, count:]}
    return product.replaced(process, sampler, known, parts, inputs.shared["repeats"])


SYMBOLS, PARTS = Hooks(guide=_go_on, steer=_keep_symbols), Hooks(steer=_keep_parts)


def infill(model: Model, key: Key, texts: Sequence[str], blank: str = "_", **options: Any) -> np.ndarray:
    """Fill the blanks of texts, an array of strings (n,).

    Args:
      texts: each of as many symbols as the model's, or fewer, which leaves the rest to it; each blank is one symbol.
      blank: a character that stands for one unknown symbol.
      **options: those of `Model.sample`; a class that is not given is unknown.

    Raises:
      InputError: the model is not of text in characters, a text is too long, or nothing is left to draw.
    """
    require("text", model.spec, "infill")
    vocabulary, length = vocabulary_of(model.spec), model.shape[0]
    if vocabulary.kind != "characters" or len(blank) != 1:
        raise InputError(f"blank={blank!r}: must be one character, and the symbols of the model characters too")
    if not len(texts):
        raise InputError("texts: give at least one")
    known, free = np.zeros((len(texts), length), np.int32), np.ones((len(texts), length), bool)
    for i, text in enumerate(texts):
        if len(text) > length:
            raise InputError(f"text {i + 1}: has {len(text)} symbols, and this model takes {length}")
        given = np.array([character != blank for character in text], bool)
        placed = text.replace(blank, vocabulary.symbols[0])
        ids = encode(vocabulary, placed, f"text {i + 1}, ")
        known[i, : len(text)], free[i, : len(text)] = ids, ~given
    return model.codec.decode(finite(np.asarray(infill_symbols(model, key, known, free, **options)), "texts"))


def infill_symbols(model: Model, key: Key, known: np.ndarray, free: np.ndarray, **options: Any) -> Array:
    """Draw the free positions of sequences of symbols; no end is drawn before what is known, which it would cut off.

    Args:
      known: (n, positions), whole numbers; what stands at a free position does not matter.
      free: (n, positions) or (positions,), whether it is to be drawn.

    Raises:
      InputError: shapes that do not fit, unknown symbols, or nothing that is free.
    """
    if not isinstance(model.path, Replacement):
        raise InputError("infill_symbols: is for models of symbols: take `inpaint` of images, `impute` of tables")
    known, free = np.asarray(known), _checked(free, np.shape(known), model.shape)
    if known.dtype.kind not in "iu" or (np.where(free, 0, known) < 0).any():
        raise InputError("known: must be whole numbers of symbols, from 0 on")
    if (np.where(free, 0, known) >= model.path.symbols).any():
        raise InputError(f"known: holds {known.max()}, and this model has {model.path.symbols} symbols, from 0 on")
    end = vocabulary_of(model.spec).end if model.spec.details else -1
    there = ~free & (known != end) & (end >= 0)
    inside = np.flip(np.cumsum(np.flip(there, 1), 1), 1) > there  # what is known further on
    each = {"known": jnp.asarray(known, jnp.int32), "free": jnp.asarray(free), "inside": jnp.asarray(inside)}
    inputs = Inputs(each=each)
    return draw_with(model, key, len(known), SYMBOLS, inputs, **options)


def impute(
    model: Model, key: Key, table: np.ndarray, free: np.ndarray, repeats: int = 10, **options: Any
) -> np.ndarray:
    """Draw unknown cells of rows of a table of mixed columns, and keep the others.

    Args:
      table: (n, columns), as `Model.sample` returns rows; what stands in a free cell does not matter.
      free: (n, columns) or (columns,), whether a cell is to be drawn.
      repeats: of each step (`jaxdiff.discrete.product.replaced`): more follow known numbers better, and take longer.
      **options: those of `Model.sample`; a class that is not given is unknown.

    Raises:
      InputError: shapes that do not fit, known cells that are none of their column, nothing that is free, or no class
        for a model that was never without.
    """
    if not isinstance(model.path, Product):
        raise InputError("impute: is for tables of mixed columns: train one with configs/tables.py")
    columns = mixed_columns(model.spec)
    table = np.asarray(table, np.float64)
    free = _checked(free, table.shape, (len(columns),))
    if not is_whole(repeats):
        raise InputError(f"repeats={repeats}: must be a whole number from 1 on")
    numbers = [i for i, column in enumerate(columns) if column.kind == "number"]
    categories = [i for i, column in enumerate(columns) if column.kind == "category"]
    order = numbers + categories + [i for i in numbers if columns[i].missing is not None]
    known = model.codec.encode(np.where(free, 0, table))
    places = free[:, order] if len(order) == model.shape[0] else np.pad(free[:, order], ((0, 0), (0, 1)))
    each = {"known": jnp.asarray(known), "free": jnp.asarray(places)}
    drawn = draw_with(model, key, len(table), PARTS, Inputs(each, {"repeats": jnp.int32(repeats)}), **options)
    return np.where(free, model.codec.decode(finite(np.asarray(drawn), "rows")), table)  # NaN would be a missing cell


def _checked(free: np.ndarray, shape: tuple[int, ...], own: tuple[int, ...]) -> np.ndarray:
    """What is free, (n, ...), of an input of a shape, for a model of examples of its own."""
    free = np.asarray(free)
    if len(shape) != 2 or shape[1:] != own or not shape[0] or free.shape not in (shape, own):
        raise InputError(f"known of shape {shape}, free of shape {free.shape}: this model takes (n, {own[0]}) of both")
    free = np.broadcast_to(free.astype(bool), shape)
    if not free.any(1).all():
        raise InputError(f"free: row {int(np.argmin(free.any(1))) + 1} is known as a whole: leave something to draw")
    return free
