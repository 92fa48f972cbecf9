"""Likelihood: how probable data is under a model. All in nats per example, shaped (batch,), unless said otherwise.

Variational bounds, `-log p(x_0) <= prior + diffusion + reconstruction`, with `lambda` the log-SNR:

    prior             KL(q(x_1 | x_0) || p(x_1))
    diffusion         T steps:     sum of KL(q(x_s | x_t, x_0) || p(x_s | x_t)) over the grid      (Ho et al. 2020)
                      continuous:  ∫ -lambda'(t) / 2 |eps - eps(x_t, t)|² dt                       (Kingma et al. 2021)
    reconstruction    -log p(x_0 | x_t) at the last t > 0

and the exact likelihood of the probability flow (Song et al. 2021, section 4.3), along `dx/dt = v(x, t)`:

    log p(x_0) = log p(x_1) + ∫ div v(x_t, t) dt

Data on a grid of `levels` values from -1 to 1 (256 for 8-bit images) has probabilities rather than densities. A density
model is compared with them after noise of one level's width was added to the data: `dequantize`, `bits_per_dim`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import log_ndtr

from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian.denoiser import to_velocity
from jaxdiff.gaussian.process import (
    Process,
    interior,
    perturb,
    posterior,
    prior_log_density,
    require_white,
    with_slopes,
)
from jaxdiff.samplers.adaptive import integrate
from jaxdiff.samplers.ancestral import Variance, fixed_small
from jaxdiff.types import Array, Denoiser, Key, as_time, expand

__all__ = [
    "Bound",
    "Decoder",
    "bits_per_dim",
    "continuous_bound",
    "continuous_term",
    "continuous_weight",
    "dequantize",
    "discrete_bound",
    "discretized_decoder",
    "discretized_normal",
    "even_shares",
    "log_likelihood",
    "normal_decoder",
    "normal_kl",
    "prior_kl",
    "softmax_decoder",
]

Decoder = Callable[[Process, Denoiser, Array, Array, Array], Array]
"""`(process, denoiser, x_0, x_t, t) -> log p(x_0 | x_t)`, (batch,)."""


class Bound(NamedTuple):
    """The terms of a variational bound on `-log p(x_0)`."""

    prior: Array
    diffusion: Array
    """(batch,), or (terms, batch) with one row for each step, in the order in which a sampler takes them."""
    reconstruction: Array

    def total(self) -> Array:
        """Their sum: (batch,)."""
        diffusion = self.diffusion.sum(0) if self.diffusion.ndim > 1 else self.diffusion
        return self.prior + diffusion + self.reconstruction


def normal_kl(mean_q: Array, variance_q: Array, mean_p: Array, variance_p: Array) -> Array:
    """KL(N(mean_q, variance_q) || N(mean_p, variance_p)), elementwise."""
    ratio = variance_q / variance_p
    return 0.5 * (ratio - 1 - jnp.log(ratio) + (mean_q - mean_p) ** 2 / variance_p)


def discretized_normal(x: Array, mean: Array, std: Array, levels: int = 256) -> Array:
    """log probability of the level x, elementwise, under N(mean, std²) cut into `levels` bins (Ho et al. 2020, eq. 13).

    The bins of -1 and 1 reach to infinity. Accurate in the tails, where the probability itself is 0 in floats.
    """
    half = 1 / (levels - 1)
    low = jnp.where(x < -1 + half, -jnp.inf, (x - half - mean) / std)
    high = jnp.where(x > 1 - half, jnp.inf, (x + half - mean) / std)
    # Of a bin to the right of the mean, take the mirror image: Phi is small, and exact, on the left.
    low, high = jnp.where(low > 0, -high, low), jnp.where(low > 0, -low, high)
    open_low, open_high = jnp.isneginf(low), jnp.isposinf(high)
    above = jnp.where(open_high, 0.0, log_ndtr(jnp.where(open_high, 0.0, high)))
    gap = log_ndtr(jnp.where(open_low, 0.0, low)) - above
    inside = above + jnp.log(-jnp.expm1(jnp.where(open_low, -1.0, jnp.minimum(gap, -1e-30))))
    return jnp.where(open_low, above, inside)


def discretized_decoder(levels: int = 256, variance: Variance | None = None) -> Decoder:
    """The decoder of Ho et al. 2020: a normal around x̂_0, cut into bins.

    Args:
      variance: that of the step to the data, of which `fixed_small` is 0; by default (sigma / alpha)².
    """

    def decode(process, denoiser, x_0, x_t, t):
        square = (
            variance(process, x_t, jnp.zeros_like(t), t) if variance else (process.sigma(t) / process.alpha(t)) ** 2
        )
        return _sum(discretized_normal(x_0, denoiser(x_t, t), jnp.sqrt(square), levels))

    return decode


def softmax_decoder(levels: int = 256) -> Decoder:
    """The decoder of Kingma et al. 2021, equation 8: p(x_0 | x_t) ∝ N(x_t; alpha x_0, sigma²) over all levels."""
    values = np.linspace(-1, 1, levels)

    def decode(process, denoiser, x_0, x_t, t):
        grid = jnp.asarray(values, x_t.dtype)
        logits = -0.5 * ((x_t[..., None] - process.alpha(t) * grid) / process.sigma(t)) ** 2
        index = jnp.round((x_0 + 1) / 2 * (levels - 1)).astype(jnp.int32)
        chosen = jnp.take_along_axis(logits, index[..., None], axis=-1)[..., 0]
        return _sum(chosen - jax.nn.logsumexp(logits, axis=-1))

    return decode


def normal_decoder() -> Decoder:
    """For data that is not on levels: the density of N(x̂_0, (sigma / alpha)²)."""

    def decode(process, denoiser, x_0, x_t, t):
        std = process.sigma(t) / process.alpha(t)
        square = _sum(((x_0 - denoiser(x_t, t)) / std) ** 2)
        return -0.5 * square - process.space.dimension(x_0) * jnp.log(std * np.sqrt(2 * np.pi))

    return decode


def prior_kl(process: Process, x_0: Array, t: Array | float = 1.0) -> Array:
    """KL(q(x_t | x_0) || p(x_t)), with p the normal that `prior` draws from.

    Raises:
      InputError: the process has noise that is not `normal`; so for the bounds and the likelihood below.
    """
    require_white(process, "a likelihood")
    t = as_time(t, x_0)
    alpha, variance = process.alpha(t), process.sigma(t) ** 2
    return _normal_kl(process, alpha * x_0, variance, alpha**2 + variance)


def discrete_bound(
    process: Process,
    denoiser: Denoiser,
    key: Key,
    x_0: Array,
    times: Array,
    decoder: Decoder,
    variance: Variance = fixed_small,
) -> Bound:
    """The bound of the ancestral chain on a grid, one draw of each term.

    Args:
      times: (steps + 1,), falling to 0: the first is the prior's, and the step to 0 is the decoder's.
      variance: of the reverse steps, as for `ancestral`.
    """
    require_white(process, "a likelihood")
    times = as_time(times, x_0)

    def term(i, t, s):
        x_t, _ = perturb(process, jax.random.fold_in(key, i), x_0, t)
        _, of_x_0, true = posterior(process, s, t)
        gap = of_x_0 * (x_0 - denoiser(x_t, t))
        return _normal_kl(process, gap, true, variance(process, x_t, s, t))

    steps = len(times) - 1
    terms = jax.lax.map(lambda along: term(*along), (jnp.arange(steps - 1), times[:-2], times[1:-1]))
    last = times[-2]
    x_t, _ = perturb(process, jax.random.fold_in(key, steps - 1), x_0, last)
    return Bound(prior_kl(process, x_0, times[0]), terms, -decoder(process, denoiser, x_0, x_t, last))


def continuous_bound(
    process: Process, denoiser: Denoiser, key: Key, x_0: Array, decoder: Decoder, t_min: float = 0.0, draws: int = 1
) -> Bound:
    """The bound in the limit of infinitely many steps, its integral over [t_min, 1] by `draws` times for each example.

    The times of a batch are stratified (Kingma et al. 2021, appendix I.1). sigma(t_min) must not be 0.
    """
    require_white(process, "a likelihood")
    with jax.ensure_compile_time_eval():
        last = process.sigma(jnp.float32(t_min)) == 0
    if not isinstance(last, Tracer) and last:
        raise InputError(f"t_min={t_min}: sigma is 0 there, where the bound is infinite: end above, at 0.001")
    batch = x_0.shape[0]

    def term(i):
        key_t, key_eps = jax.random.split(jax.random.fold_in(key, i))
        t = 1 - (1 - t_min) * even_shares(key_t, batch, i / draws)
        return (1 - t_min) * continuous_term(process, denoiser, key_eps, x_0, t)

    # One draw is not made in a loop, in which XLA on CPU runs the gradients of training far slower.
    diffusion = term(0) if draws == 1 else jax.lax.map(term, jnp.arange(draws)).mean(0)
    first = as_time(t_min, x_0)
    x_t, _ = perturb(process, jax.random.fold_in(key, draws), x_0, first)
    return Bound(prior_kl(process, x_0), diffusion, -decoder(process, denoiser, x_0, x_t, first))


def even_shares(key: Key, batch: int, ahead: Array | float = 0.0) -> Array:
    """Numbers in [0, 1) that are uniform each and evenly spaced together, (batch,), the first `ahead` of a space on."""
    return (jax.random.uniform(key) + (jnp.arange(batch) + ahead) / batch) % 1


def continuous_term(process: Process, denoiser: Denoiser, key: Key, x_0: Array, t: Array) -> Array:
    """The integrand of the continuous bound at times t (batch,), one draw for each example: (batch,).

    Where alpha or sigma is 0 it is what it is close by, as its weight is infinite there.
    """
    t = interior(process, t)
    x_t, eps = perturb(process, key, x_0, t)
    alpha, sigma = expand(process.alpha(t), x_t), expand(process.sigma(t), x_t)
    error = _sum((eps - (x_t - alpha * denoiser(x_t, t)) / sigma) ** 2)
    return continuous_weight(process, t) * error


def continuous_weight(process: Process, t: Array) -> Array:
    """`-lambda'(t) / 2`, the weight of the squared error in eps."""
    (alpha, sigma), slopes = with_slopes(process, t)
    return slopes[1] / sigma - slopes[0] / alpha


def log_likelihood(
    process: Process,
    denoiser: Denoiser,
    key: Key,
    x: Array,
    t_min: float | Array = 1e-5,
    trace: str = "hutchinson",
    rtol: float = 1e-5,
    atol: float = 1e-5,
) -> Array:
    """log density of x at t_min, nearly that of the data, under the probability flow from the prior at t = 1.

    Args:
      t_min: above 0, which the clock of `jaxdiff.samplers.ode.integrate` never reaches.
      trace: of the Jacobian: "hutchinson", unbiased, one product with a random vector of signs that stays the same
        along the way; or "exact", as many products as x has components.
      rtol, atol: tolerances of Dormand and Prince's method.

    Raises:
      InputError: another trace, or a t_min of 0.
    """
    require_white(process, "a likelihood")
    if not isinstance(t_min, Tracer) and not np.all(np.asarray(t_min) > 0):
        raise InputError(f"t_min={t_min}: must be above 0, where the flow's clock never comes: take 1e-5")
    velocity = to_velocity(process, denoiser)
    signs = process.space.project(jax.random.rademacher(key, x.shape, x.dtype))

    def with_products(x, t):
        v, back = jax.vjp(lambda x: velocity(x, t), x)
        return v, lambda direction: _sum(back(direction)[0] * direction)

    def hutchinson(x, t):
        v, product = with_products(x, t)
        return v, product(signs)

    def exact(x, t):
        size = math.prod(x.shape[1:])
        basis = jnp.eye(size, dtype=x.dtype).reshape(size, 1, *x.shape[1:])
        v, product = with_products(x, t)
        along = lambda e: process.space.project(jnp.broadcast_to(e, x.shape))
        return v, jax.lax.map(lambda e: product(along(e)), basis).sum(0)

    traces = {"hutchinson": hutchinson, "exact": exact}
    if trace not in traces:
        raise unknown("trace", trace, traces)
    start = (x, jnp.zeros(x.shape[:1], x.dtype))
    first, last = as_time(t_min, x), as_time(1.0, x)
    free = process.space.dimension(x).sum() + len(x)
    x_1, growth = integrate(lambda state, t: traces[trace](state[0], t), start, first, last, rtol, atol, free)
    return prior_log_density(process, x_1) + growth


def dequantize(key: Key, x: Array, levels: int = 256) -> Array:
    """x on its levels plus noise, uniform over the width of one level."""
    return x + (jax.random.uniform(key, x.shape, x.dtype) - 0.5) * (2 / (levels - 1))


def bits_per_dim(nats: Array, dimensions: int, levels: int | None = None) -> Array:
    """`-log p` in nats per example as bits per dimension; with `levels`, of a density of dequantized data."""
    if levels is not None and levels < 2:
        raise InputError(f"levels={levels}: data has 2 levels or more")
    width = math.log(2 / (levels - 1)) if levels else 0.0
    return (nats / dimensions - width) / math.log(2)


def _normal_kl(process: Process, gap: Array, variance_q: Array, variance_p: Array) -> Array:
    """KL(N(gap, variance_q I) || N(0, variance_p I)) on the space of the process: (batch,)."""
    if variance_p.ndim:  # one for each component, as a network that learns it gives
        return _sum(normal_kl(gap, variance_q, jnp.zeros_like(gap), variance_p))
    widths = normal_kl(jnp.zeros(()), variance_q, jnp.zeros(()), variance_p)
    return process.space.dimension(gap) * widths + 0.5 * _sum(gap**2) / variance_p


def _sum(terms: Array) -> Array:
    return terms.reshape(terms.shape[0], -1).sum(1)
