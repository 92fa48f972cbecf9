"""Likelihoods against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from jaxdiff import likelihood
from jaxdiff.errors import InputError
from jaxdiff.gaussian import grids, process, schedules
from jaxdiff.gaussian.noise import Projected, normal
from jaxdiff.likelihood import (
    bits_per_dim,
    continuous_bound,
    dequantize,
    discrete_bound,
    discretized_decoder,
    discretized_normal,
    log_likelihood,
    normal_decoder,
    normal_kl,
    softmax_decoder,
)
from tests.helpers import oracle
from tests.helpers.cases import tiers

CENTRED = (
    np.array([0.5, 0.5]),
    np.array([[0.6, -0.6], [-0.6, 0.6]]),
    np.array([[0.8, 0.5], [0.8, 0.5]]),
)
"""Of mean zero, so that the prior at t = 1 is close to the mixture's own law there."""


def gaussian(chain, mean, std):
    return oracle.denoiser(chain, (np.ones(1), np.full((1, 1), mean), np.full((1, 1), std)))


@pytest.mark.system
@pytest.mark.parametrize("name", ["flow", "cosine", "ddpm_zero_snr"])
def test_the_continuous_bound_has_its_limit_at_pure_noise(name):
    """Where alpha = 0 the weight is infinite and the error 0: what counts is close by, and not NaN."""
    chain = oracle.PROCESSES[name]()
    x, t = jnp.linspace(-1, 1, 4)[:, None], jnp.array([1.0, 1 - 1e-4, 1.0, 1 - 1e-4])
    term = likelihood.continuous_term(chain, gaussian(chain, 0.5, 0.5), jax.random.key(0), x, t)
    near = likelihood.continuous_term(chain, gaussian(chain, 0.5, 0.5), jax.random.key(0), x, jnp.full(4, 1 - 1e-4))
    np.testing.assert_allclose(term, near, rtol=1e-3)


def test_no_flow_starts_from_0():
    chain = schedules.ve()
    with pytest.raises(InputError, match="t_min=0.0: must be above 0"):
        log_likelihood(chain, gaussian(chain, 0.5, 0.5), jax.random.key(0), jnp.zeros((1, 1)), 0.0)


@pytest.mark.system
@pytest.mark.parametrize("path", tiers(["vp", "sub_vp", "ve", "flow", "edm"], ["vp"]))
@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_the_flow_knows_the_mixture(path, trace, float64):
    """Within 1e-3 nats of the exact log density at t_min, point by point (on average, for the random trace)."""
    chain = oracle.PROCESSES[path]()
    t_min = 0.01 if path == "edm" else 1e-4
    n = 64 if trace == "exact" else 4000
    x = oracle.noised(chain, 0, CENTRED, n, t_min, jnp.float64)
    ours = jax.jit(
        lambda x: log_likelihood(chain, oracle.denoiser(chain, CENTRED), jax.random.key(0), x, t_min, trace, 1e-7, 1e-7)
    )(x)
    true = oracle.log_density(chain, CENTRED)(x, jnp.array(t_min))
    if trace == "exact":
        np.testing.assert_allclose(ours, true, atol=1e-3)
    else:
        error = np.asarray(ours - true)
        assert abs(error.mean()) < 1e-3 + 4 * error.std() / np.sqrt(n)
        assert error.std() > 1e-3  # a single product is not the trace


@pytest.mark.statistical
def test_the_flow_in_single_precision():
    chain = schedules.vp()
    x = oracle.noised(chain, 0, CENTRED, 64, 1e-3)
    ours = log_likelihood(chain, oracle.denoiser(chain, CENTRED), jax.random.key(0), x, 1e-3, "exact")
    np.testing.assert_allclose(ours, oracle.log_density(chain, CENTRED)(x, jnp.float32(1e-3)), atol=3e-3)


