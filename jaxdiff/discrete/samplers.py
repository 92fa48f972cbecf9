"""Samplers of symbols: `(process, denoiser) -> Sampler(init, step)`, run by `jaxdiff.samplers.sample`.

    ancestral_symbols   every position alone by p(x_s | x_t); exact for many steps, of order 1 in the total variation
    first_hitting       one mask at a time, at the random times of the exact reverse process: no error of the grid
                        (Zheng et al. 2024, section 4)
    most_confident      as many masks as the process would leave, the surest symbols first (Chang et al. 2022, MaskGIT;
                        Nie et al. 2025, LLaDA): sharper than the law of the model

A step of `ancestral_symbols` makes two draws a position: whether the symbol changes, and to what. One draw of a
float32 Gumbel over both, as in the code of several papers, changes too few, and lowers the temperature unnoticed
(Zheng et al. 2024, section 5).

With `block`, blocks of so many positions are drawn one after the other, from the left (Arriola et al. 2025; Nie et al.
2025): each has a clock of its own, which runs from 1 to 0 while the others stand still.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdiff.discrete.denoiser import LEAST, nucleus, tempered
from jaxdiff.discrete.losses import share_time
from jaxdiff.discrete.process import Replacement, categorical, perturb, posterior
from jaxdiff.errors import InputError
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Denoiser, Key

__all__ = ["Unveiling", "ancestral_symbols", "first_hitting", "infill", "local_time", "most_confident", "redrawn"]


class Unveiling(NamedTuple):
    """The state of `most_confident`: x, and which positions were [MASK] at the start, (batch, positions)."""

    x: Array
    free: Array


def _sharpened(denoiser: Denoiser, temperature: float | Array, top_p: float | Array) -> Denoiser:
    """The denoiser at a temperature, then cut to its nucleus; as it is where both are 1."""

    def cool(p):
        return tempered(lambda x, t: p, temperature)(p, jnp.float32(0))

    def cut(p):
        return nucleus(lambda x, t: p, top_p)(p, jnp.float32(0))

    def denoise(x_t, t):
        p = denoiser(x_t, t)
        p = jax.lax.cond(jnp.asarray(temperature) == 1, lambda p: p, cool, p)
        return jax.lax.cond(jnp.asarray(top_p) >= 1, lambda p: p, cut, p)

    return denoise


def local_time(t: Array, length: int, block: int) -> Array:
    """The clock of each position, (positions,): blocks of so many one after the other; 0 for a single one.

    >>> local_time(jnp.float32(0.75), 4, 2).tolist()
    [0.5, 0.5, 1.0, 1.0]
    """
    if not block:
        return jnp.broadcast_to(t, (length,))
    blocks = -(-length // block)
    return jnp.clip(blocks * t - (blocks - 1 - jnp.arange(length) // block), 0, 1)


def redrawn(process: Replacement, key: Key, x_t: Array, law: Array) -> Array:
    """Draw x_s by its law (batch, positions, states), in two draws: whether it is another than x_t, and which."""
    first, second = jax.random.split(key)
    others = law * (1 - jax.nn.one_hot(x_t, process.states))
    # Of the law's own sum, lest rounding leave a mask that must go; also where the law is NaN, to no symbol.
    changes = ~(process.noise(first, x_t) * law.sum(-1) >= others.sum(-1))
    return jnp.where(changes, categorical(process.noise(second, x_t), others), x_t)


def ancestral_symbols(
    process: Replacement,
    denoiser: Denoiser,
    temperature: float | Array = 1.0,
    top_p: float | Array = 1.0,
    block: int = 0,
) -> Sampler:
    """Draws x_s at every position alone, by `posterior`.

    Args:
      temperature: of the denoiser's probabilities.
      top_p: the mass of the likeliest symbols that are drawn from.
      block: positions that are drawn together, one block after the other; 0 for all.

    Raises:
      InputError: blocks of a process without masks, whose denoiser would have to be told a time for each position.
    """
    if block:
        _require_masks(process, "ancestral_symbols", f" with block={block}")
    sharpened = _sharpened(denoiser, temperature, top_p)

    def step(key, state, t, s):
        x = state.x
        now, then = (jnp.broadcast_to(local_time(time, x.shape[1], block), x.shape) for time in (t, s))
        return State(redrawn(process, key, x, posterior(process, then, now, x, sharpened(x, t))))

    return Sampler(State, step)


def first_hitting(
    process: Replacement, denoiser: Denoiser, temperature: float | Array = 1.0, top_p: float | Array = 1.0
) -> Sampler:
    """Draws one mask after the other, each at the time at which the reverse process would; as many calls as masks.

    With n masks left at a share 1 - alpha = a of masks, the next falls at a u^(1/n), u uniform, and is any of them. The
    grid only says where to stop and look: one step will do.

    Args:
      temperature, top_p: see `ancestral_symbols`.

    Raises:
      InputError: the process has no masks.
    """
    _require_masks(process, "first_hitting")
    sharpened = _sharpened(denoiser, temperature, top_p)

    def step(key, state, t, s):
        floor = 1 - process.alpha(s)

        def unveil(carry):
            i, x, share, _ = carry
            when, where, what = jax.random.split(jax.random.fold_in(key, i), 3)
            hidden = x == process.symbols
            count, one = hidden.sum(-1), x[:, :1]
            share = share * process.noise(when, one)[:, 0] ** (1 / jnp.maximum(count, 1))
            hits = (count > 0) & ((share > floor) | (floor <= 0))
            place = categorical(process.noise(where, one)[:, 0], jnp.asarray(hidden, jnp.float32))
            p = sharpened(x, share_time(process.alpha, share))
            p = jnp.take_along_axis(p, place[:, None, None], axis=1)[:, 0]
            symbol = categorical(process.noise(what, one)[:, 0], p)
            here = hits[:, None] & (jnp.arange(x.shape[1]) == place[:, None])
            return i + 1, jnp.where(here, symbol[:, None], x), share, hits

        start = jnp.full(state.x.shape[:1], 1 - process.alpha(t), jnp.float32)
        on = (state.x == process.symbols).any(-1)
        _, x, _, _ = jax.lax.while_loop(lambda carry: carry[-1].any(), unveil, (0, state.x, start, on))
        return State(x)

    return Sampler(State, step)


def most_confident(
    process: Replacement,
    denoiser: Denoiser,
    temperature: float | Array = 1.0,
    top_p: float | Array = 1.0,
    randomness: float | Array = 0.0,
    block: int = 0,
) -> Sampler:
    """Draws a symbol for every mask, and keeps those of the highest probability; the others stay masks.

    Args:
      temperature, top_p, block: see `ancestral_symbols`.
      randomness: a factor, at time t multiplied by t, on Gumbel noise that is added to the log probabilities by which
        symbols are kept (Chang et al. 2022).

    Raises:
      InputError: the process has no masks.
    """
    _require_masks(process, "most_confident")
    sharpened = _sharpened(denoiser, temperature, top_p)

    def init(x):
        return Unveiling(x, x == process.symbols)

    def step(key, state, t, s):
        x, length = state.x, state.x.shape[1]
        size = block or length
        what, which = jax.random.split(key)
        p = sharpened(x, t)
        drawn = categorical(process.noise(what, x), p)
        gumbel = -jnp.log(-jnp.log(jnp.maximum(process.noise(which, x), LEAST)))
        sure = jnp.log(jnp.maximum(jnp.take_along_axis(p, drawn[..., None], -1)[..., 0], LEAST))
        hidden = x == process.symbols
        sure = jnp.where(hidden, sure + randomness * t * gumbel, -jnp.inf)
        share = (1 - process.alpha(local_time(s, length, block))) * state.free

        def blocks(values, fill):
            return jnp.pad(values, ((0, 0), (0, -length % size)), constant_values=fill).reshape(len(x), -1, size)

        fewer = blocks(hidden, False).sum(-1) - jnp.round(blocks(share, 0).sum(-1))
        rank = jnp.argsort(jnp.argsort(-blocks(sure, -jnp.inf), axis=-1), axis=-1).reshape(len(x), -1)[:, :length]
        fewer = jnp.repeat(fewer, size, axis=-1)[:, :length]
        return state._replace(x=jnp.where(hidden & (rank < fewer), drawn, x))

    return Sampler(init, step)


def infill(process: Replacement, sampler: Sampler, known: Array, free: Array) -> Sampler:
    """Draws the free positions, and keeps the others; known and free are (batch, positions).

    Of masked processes what is known is seen at all times, and the draws are those of the model given it. Of others
    it is noised to the time of each state, as RePaint does with images, which is an approximation.
    """

    def put(key, x, s):
        fixed = known if process.masks else perturb(process, key, known, s)
        return jnp.where(free, x, fixed)

    def init(x):  # at t = 1 the known symbols of other processes than masked ones are noise, too
        return sampler.init(jnp.where(free, x, known) if process.masks else x)

    def step(key, state, t, s):
        first, second = jax.random.split(key)
        after = sampler.step(first, state, t, s)
        return after._replace(x=put(second, after.x, s))

    return Sampler(init, step)


def _require_masks(process: Replacement, sampler: str, option: str = "") -> None:
    if not process.masks:
        other = "leave it out" if option else "take ancestral_symbols"
        raise InputError(f"sampler {sampler!r}{option}: is for masked processes: {other}")
