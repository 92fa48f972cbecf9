"""Guidance: from denoisers to a denoiser that follows a condition more closely, or an aim that training did not know.

As x̂_0 = (x_t + sigma² ∇ log q(x_t)) / alpha, factors on a density are terms in its denoiser:

    q(x_t | c)^w q(x_t)^(1 - w)        w x̂_c + (1 - w) x̂                        (Ho and Salimans 2022)
    q(x_t) p(y | x_t)^w                x̂ + w sigma² / alpha ∇ log p(y | x_t)    (Dhariwal and Nichol 2021)
    sum_i w_i q_i(x_t)                 sum_i r_i x̂_i,  r_i ∝ w_i q_i(x_t)

At w = 1 the first is the conditional model and at w = 0 the unconditional one, bit for bit. Scales and bounds may be
traced. A negative condition takes the place of no condition; a worse model guides a better one likewise (Karras et al.
2024, autoguidance). (The guided densities are those of single times: their diffusion is another one's, so that samples
for w other than 0 and 1 are not draws of the product.)
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxdiff.denoiser import lever
from jaxdiff.process import Process, interior, require_white
from jaxdiff.samplers.base import Sampler, State
from jaxdiff.types import Array, Denoiser, as_time, expand

LogDensity = Callable[[Array, Array], Array]
"""`(x_t, t) -> log q(x_t)` or `log p(y | x_t)`, (batch,), up to a constant."""


def classifier_free(
    conditional: Denoiser, unconditional: Denoiser, scale: float | Array, rescale: float | Array = 0.0
) -> Denoiser:
    """`scale x̂_c + (1 - scale) x̂`.

    Args:
      unconditional: without the condition; with a negative one; or a worse model with the same condition.
      scale: 1 for the conditional model; the larger, the further from the unconditional one.
      rescale: from 0 to 1, how far the standard deviation of each guided x̂_0 is brought back to that of x̂_c (Lin et al.
        2024, section 3.4, who do so to the network's output).
    """

    def denoise(x_t, t):
        towards, away = conditional(x_t, t), unconditional(x_t, t)
        guided = scale * towards + (1 - scale) * away
        factor = _spread(towards) / jnp.maximum(_spread(guided), 1e-12)
        # At 0 the factor is exactly 1.
        return guided * expand(1 + rescale * (factor - 1), guided)

    return denoise


def within(
    process: Process, guided: Denoiser, otherwise: Denoiser, low: float | Array, high: float | Array
) -> Denoiser:
    """`guided` at noise levels sigma / alpha from `low` to `high`, `otherwise` elsewhere (Kynkäänniemi et al. 2024).

    At a scalar time only the one that counts is computed.
    """

    def denoise(x_t, t):
        t = as_time(t, x_t)
        alpha, sigma = process.alpha(t), process.sigma(t)
        inside = (sigma >= low * alpha) & (jnp.isinf(high) | (sigma <= high * alpha))
        if t.ndim == 0:
            return jax.lax.cond(inside, guided, otherwise, x_t, t)
        return jnp.where(expand(inside, x_t), guided(x_t, t), otherwise(x_t, t))

    return denoise


def by_density(process: Process, denoiser: Denoiser, log_density: LogDensity, scale: float | Array = 1.0) -> Denoiser:
    """Follow the gradient of `log_density`, such as a classifier's log p(y | x_t), trained on noisy images.

    Where alpha = 0 the factor on the gradient is infinite and the gradient 0; their product, E[x_0 | y] - E[x_0] at
    scale 1, is taken just before (`jaxdiff.process.interior`).

    Raises:
      InputError: the process has noise other than `normal`.
    """
    require_white(process, "guidance by a density")

    def denoise(x_t, t):
        t = interior(process, as_time(t, x_t))
        gradient = jax.grad(lambda x: jnp.sum(log_density(x, t)))(x_t)
        return denoiser(x_t, t) + scale * expand(lever(process, t), x_t) * gradient

    return denoise


def by_energy(
    process: Process, denoiser: Denoiser, energy: Callable[[Array], Array], scale: float | Array = 1.0
) -> Denoiser:
    """Lower an energy of the data, (batch, ...) -> (batch,), taken at x̂_0: p(x_0) exp(-scale energy), roughly.

    Exact for x_0 known from x_t; at high noise the energy of a mean stands for the mean of an energy (Bansal et al.
    2023, universal guidance). Where alpha = 0, as in `by_density`.

    Raises:
      InputError: the process has noise other than `normal`.
    """
    require_white(process, "guidance by an energy")

    def denoise(x_t, t):
        t = interior(process, as_time(t, x_t))
        x_0, back = jax.vjp(lambda x: denoiser(x, t), x_t)
        (gradient,) = back(jax.grad(lambda x: jnp.sum(energy(x)))(x_0))
        return x_0 - scale * expand(lever(process, t), x_t) * gradient

    return denoise


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


def cfg_pp(process: Process, conditional: Denoiser, unconditional: Denoiser, scale: float | Array) -> Sampler:
    """DDIM that moves towards the guided x̂_0 and adds the unconditional eps (Chung et al. 2024, CFG++).

    Args:
      scale: from 0, unconditional, to 1, the conditional x̂_0.
    """

    def step(key, state, t, s):
        away = unconditional(state.x, t)
        guided = scale * conditional(state.x, t) + (1 - scale) * away
        eps = (state.x - process.alpha(t) * away) / process.sigma(t)
        return State(process.alpha(s) * guided + process.sigma(s) * eps)

    return Sampler(State, step)


def _spread(x: Array) -> Array:
    return jnp.std(x.reshape(x.shape[0], -1), axis=1)
