import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.gaussian import betas, noise, process, schedules

TABLES = [betas.linear, betas.cosine, betas.quadratic, betas.sigmoid]


@pytest.mark.system
@pytest.mark.parametrize("table", TABLES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("steps", [10, 1000, 4000])
def test_chain_agrees_with_float64_at_every_step(table, steps):
    beta = table(steps)
    log_alpha_bar = np.cumsum(np.log1p(-beta))
    alpha_bar, one_minus = np.exp(log_alpha_bar), -np.expm1(log_alpha_bar)
    before, one_minus_before = np.append(1, alpha_bar[:-1]), np.append(0, one_minus[:-1])
    chain = schedules.ddpm(beta)
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


def test_published_tables():
    """By default, and of other lengths and ends: as Ho et al., Xu et al. and Nichol and Dhariwal state them."""
    i = np.arange(5) / 4
    for table, first, middle, last in [
        (betas.linear, 1e-4, (1e-4 + 0.02) / 2, 0.02),
        (betas.quadratic, 1e-4, ((1e-4**0.5 + 0.02**0.5) / 2) ** 2, 0.02),
        (betas.sigmoid, 1e-4 + 0.0199 / (1 + np.exp(6)), 1e-4 + 0.0199 / 2, 1e-4 + 0.0199 / (1 + np.exp(-6))),
    ]:
        assert len(table()) == 1000
        np.testing.assert_allclose(table(5)[[0, 2, 4]], [first, middle, last], rtol=1e-12)
    np.testing.assert_allclose(betas.linear(5, 0.1, 0.3), 0.1 + 0.2 * i, rtol=1e-12)
    np.testing.assert_allclose(betas.quadratic(5, 0.01, 0.25), (0.1 + 0.4 * i) ** 2, rtol=1e-12)
    np.testing.assert_allclose(betas.sigmoid(5, 0.1, 0.3), 0.1 + 0.2 / (1 + np.exp(6 - 12 * i)), rtol=1e-12)
    cosine = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(betas.cosine()[:-1], (1 - cosine[1:] / cosine[:-1])[:-1], rtol=1e-9)
    assert betas.cosine()[-1] == 0.999
    other = np.cos((np.arange(5) / 4 + 0.1) / 1.1 * np.pi / 2) ** 2
    expected = np.minimum(1 - other[1:] / other[:-1], 0.7)
    np.testing.assert_allclose(betas.cosine(4, 0.1, 0.7), expected, rtol=1e-9)
    assert (expected == 0.7).any()
    for table in TABLES:
        assert table(1).shape == (1,)


def test_published_paths(float64):
    """alpha and sigma at three times, with the constants of the papers and with others."""
    t = np.array([0.1, 0.5, 0.9])
    integral = lambda low, high: low * t + (high - low) * t**2 / 2
    angle = lambda s, t: np.cos((t + s) / (1 + s) * np.pi / 2) / np.cos(s / (1 + s) * np.pi / 2)
    for chain, alpha, sigma in [
        (schedules.vp(), np.exp(-integral(0.1, 20) / 2), np.sqrt(1 - np.exp(-integral(0.1, 20)))),
        (schedules.vp(0.5, 3.0), np.exp(-integral(0.5, 3) / 2), np.sqrt(1 - np.exp(-integral(0.5, 3)))),
        (schedules.sub_vp(), np.exp(-integral(0.1, 20) / 2), 1 - np.exp(-integral(0.1, 20))),
        (schedules.cosine(), angle(0.008, t), np.sqrt(1 - angle(0.008, t) ** 2)),
        (schedules.cosine(0.1), angle(0.1, t), np.sqrt(1 - angle(0.1, t) ** 2)),
        (schedules.ve(), 1 + 0 * t, 0.01 * 5000**t),
        (schedules.ve(0.1, 2.0), 1 + 0 * t, 0.1 * 20**t),
        (schedules.ncsn(), 1 + 0 * t, 0.01 * 100 ** ((10 * t - 1) / 9)),
        (schedules.ncsn(5, 0.1, 2.0), 1 + 0 * t, [0.05, 0.1 * 20 ** (1.5 / 4), 0.1 * 20 ** (3.5 / 4)]),
        (schedules.edm(), 1 + 0 * t, 80 * t),
        (schedules.flow(), 1 - t, t),
        (schedules.from_log_snr(lambda t: 3 - 5 * t), (1 + np.exp(5 * t - 3)) ** -0.5, (1 + np.exp(3 - 5 * t)) ** -0.5),
    ]:
        np.testing.assert_allclose(chain.alpha(jnp.asarray(t)), alpha, rtol=1e-9)
        np.testing.assert_allclose(chain.sigma(jnp.asarray(t)), sigma, rtol=1e-9)


@pytest.mark.system
def test_the_prior_by_hand(float64):
    """At t = 1 unless told otherwise; log density of each example, over all of its components."""
    chain, x = schedules.ve(0.1, 2.0), jnp.array([[[0.3, -1.0]], [[2.0, 0.1]]])
    for t, arguments in ((1.0, ()), (0.5, (0.5,))):
        variance = 1 + 0.01 * 400**t
        drawn = process.prior(chain, jax.random.key(0), x, *arguments)
        np.testing.assert_allclose(drawn, np.sqrt(variance) * noise.normal(jax.random.key(0), x), rtol=1e-9)
        expected = -0.5 * (np.sum(np.square(x), (1, 2)) / variance) - np.log(2 * np.pi * variance)
        np.testing.assert_allclose(process.prior_log_density(chain, x, *arguments), expected, rtol=1e-9)


@pytest.mark.system
def test_a_path_draws_anew_at_every_step(float64):
    """Written out, with the keys of its steps: x_t = ratio x_s + sqrt(variance) z."""
    chain, key, x_0, times = schedules.vp(), jax.random.key(4), jnp.ones((3, 2)), np.array([0.2, 0.5, 0.7])
    path = process.diffuse(chain, key, x_0, times)
    alpha, sigma = np.asarray(chain.alpha(jnp.asarray(times))), np.asarray(chain.sigma(jnp.asarray(times)))
    x = alpha[0] * x_0 + sigma[0] * noise.normal(jax.random.fold_in(key, 0), x_0)
    np.testing.assert_allclose(path[0], x, rtol=1e-9)
    for i in (1, 2):
        ratio = alpha[i] / alpha[i - 1]
        z = noise.normal(jax.random.fold_in(key, i), x_0)
        x = ratio * x + np.sqrt(sigma[i] ** 2 - (ratio * sigma[i - 1]) ** 2) * z
        np.testing.assert_allclose(path[i], x, rtol=1e-9)


@pytest.mark.system
def test_chain_between_its_steps_is_monotone_and_continuous():
    chain = schedules.ddpm(betas.linear(10))
    t = jnp.linspace(0, 1, 4001)
    sigma = np.asarray(chain.sigma(t))
    assert sigma[0] == 0
    assert chain.alpha(t)[0] == 1
    assert np.all(np.diff(sigma) > 0)
    np.testing.assert_allclose(sigma[1:400] ** 2, np.arange(1, 400) / 400 * 1e-4, rtol=1e-5)
    middle = process.log_snr(chain, jnp.float32(0.55))
    ends = process.log_snr(chain, jnp.float32([0.5, 0.6]))
    np.testing.assert_allclose(middle, ends.mean(), rtol=1e-5)


@pytest.mark.system
def test_chain_has_its_slope_at_its_steps(float64):
    chain = schedules.ddpm(betas.linear(1000))
    rate = process.diffusion2(chain, jnp.array(0.5))
    # Between steps i and i+1 log-SNR is linear, and the mean of g² over a step of length 1/T is about T beta.
    np.testing.assert_allclose(rate, 1000 * betas.linear(1000)[500], rtol=2e-2)


@pytest.mark.system
def test_published_formulas_of_drift_and_diffusion(float64):
    t = jnp.linspace(0.01, 1, 50)
    beta = 0.1 + 19.9 * t
    vp = schedules.vp()
    np.testing.assert_allclose(jax.vmap(lambda t: process.drift(vp, t))(t), -beta / 2, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(lambda t: process.diffusion2(vp, t))(t), beta, rtol=1e-12)
    cosine = schedules.cosine()
    angle = (t + 0.008) / 1.008 * np.pi / 2
    expected = -np.pi / 2 / 1.008 * np.tan(angle)
    np.testing.assert_allclose(jax.vmap(lambda t: process.drift(cosine, t))(t)[:-1], expected[:-1], rtol=1e-10)


@pytest.mark.system
def test_vp_is_the_limit_of_the_linear_chain(float64):
    chain, limit = schedules.ddpm(betas.linear(20_000, 0.1 / 20_000, 20 / 20_000)), schedules.vp()
    t = jnp.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(chain.alpha(t), limit.alpha(t), rtol=5e-3)


@pytest.mark.system
def test_cosine_chain_follows_the_cosine_process(float64):
    chain, limit = schedules.ddpm(betas.cosine(1000)), schedules.cosine()
    t = jnp.array([0.001, 0.1, 0.5, 0.9])
    np.testing.assert_allclose(chain.alpha(t), limit.alpha(t), rtol=1e-9)
    np.testing.assert_allclose(chain.sigma(t), limit.sigma(t), rtol=1e-9)


@pytest.mark.system
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


@pytest.mark.system
def test_posterior_is_bayes_rule(any_process, float64):
    s, t, x_0, x_t = jnp.array(0.3), jnp.array(0.6), 0.7, -0.4
    scale, variance = process.transition(any_process, s, t)
    of_x_t, of_x_0, posterior_variance = process.posterior(any_process, s, t)
    precision = scale**2 / variance + 1 / any_process.sigma(s) ** 2
    mean = (scale / variance * x_t + any_process.alpha(s) / any_process.sigma(s) ** 2 * x_0) / precision
    np.testing.assert_allclose(posterior_variance, 1 / precision, rtol=1e-6)
    np.testing.assert_allclose(of_x_t * x_t + of_x_0 * x_0, mean, rtol=1e-6)


@pytest.mark.system
def test_perturb_has_the_mean_and_variance_of_theory(any_process):
    x_0 = jnp.broadcast_to(jnp.array([0.5, -1.0]), (200_000, 2))
    t = jnp.full(200_000, 0.3)
    x_t, eps = process.perturb(any_process, jax.random.key(0), x_0, t)
    alpha, sigma = any_process.alpha(t[0]), any_process.sigma(t[0])
    np.testing.assert_allclose(x_t.mean(0), alpha * x_0[0], atol=4 * sigma / np.sqrt(200_000))
    np.testing.assert_allclose(x_t.var(0), sigma**2, rtol=4 * np.sqrt(2 / 200_000))
    np.testing.assert_allclose(x_t, alpha * x_0 + sigma * eps, atol=1e-6)


def test_noise_belongs_to_the_process():
    still = schedules.vp()._replace(noise=lambda key, x: jnp.zeros_like(x))
    x_t, _ = process.perturb(still, jax.random.key(0), jnp.ones((3, 2)), jnp.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(x_t[:, 0], still.alpha(jnp.array([0.1, 0.2, 0.3])))


@pytest.mark.parametrize("table", [[], [0.1, 1.0], [0.0, 0.1], [[0.1]], [np.nan]])
def test_bad_tables_are_refused(table):
    with pytest.raises(InputError, match=r"one-dimensional table of numbers in \(0, 1\)"):
        schedules.ddpm(np.array(table))
