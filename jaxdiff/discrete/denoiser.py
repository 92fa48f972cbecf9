"""Denoisers of symbols: `(x_t, t) -> E[one-hot(x_0) | x_t]`, probabilities (batch, positions, symbols).

From denoiser to denoiser:

    tempered      p^(1 / temperature), normalized
    nucleus       the likeliest symbols, that together have the probability `mass` (Holtzman et al. 2020)
    guided        log p = log p_without + scale (log p_with - log p_without), normalized (Ho and Salimans 2022; of
                  symbols: Nisonoff et al. 2024; Schiff et al. 2024)

`enumerated` is the exact denoiser of a law over sequences that are listed one by one: an oracle.
"""

import jax
import jax.numpy as jnp

from jaxdiff.discrete.parameterization import Symbols, log_probabilities
from jaxdiff.discrete.process import Replacement
from jaxdiff.types import Array, Condition, Denoiser, Network, Params, as_time, expand

__all__ = ["enumerated", "guided", "log_density", "make_denoiser", "nucleus", "tempered"]

LEAST = 1e-30


def make_denoiser(
    process: Replacement,
    parameterization: Symbols,
    network: Network,
    params: Params,
    condition: Condition | None = None,
) -> Denoiser:
    """The denoiser that a network is; t is a scalar or (batch,)."""

    def denoise(x_t, t):
        t = jnp.broadcast_to(as_time(t, x_t), x_t.shape[:1])
        return jnp.exp(log_probabilities(process, parameterization, network, params, x_t, t, condition))

    return denoise


def tempered(denoiser: Denoiser, temperature: float | Array) -> Denoiser:
    """Sharper below 1, flatter above."""

    def denoise(x_t, t):
        p = denoiser(x_t, t)
        return jax.nn.softmax(jnp.where(p > 0, jnp.log(jnp.maximum(p, LEAST)) / temperature, -jnp.inf), axis=-1)

    return denoise


def nucleus(denoiser: Denoiser, mass: float | Array) -> Denoiser:
    """Leaves out the unlikeliest symbols, as long as the others have together at least the probability `mass`."""

    def denoise(x_t, t):
        p = denoiser(x_t, t)
        falling = -jnp.sort(-p, axis=-1)
        needed = jnp.cumsum(falling, axis=-1) - falling < mass
        # Of any mass, also of 0, the likeliest stays.
        least = jnp.min(jnp.where(needed, falling, falling[..., :1]), axis=-1, keepdims=True)
        kept = jnp.where(p >= least, p, 0)
        return kept / kept.sum(-1, keepdims=True)

    return denoise


def guided(conditional: Denoiser, unconditional: Denoiser, scale: float | Array) -> Denoiser:
    """Leads towards the condition: scale 0 is the unconditional denoiser, 1 the conditional one."""

    def denoise(x_t, t):
        p, q = conditional(x_t, t), unconditional(x_t, t)
        log_p, log_q = jnp.log(jnp.maximum(p, LEAST)), jnp.log(jnp.maximum(q, LEAST))
        return jax.nn.softmax(jnp.where((p > 0) | (q > 0), log_q + scale * (log_p - log_q), -jnp.inf), axis=-1)

    return denoise


def enumerated(process: Replacement, sequences: Array, law: Array) -> Denoiser:
    """The exact denoiser of sequences (n, positions) that have the probabilities `law`, (n,)."""
    sequences = jnp.asarray(sequences)
    one_hot = jax.nn.one_hot(sequences, process.symbols)

    def denoise(x_t, t):
        r = jax.nn.softmax(_joint(process, sequences, law, x_t, t), axis=1)
        return jnp.einsum("bn,nlk->blk", r, one_hot)

    return denoise


def log_density(process: Replacement, sequences: Array, law: Array, x_t: Array, t: Array) -> Array:
    """log q(x_t), (batch,) in nats, for data of the same law."""
    return jax.nn.logsumexp(_joint(process, jnp.asarray(sequences), law, x_t, t), axis=1)


def _joint(process: Replacement, sequences: Array, law: Array, x_t: Array, t: Array) -> Array:
    """log law(x_0) q(x_t | x_0), (batch, n)."""
    alpha = expand(process.alpha(as_time(t, x_t)), x_t)[..., None] * jnp.ones((*x_t.shape, 1))
    base = (jax.nn.one_hot(x_t, process.states) * process.base).sum(-1)
    same = x_t[:, None] == sequences
    q = alpha[..., 0][:, None] * same + ((1 - alpha[..., 0]) * base)[:, None]
    return jnp.log(jnp.asarray(law)) + jnp.log(jnp.maximum(q, LEAST)).sum(-1)