@pytest.mark.statistical
def test_the_discrete_bound_comes_down_to_the_entropy(float64):
    """Of an exact Gaussian denoiser: from above, and the gap falls as 1 / T."""
    mean, std, n = 0.2, 0.5, 100_000
    x_0 = mean + std * jnp.asarray(np.random.default_rng(0).normal(size=(n, 1)))
    own = -stats.norm.logpdf(np.asarray(x_0), mean, std).mean()  # the entropy, of these very points
    gaps = []
    chain = schedules.vp()
    for steps in (50, 200, 800):
        times = grids.log_snr(chain, steps, t_min=1e-4)
        bound = jax.jit(
            lambda x, times=times: discrete_bound(
                chain, gaussian(chain, mean, std), jax.random.key(1), x, times, normal_decoder()
            )
        )(x_0)
        assert bound.diffusion.shape == (steps - 1, n)
        gaps.append(float(bound.total().mean()) - own)
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < 0.07
    assert 3.4 < gaps[1] / gaps[2] < 4.6


@pytest.mark.system
def test_each_term_of_the_discrete_bound(float64):
    """KL of a step, prior and decoder, against their definitions by quadrature."""
    chain, x_0 = schedules.vp(), 0.3
    t, s = jnp.array(0.5), jnp.array(0.4)
    _, of_x_0, variance = process.posterior(chain, s, t)
    by_hand, _ = integrate.quad(
        lambda x: (
            stats.norm.pdf(x, 0, float(variance) ** 0.5)
            * (stats.norm.logpdf(x, 0, float(variance) ** 0.5) - stats.norm.logpdf(x, 0.2, float(2 * variance) ** 0.5))
        ),
        -8,
        8,
    )
    np.testing.assert_allclose(normal_kl(0.0, variance, 0.2, 2 * variance), by_hand, rtol=1e-6)

    still = chain._replace(noise=Projected(normal, jnp.zeros_like))
    bound = discrete_bound(
        still,
        lambda x, t: jnp.zeros_like(x),
        jax.random.key(0),
        jnp.full((1, 1), x_0),
        [0.5, 0.4, 0.0],
        normal_decoder(),
    )
    np.testing.assert_allclose(bound.diffusion[0, 0], (of_x_0 * x_0) ** 2 / (2 * variance), rtol=1e-9)
    std = float(chain.sigma(s) / chain.alpha(s))
    np.testing.assert_allclose(bound.reconstruction[0], -stats.norm.logpdf(x_0, 0, std), rtol=1e-9)
    alpha = float(chain.alpha(t))
    np.testing.assert_allclose(bound.prior[0], 0.5 * ((alpha * x_0) ** 2 - alpha**2 - np.log(1 - alpha**2)), rtol=1e-6)


@pytest.mark.slow
def test_the_bound_does_not_see_the_schedules_interior(float64):
    """VDM's invariance: three log-SNR curves with the same ends, the same continuous bound to 1e-3."""
    curves = [
        lambda t: 8 - 13 * t,
        lambda t: 8 - 13 * t**2,
        lambda t: 8 - 13 * (0.3 * t + 0.7 * jnp.sin(t * np.pi / 2)),
    ]
    mean, std, n = 0.2, 0.5, 400_000
    # In place of random draws a lattice over data, noise and time, which leaves an error of about 1e-4.
    u, w = (stats.norm.ppf((np.arange(1, n + 1)[:, None] * step) % 1) for step in (2**0.5, 3**0.5))
    x_0 = jnp.asarray(mean + std * u)
    own = -stats.norm.logpdf(np.asarray(x_0), mean, std).mean()
    totals = []
    for curve in curves:
        chain = schedules.from_log_snr(curve)._replace(noise=Projected(normal, lambda x: jnp.asarray(w)))
        bound = continuous_bound(chain, gaussian(chain, mean, std), jax.random.key(2), x_0, normal_decoder())
        totals.append(bound.total().mean() - own)
    np.testing.assert_allclose(totals, totals[0], atol=1e-3)
    exact = [expected_diffusion(schedules.from_log_snr(c), std) for c in curves]
    np.testing.assert_allclose(exact, exact[0], atol=1e-3)
    assert min(totals) > -1e-3
    assert max(totals) < 5e-3


def expected_diffusion(chain, std):
    """The diffusion term for Gaussian data by quadrature: E|eps - eps_hat|² = alpha² std² / (alpha² std² + sigma²)."""
    t = jnp.linspace(0, 1, 20_001)
    a, b = (chain.alpha(t) * std) ** 2, chain.sigma(t) ** 2
    return integrate.simpson(np.asarray(likelihood.continuous_weight(chain, t) * a / (a + b)), x=np.asarray(t))


