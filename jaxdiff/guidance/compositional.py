"""Compositional guidance: several conditions at once, by "and", "or" and "not" (Liu et al. 2022).

q(x_t) prod_i (q_i(x_t) / q(x_t))^w_i      (1 - sum_i w_i) x̂ + sum_i w_i x̂_i
sum_i w_i q_i(x_t)                         sum_i r_i x̂_i,  r_i ∝ w_i q_i(x_t)
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxdiff.guidance.energy import LogDensity
from jaxdiff.types import Array, Denoiser

__all__ = ["all_of", "any_of"]


def all_of(unconditional: Denoiser, conditionals: Sequence[Denoiser], scales: Sequence[float] | Array) -> Denoiser:
    """All conditions at once, each with a scale of its own; a negative scale means "not" (Liu et al. 2022).

    The density q prod_i (q_i / q)^w_i: for independent conditions and scales of 1, the one that knows all of them.
    """

    def denoise(x_t, t):
        left = unconditional(x_t, t)
        guided = (1 - sum(scales)) * left
        for scale, conditional in zip(scales, conditionals, strict=True):
            guided = guided + scale * conditional(x_t, t)
        return guided

    return denoise


def any_of(denoisers: Sequence[Denoiser], log_densities: LogDensity) -> Denoiser:
    """One condition or another: the denoiser of a mixture.

    Args:
      log_densities: `(x_t, t) -> (batch, conditions)`: log w_i q_i(x_t), up to what they have in common, such as a
        classifier's log-probabilities of these classes.
    """

    def denoise(x_t, t):
        shares = jax.nn.softmax(log_densities(x_t, t), axis=1)
        every = jnp.stack([denoiser(x_t, t) for denoiser in denoisers], axis=1)
        return jnp.einsum("bk,bk...->b...", shares, every)

    return denoise
