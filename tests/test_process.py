import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import betas, process
from jaxdiff.errors import InputError

TABLES = [betas.linear, betas.cosine, betas.quadratic, betas.sigmoid]


@pytest.mark.parametrize("table", TABLES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("steps", [10, 1000, 4000])
def test_chain_agrees_with_float64_at_every_step(table, steps):
    beta = table(steps)
    log_alpha_bar = np.cumsum(np.log1p(-beta))
    alpha_bar, one_minus = np.exp(log_alpha_bar), -np.expm1(log_alpha_bar)
    before, one_minus_before = np.append(1, alpha_bar[:-1]), np.append(0, one_minus[:-1])
    chain = process.ddpm(beta)
    t, s = (jnp.asarray((np.arange(steps) + k) / steps, jnp.float32) for k in (1, 0))

    scale, variance = process.transition(chain, s, t)
    of_x_t, of_x_0, posterior_variance = process.posterior(chain, s, t)
    for ours, exact in [
        (variance, beta),
        (scale, np.sqrt(1 - beta)),
        (chain.alpha(t) ** 2, alpha_bar),
        (chain.sigma(t) ** 2, one_minus),
        (of_x_0, np.sqrt(before) * beta / one_minus),
        (of_x_t, np.sqrt(1 - beta) * one_minus_before / one_minus),
        (posterior_variance, beta * one_minus_before / one_minus),
    ]:
        np.testing.assert_allclose(np.asarray(ours, np.float64), exact, rtol=1e-6)


def test_chain_between_its_steps_is_monotone_and_continuous():
    chain = process.ddpm(betas.linear(10))
    t = jnp.linspace(0, 1, 4001)
    sigma = np.asarray(chain.sigma(t))
    assert sigma[0] == 0
    assert chain.alpha(t)[0] == 1
    assert np.all(np.diff(sigma) > 0)
    np.testing.assert_allclose(sigma[1:400] ** 2, np.arange(1, 400) / 400 * 1e-4, rtol=1e-5)
    middle = process.log_snr(chain, jnp.float32(0.55))
    ends = process.log_snr(chain, jnp.float32([0.5, 0.6]))
    np.testing.assert_allclose(middle, ends.mean(), rtol=1e-5)


def test_chain_has_its_slope_at_its_steps(float64):
    chain = process.ddpm(betas.linear(1000))
    rate = process.diffusion2(chain, jnp.array(0.5))
    # Between steps i and i+1 log-SNR is linear, and the mean of g² over a step of length 1/T is about T beta.
    np.testing.assert_allclose(rate, 1000 * betas.linear(1000)[500], rtol=2e-2)


def test_published_formulas_of_drift_and_diffusion(float64):
    t = jnp.linspace(0.01, 1, 50)
    beta = 0.1 + 19.9 * t
    vp = process.vp()
    np.testing.assert_allclose(jax.vmap(lambda t: process.drift(vp, t))(t), -beta / 2, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(lambda t: process.diffusion2(vp, t))(t), beta, rtol=1e-12)
    cosine = process.cosine()
    angle = (t + 0.008) / 1.008 * np.pi / 2
    expected = -np.pi / 2 / 1.008 * np.tan(angle)
    np.testing.assert_allclose(jax.vmap(lambda t: process.drift(cosine, t))(t)[:-1], expected[:-1], rtol=1e-10)


def test_vp_is_the_limit_of_the_linear_chain(float64):
    chain, limit = process.ddpm(betas.linear(20_000, 0.1 / 20_000, 20 / 20_000)), process.vp()
    t = jnp.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(chain.alpha(t), limit.alpha(t), rtol=5e-3)


def test_cosine_chain_follows_the_cosine_process(float64):
    chain, limit = process.ddpm(betas.cosine(1000)), process.cosine()
    t = jnp.array([0.001, 0.1, 0.5, 0.9])
    np.testing.assert_allclose(chain.alpha(t), limit.alpha(t), rtol=1e-9)
    np.testing.assert_allclose(chain.sigma(t), limit.sigma(t), rtol=1e-9)


def test_variance_is_preserved(any_process):
    t = jnp.linspace(0, 1, 1001)
    np.testing.assert_allclose(any_process.alpha(t) ** 2 + any_process.sigma(t) ** 2, 1, atol=3e-7)


def test_steps_compose(any_process):
    r, s, t = (jnp.float32(x) for x in (0.2, 0.5, 0.8))
    scale_rs, variance_rs = process.transition(any_process, r, s)
    scale_st, variance_st = process.transition(any_process, s, t)
    scale_rt, variance_rt = process.transition(any_process, r, t)
    np.testing.assert_allclose(scale_rs * scale_st, scale_rt, rtol=1e-5)
    np.testing.assert_allclose(scale_st**2 * variance_rs + variance_st, variance_rt, rtol=1e-5)


def test_posterior_is_bayes_rule(any_process, float64):
    s, t, x_0, x_t = jnp.array(0.3), jnp.array(0.6), 0.7, -0.4
    scale, variance = process.transition(any_process, s, t)
    of_x_t, of_x_0, posterior_variance = process.posterior(any_process, s, t)
    precision = scale**2 / variance + 1 / any_process.sigma(s) ** 2
    mean = (scale / variance * x_t + any_process.alpha(s) / any_process.sigma(s) ** 2 * x_0) / precision
    np.testing.assert_allclose(posterior_variance, 1 / precision, rtol=1e-6)
    np.testing.assert_allclose(of_x_t * x_t + of_x_0 * x_0, mean, rtol=1e-6)


def test_perturb_has_the_mean_and_variance_of_theory(any_process):
    x_0 = jnp.broadcast_to(jnp.array([0.5, -1.0]), (200_000, 2))
    t = jnp.full(200_000, 0.3)
    x_t, eps = process.perturb(any_process, jax.random.key(0), x_0, t)
    alpha, sigma = any_process.alpha(t[0]), any_process.sigma(t[0])
    np.testing.assert_allclose(x_t.mean(0), alpha * x_0[0], atol=4 * sigma / np.sqrt(200_000))
    np.testing.assert_allclose(x_t.var(0), sigma**2, rtol=4 * np.sqrt(2 / 200_000))
    np.testing.assert_allclose(x_t, alpha * x_0 + sigma * eps, atol=1e-6)


def test_noise_belongs_to_the_process():
    still = process.vp()._replace(noise=lambda key, x: jnp.zeros_like(x))
    x_t, _ = process.perturb(still, jax.random.key(0), jnp.ones((3, 2)), jnp.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(x_t[:, 0], still.alpha(jnp.array([0.1, 0.2, 0.3])))


@pytest.mark.parametrize("table", [[], [0.1, 1.0], [0.0, 0.1], [[0.1]], [np.nan]])
def test_bad_tables_are_refused(table):
    with pytest.raises(InputError, match=r"one-dimensional table of numbers in \(0, 1\)"):
        process.ddpm(np.array(table))


def test_a_chain_of_no_steps_is_refused():
    with pytest.raises(InputError, match="steps must be 1 or more"):
        betas.linear(0)