@pytest.mark.statistical
def test_the_flow_and_the_bound_agree_on_pixels():
    """Data on 9 levels: -E log P, by the bound with its softmax decoder and by the dequantized flow."""
    levels, chain = 9, schedules.vp()
    values = np.linspace(-1, 1, levels)
    weights = stats.norm.pdf(values, 0.1, 0.4)
    weights /= weights.sum()
    mixture = (weights, values[:, None], np.full((levels, 1), 1e-3))
    x_0 = jnp.asarray(np.random.default_rng(0).choice(values, (20_000, 1), p=weights), jnp.float32)
    true = -np.sum(weights * np.log2(weights))
    denoiser = oracle.denoiser(chain, mixture)
    bound = continuous_bound(chain, denoiser, jax.random.key(0), x_0, softmax_decoder(levels), t_min=1e-3, draws=64)
    bits = bits_per_dim(bound.total(), 1)
    assert abs(float(bits.mean()) - true) < 4 * float(bits.std()) / np.sqrt(20_000)
    # A model of the dequantized data: exact, and so as good as the entropy itself.
    spread = (weights, values[:, None], np.full((levels, 1), 0.25 / np.sqrt(12)))
    noisy = dequantize(jax.random.key(1), x_0, levels)
    flow = log_likelihood(chain, oracle.denoiser(chain, spread), jax.random.key(2), noisy, 1e-3, "exact")
    assert true < float(bits_per_dim(-flow, 1, levels).mean()) < true + 0.2


@pytest.mark.system
@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("std", [1e-3, 0.05, 2.0])
def test_discretized_normal(levels, std):
    values = np.linspace(-1, 1, levels)
    mean = 0.137
    ours = np.asarray(discretized_normal(jnp.asarray(values, jnp.float32), mean, std, levels))
    np.testing.assert_allclose(np.exp(np.float64(ours)).sum(), 1, rtol=1e-4)
    half = 1 / (levels - 1)
    edges = np.concatenate([[-np.inf], values[:-1] + half, [np.inf]])
    z = (edges - mean) / std
    upper = z[:-1] > 0  # from the tail in which the probability is small, scipy is exact too
    log_p = np.where(upper, log_gap(-z[1:], -z[:-1]), log_gap(z[:-1], z[1:]))
    near = log_p > -1e4
    np.testing.assert_allclose(ours[near], log_p[near], rtol=2e-3, atol=1e-3)
    assert np.isfinite(ours).all()


def log_gap(low, high):
    a, b = stats.norm.logcdf(low), stats.norm.logcdf(high)
    with np.errstate(divide="ignore", invalid="ignore"):
        return b + np.log1p(-np.exp(a - b))


@pytest.mark.system
def test_decoders_are_distributions():
    """Over all levels of one pixel the probabilities sum to one."""
    levels, chain, t = 17, schedules.vp(), jnp.float32(0.02)
    values = jnp.linspace(-1, 1, levels)[:, None]
    x_t = jnp.full((levels, 1), 0.3)
    for decoder in (softmax_decoder(levels), discretized_decoder(levels)):
        total = jnp.exp(decoder(chain, lambda x, t: 0.9 * x, values, x_t, t)).sum()
        np.testing.assert_allclose(total, 1, rtol=1e-4)


def test_bits_per_dim():
    """Uniform noise over one level's width has density 1 / width: 0 bits."""
    width = 2 / 255
    np.testing.assert_allclose(bits_per_dim(jnp.array(3 * np.log(width)), 3, 256), 0, atol=1e-6)
    np.testing.assert_allclose(bits_per_dim(jnp.array(6 * np.log(2)), 3), 2, rtol=1e-6)
    x = dequantize(jax.random.key(0), jnp.zeros(100_000), 256)
    np.testing.assert_allclose(x.var(), width**2 / 12, rtol=2e-2)
    with pytest.raises(InputError, match="levels=1"):
        bits_per_dim(jnp.ones(1), 1, 1)


def test_an_unknown_trace_is_named():
    with pytest.raises(InputError, match="unknown trace 'hutchinsen'.*'hutchinson'.*exact, hutchinson"):
        log_likelihood(schedules.vp(), lambda x, t: x, jax.random.key(0), jnp.ones((1, 1)), trace="hutchinsen")
