"""What every process promises, each of them, and the published formulas of the ones that have them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdiff.errors import InputError
from jaxdiff.gaussian import betas, schedules
from jaxdiff.gaussian.denoiser import to_velocity, transfer
from jaxdiff.gaussian.process import (
    diffuse,
    diffusion2,
    drift,
    interior,
    log_snr,
    log_snr_drop,
    prior,
    prior_log_density,
    time_at,
    with_slopes,
)
from jaxdiff.samplers import State, ddim
from tests.helpers import oracle
from tests.helpers.cases import tiers

T = np.array([0.05, 0.2, 0.5, 0.8, 0.95])


@pytest.fixture(params=tiers(oracle.PROCESSES, ["ddpm_cosine", "vp", "edm", "flow", "from_log_snr"]))
def each(request):
    return oracle.PROCESSES[request.param]()


def at(function, chain):
    return np.asarray(jax.vmap(lambda t: function(chain, t))(jnp.asarray(T)))


@pytest.mark.system
def test_log_snr_falls_and_is_inverted(each, float64):
    t = jnp.asarray(np.linspace(0.001, 0.999, 400))
    ratio = log_snr(each, t)
    assert (jnp.diff(ratio) < 0).all()
    np.testing.assert_allclose(time_at(each, ratio), t, rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(log_snr(each, time_at(each, ratio)), ratio, rtol=1e-5, atol=1e-3)


def test_nothing_but_noise_is_at_1_and_nothing_but_data_at_0(each):
    np.testing.assert_allclose(time_at(each, jnp.array([-jnp.inf, jnp.inf])), [1, 0], atol=1e-6)


@pytest.mark.system
def test_the_drop_is_the_difference(each, float64):
    s, t = jnp.asarray(T), jnp.asarray(T) * 1.05
    np.testing.assert_allclose(log_snr_drop(each, s, t), log_snr(each, s) - log_snr(each, t), rtol=1e-4)
    np.testing.assert_allclose(log_snr_drop(each, s, s), 0, atol=1e-12)


@pytest.mark.system
def test_the_forward_sde_has_the_marginals(each, float64):
    """Mean and variance obey m' = f m, v' = 2 f v + g²: checked as derivatives, at all times."""
    t = jnp.asarray(T) + 1.3e-4  # beside the joints of tables
    f, g2 = (jax.vmap(lambda t, h=h: h(each, t))(t) for h in (drift, diffusion2))
    alpha, d_alpha = jax.jvp(each.alpha, (t,), (jnp.ones_like(t),))
    variance, d_variance = jax.jvp(lambda t: each.sigma(t) ** 2, (t,), (jnp.ones_like(t),))
    np.testing.assert_allclose(d_alpha, f * alpha, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(d_variance, 2 * f * variance + g2, rtol=1e-6, atol=1e-9)
    assert (g2 > 0).all()


@pytest.mark.system
def test_published_drift_and_diffusion(float64):
    beta = 0.1 + 19.9 * T
    total = 0.1 * T + 0.5 * 19.9 * T**2
    for chain, f, g2 in [
        (schedules.sub_vp(), -beta / 2, beta * (1 - np.exp(-2 * total))),
        (schedules.ve(0.01, 50.0), 0 * T, (0.01 * 5000**T) ** 2 * 2 * np.log(5000)),
        (schedules.edm(80.0), 0 * T, 2 * 80**2 * T),
        (schedules.flow(), -1 / (1 - T), 2 * T / (1 - T)),
    ]:
        np.testing.assert_allclose(at(drift, chain), f, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(at(diffusion2, chain), g2, rtol=1e-9)


@pytest.mark.system
def test_published_schedules(float64):
    t = jnp.asarray(T)
    gamma = (stats.logistic.cdf(3) - stats.logistic.cdf(6 * T - 3)) / (stats.logistic.cdf(3) - stats.logistic.cdf(-3))
    np.testing.assert_allclose(schedules.sigmoid().alpha(t) ** 2, gamma, rtol=1e-12)
    np.testing.assert_allclose(schedules.sigmoid().sigma(t) ** 2, 1 - gamma, rtol=1e-11)
    levels = schedules.ncsn(10, 0.01, 1.0).sigma(jnp.asarray((np.arange(10) + 1) / 10))
    np.testing.assert_allclose(levels, np.geomspace(0.01, 1.0, 10), rtol=1e-12)
    # Simple diffusion: the log-SNR of a picture f times as wide is lower by 2 log f. SD3: t' = f t / (1 + (f - 1) t).
    np.testing.assert_allclose(
        log_snr(schedules.shifted(schedules.cosine(), 4.0), t),
        log_snr(schedules.cosine(), t) - 2 * np.log(4),
        rtol=1e-9,
    )
    moved = schedules.shifted(schedules.flow(), 3.0, power=1.0)
    np.testing.assert_allclose(moved.sigma(t), 3 * T / (1 + 2 * T), rtol=1e-12)
    np.testing.assert_allclose(moved.alpha(t), 1 - 3 * T / (1 + 2 * T), rtol=1e-12)


@pytest.mark.system
def test_zero_terminal_snr_is_algorithm_1(float64):
    table = betas.linear(1000)
    root = np.sqrt(np.cumprod(1 - table))
    expected = (root - root[-1]) * root[0] / (root[0] - root[-1])
    chain = schedules.ddpm(table, zero_terminal_snr=True)
    t = jnp.asarray((np.arange(1000) + 1) / 1000)
    np.testing.assert_allclose(chain.alpha(t), expected, rtol=1e-6, atol=1e-9)
    assert chain.alpha(t)[-1] == 0
    assert chain.sigma(t)[-1] == 1
    between = chain.alpha(jnp.asarray(np.linspace(0.9985, 1, 50)))
    assert (jnp.diff(between) < 0).all()


@pytest.mark.system
def test_paths_of_the_forward_sde(each):
    """Drawn step by step, every point has the law of the process, and neighbors their covariance."""
    times, n = np.array([0.1, 0.3, 0.7]), 200_000
    x_0 = jnp.full((n, 1), 0.5)
    path = diffuse(each, jax.random.key(0), x_0, times)
    assert path.shape == (3, n, 1)
    for x, t in zip(path, jnp.asarray(times), strict=True):
        sigma = each.sigma(t)
        np.testing.assert_allclose(x.mean(), each.alpha(t) * 0.5, atol=float(5 * sigma / np.sqrt(n)))
        np.testing.assert_allclose(x.std(), sigma, rtol=5 / np.sqrt(2 * n))
    s, t = jnp.asarray(times[1:])
    covariance = jnp.mean((path[1] - path[1].mean()) * (path[2] - path[2].mean()))
    exact = each.alpha(t) / each.alpha(s) * each.sigma(s) ** 2
    np.testing.assert_allclose(covariance, exact, atol=float(6 * each.sigma(s) * each.sigma(t) / np.sqrt(n)))


@pytest.mark.system
def test_the_prior_and_its_density(each):
    x = prior(each, jax.random.key(0), jnp.zeros((100_000, 2)))
    std = float(jnp.hypot(each.alpha(jnp.float32(1)), each.sigma(jnp.float32(1))))
    np.testing.assert_allclose(x.std(), std, rtol=1e-2)
    points = np.array([[0.3, -1.0], [2.0, 0.1]]) * std
    expected = stats.norm.logpdf(points, 0, std).sum(1)
    np.testing.assert_allclose(prior_log_density(each, jnp.asarray(points)), expected, rtol=1e-4)


@pytest.mark.system
@pytest.mark.parametrize("source", ["flow", "ddpm"])
def test_a_denoiser_goes_along_any_path(source, each, float64):
    """transfer: the mixture's denoiser of one process is, along another, that one's own."""
    chain = oracle.PROCESSES[source]()
    ours = transfer(chain, each, oracle.denoiser(chain, oracle.PLANE))
    exact = oracle.denoiser(each, oracle.PLANE)
    for t in (0.3, 0.6):
        t = jnp.array(t)
        if not log_snr(chain, jnp.array(1.0)) < log_snr(each, t) < log_snr(chain, jnp.array(1e-6)):
            continue
        x = oracle.noised(each, 0, oracle.PLANE, 32, t, jnp.float64)
        # Tables of float32 logarithms are good to 1e-5 between their steps.
        np.testing.assert_allclose(ours(x, t), exact(x, t), rtol=1e-3, atol=1e-4)


@pytest.mark.system
def test_the_flow_carries_the_marginals(each, float64):
    """The continuity equation: d/dt log q + div v + v · ∇ log q = 0, for the exact mixture."""
    velocity = to_velocity(each, oracle.denoiser(each, oracle.PLANE))
    density = oracle.log_density(each, oracle.PLANE)
    t = jnp.array(0.4 + 1.3e-4)

    @jax.jit
    @jax.vmap
    def rate(x):
        log_q = lambda x, t: density(x[None], t)[0]
        v = velocity(x[None], t)[0]
        divergence = jnp.trace(jax.jacfwd(lambda x: velocity(x[None], t)[0])(x))
        slopes = jax.grad(log_q, (0, 1))(x, t)
        return slopes[1] + divergence + v @ slopes[0], divergence

    rates, divergences = rate(oracle.noised(each, 0, oracle.PLANE, 5, float(t), jnp.float64))
    assert (jnp.abs(rates) < 1e-4 * (1 + jnp.abs(divergences))).all(), rates


def test_where_rounding_makes_alpha_negative_it_is_0():
    """cos(pi / 2) is -4e-8 in float32, whose logarithm is no number; the slope is that of the function."""
    own = schedules.interpolant(lambda t: jnp.cos(jnp.pi / 2 * t), lambda t: jnp.sin(jnp.pi / 2 * t))
    end = jnp.ones(())
    assert jnp.cos(jnp.pi / 2 * end) < 0
    assert own.alpha(end) == 0
    assert log_snr(own, end) == -jnp.inf
    _, slopes = with_slopes(own, end)
    np.testing.assert_allclose(slopes, [-np.pi / 2, 0], atol=1e-6)
    x_s = ddim(own, lambda x, t: 0.5 * x).step(jax.random.key(0), State(jnp.ones((1, 1))), end, end / 2)
    np.testing.assert_allclose(x_s.x, 1.5 * np.sqrt(0.5), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.interpolant(lambda t: 1 - t, lambda t: 0.5 + 0 * t), None),
        (lambda: schedules.interpolant(lambda t: 1 - t, lambda t: jnp.sin(3 * t)), None),
        (lambda: schedules.interpolant(lambda t: 1 + 0 * t, lambda t: 1 - t), "must fall strictly"),
        (lambda: schedules.interpolant(lambda t: jnp.cos(4 * t), lambda t: t), "must not be negative"),
        (lambda: schedules.interpolant(lambda t: 1 - t / 2, lambda t: t * (1.2 - t)), "must fall strictly"),
        (lambda: schedules.vp(beta_min=-1.0), "beta from -1.0"),
        (lambda: schedules.vp(beta_min=5.0, beta_max=1.0), "must be positive and not fall"),
        (lambda: schedules.ve(1.0, 0.1), "sigma from 1.0 to 0.1"),
        (lambda: schedules.edm(0.0), "sigma_max=0.0"),
        (lambda: schedules.ncsn(levels=1), "2 or more"),
        (lambda: schedules.sigmoid(start=3.0, end=-3.0), "start must be below end"),
        (lambda: schedules.shifted(schedules.vp(), 0.0), "factor=0.0"),
        (lambda: schedules.ddpm(np.array([0.1]), zero_terminal_snr=True), "2 steps or more"),
    ],
)
def test_what_is_no_process_is_refused(make, message):
    if message is None:
        make()
        return
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_the_sigmoid_by_hand(tau):
    """Algorithm 1 of Jabri et al. 2023, in float64."""
    t = np.array([0.1, 0.3, 0.7, 0.9])
    v = lambda x: 1 / (1 + np.exp(-x / tau))
    alpha_bar = (v(3) - v(t * 6 - 3)) / (v(3) - v(-3))
    np.testing.assert_allclose(schedules.sigmoid(tau=tau).alpha(jnp.asarray(t)) ** 2, alpha_bar, rtol=1e-5)


@pytest.mark.system
def test_the_last_interval_of_a_zero_terminal_chain_by_hand():
    """There alpha falls in a straight line to 0, and log-SNR with it."""
    table = betas.linear(10)
    process = schedules.ddpm(table, zero_terminal_snr=True)
    t = jnp.array([0.91, 0.95, 0.99])
    alpha = process.alpha(jnp.float32(0.9)) * (1 - t) * 10
    np.testing.assert_allclose(process.alpha(t), alpha, rtol=1e-5)
    drop = log_snr_drop(process, jnp.float32(0.9), t)
    before = np.log(process.alpha(0.9) ** 2 / (1 - process.alpha(0.9) ** 2))
    np.testing.assert_allclose(before - drop, np.log(alpha**2 / (1 - alpha**2)), rtol=1e-4)


def test_the_interior_lies_within_the_ends():
    process = schedules.cosine()
    t = jnp.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(interior(process, t), [1e-4, 0.5, 1 - 1e-4], rtol=1e-6)
