"""Exact flow maps against the flow itself, by an integrator that is not the library's, and by their identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from jaxdiff.gaussian import flow_map as maps
from jaxdiff.gaussian import schedules
from jaxdiff.gaussian.denoiser import to_velocity
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.posterior import mixture_posterior
from jaxdiff.gaussian.process import perturb
from jaxdiff.samplers import jump, posterior_jumps, renoise, sample
from tests.helpers.cases import tiers

WEIGHTS, MEANS, STDS = np.array([0.3, 0.5, 0.2]), np.array([-1.0, 0.8, 0.2]), np.array([0.15, 0.4, 0.3])
X = np.linspace(-3, 3, 13)[:, None]
PATHS = {"flow": schedules.flow, "vp": schedules.vp, "edm": schedules.edm, "cosine": schedules.cosine}
every = pytest.mark.parametrize("path", tiers(PATHS, ["flow", "edm"]))


def mixture(process):
    return maps.mixture_map(process, WEIGHTS, MEANS, STDS)


def denoiser(process):
    return gaussian_mixture(process, WEIGHTS, MEANS[:, None], STDS[:, None])


@pytest.mark.system
@every
def test_the_mixture_map_is_the_integrated_flow(path, float64):
    process = PATHS[path]()
    velocity = jax.jit(to_velocity(process, denoiser(process)))
    run = lambda t, x: np.asarray(velocity(jnp.asarray(x)[:, None], jnp.asarray(t)))[:, 0]
    t, s = 0.9, 0.05
    x_t = np.asarray(process.sigma(t)) * X
    there = integrate.solve_ivp(run, (t, s), x_t[:, 0], "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(mixture(process)(jnp.asarray(x_t), t, s)[:, 0], there, atol=2e-9)


@pytest.mark.system
@every
@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_maps_compose(kind, path, float64):
    process = PATHS[path]()
    flow_map = mixture(process) if kind == "mixture" else maps.gaussian_map(process, 0.3, 0.6)
    x = process.sigma(0.9) * jnp.asarray(X)
    np.testing.assert_allclose(flow_map(flow_map(x, 0.9, 0.4), 0.4, 0.1), flow_map(x, 0.9, 0.1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(flow_map(x, 0.9, 0.9), x, atol=1e-11)
    np.testing.assert_allclose(flow_map(flow_map(x, 0.9, 0.0), 0.0, 0.9), x, rtol=1e-11, atol=1e-13)


@pytest.mark.system
@every
def test_any_number_of_jumps_leads_to_one_place(path):
    """In float32, from t = 1 to the data in 1 to 16 steps."""
    process = PATHS[path]()
    x_1 = process.sigma(1.0) * jnp.asarray(X, jnp.float32)
    run = jax.jit(lambda x, times: sample(jump(maps.gaussian_map(process, 0.3, 0.6)), jax.random.key(0), x, times))
    ends = [run(x_1, np.linspace(1, 0, n + 1, dtype=np.float32)) for n in (1, 2, 4, 16)]
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], rtol=0, atol=2e-6)


@pytest.mark.slow
def test_jumps_of_the_mixture_in_float32_too():
    run = jax.jit(lambda x, times: sample(jump(mixture(schedules.flow())), jax.random.key(0), x, times))
    ends = [run(jnp.asarray(X, jnp.float32), np.linspace(1, 0, n + 1, dtype=np.float32)) for n in (1, 2, 4, 16)]
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], rtol=0, atol=2e-6)


@pytest.mark.system
def test_the_mean_velocity_of_a_gaussian_keeps_meanflows_identity(float64):
    """`u + (t - r) du/dt = v` along the flow, and the velocity from moments that are written out here."""
    m, s, t, r = 0.3, 0.6, jnp.float64(0.7), jnp.float64(0.2)
    std = lambda t: jnp.sqrt((1 - t) ** 2 * s**2 + t**2)
    z = jnp.asarray(X)
    v = -m + jax.grad(std)(t) / std(t) * (z - (1 - t) * m)
    u = maps.mean_velocity(maps.gaussian_map(schedules.flow(), m, s))
    value, slope = jax.jvp(lambda z, t: u(z, t, r), (z, t), (v, jnp.ones_like(t)))
    np.testing.assert_allclose(value + (t - r) * slope, v, atol=1e-14)
    back = maps.from_mean_velocity(u)(z, t, r)
    np.testing.assert_allclose(back, maps.gaussian_map(schedules.flow(), m, s)(z, t, r), atol=1e-14)


@pytest.mark.slow
def test_derivatives_of_the_mixture_map(float64):
    """By x, t and s: against differences; and the flow's velocity where s leaves t."""
    process = schedules.flow()
    flow_map, x = mixture(process), jnp.asarray(X)
    h = 1e-6
    for i, point in enumerate([(x, 0.7, 0.3), (2 * x, 0.9, 0.05)]):
        point = tuple(map(jnp.asarray, point))
        for axis in range(3):
            step = tuple(h * jnp.ones_like(p) * (j == axis) for j, p in enumerate(point))
            along = tuple(d / h for d in step)
            numeric = (
                flow_map(*(p + d for p, d in zip(point, step, strict=True)))
                - flow_map(*(p - d for p, d in zip(point, step, strict=True)))
            ) / (2 * h)
            np.testing.assert_allclose(
                jax.jvp(flow_map, point, along)[1], numeric, rtol=1e-5, atol=1e-7, err_msg=str(i)
            )
    velocity = to_velocity(process, denoiser(process))(x, jnp.asarray(0.7))
    s = jnp.asarray(0.7)
    away = jax.jvp(lambda s: flow_map(x, jnp.asarray(0.7), s), (s,), (jnp.ones_like(s),))[1]
    np.testing.assert_allclose(away, velocity, rtol=1e-8)


@pytest.mark.system
@every
def test_ddim_aims_at_the_endpoint(path, float64):
    """A map is DDIM's step to its own endpoint; at s = 0 the endpoint is the consistency function, near t x̂_0."""
    process = PATHS[path]()
    flow_map = mixture(process)
    endpoint, x = maps.to_endpoint(process, flow_map), process.sigma(0.6) * jnp.asarray(X)
    np.testing.assert_allclose(maps.ddim_map(process, endpoint)(x, 0.6, 0.2), flow_map(x, 0.6, 0.2), atol=1e-12)
    np.testing.assert_allclose(endpoint(x, 0.6, 0.0), flow_map(x, 0.6, 0.0), atol=1e-12)
    t = jnp.asarray(0.6)
    np.testing.assert_allclose(endpoint(x, t, t - 1e-6), denoiser(process)(x, t), atol=1e-3)
    for t in (0.0, 0.6):
        np.testing.assert_allclose(maps.ddim_map(process, lambda x, t, s: x + 5)(x, t, t), x, rtol=1e-13)


@pytest.mark.system
def test_on_the_straight_path_the_velocity_is_the_mean_velocity(float64):
    """`x - (t - s) u = ddim(x, x - t u)`, whatever u, for times of each example too."""
    rng = np.random.default_rng(0)
    x, u = jnp.asarray(rng.normal(size=(2, 5, 3)))
    t, s = jnp.asarray(rng.uniform(0.5, 1, 5)), jnp.asarray(rng.uniform(0, 0.5, 5))
    aimed = maps.ddim_map(schedules.flow(), lambda x, t, s: x - t[:, None] * u)(x, t, s)
    np.testing.assert_allclose(aimed, x - (t - s)[:, None] * u, atol=1e-14)


@pytest.mark.system
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("kind", ["renoise", "posterior_jumps"])
@pytest.mark.parametrize("path", [schedules.flow, lambda: schedules.polynomial(0.1)], ids=["flow", "noisy data"])
def test_exact_draws_in_any_number_of_steps(path, kind, steps):
    """The law of the samples is that at t = 0, by Kolmogorov and Smirnov's test; there may be noise there, too."""
    process = path()
    posterior = mixture_posterior(process, WEIGHTS, MEANS[:, None], STDS[:, None])
    sampler = renoise(process, mixture(process)) if kind == "renoise" else posterior_jumps(process, posterior)
    rng = np.random.default_rng(1)
    chosen = rng.choice(len(WEIGHTS), 8_000, p=WEIGHTS / np.sum(WEIGHTS))
    data = jnp.asarray(MEANS[chosen] + STDS[chosen] * rng.normal(size=chosen.shape), jnp.float32)[:, None]
    x_1, _ = perturb(process, jax.random.key(1), data, jnp.float32(1))
    times = np.linspace(1, 0, steps + 1, dtype=np.float32)
    x_0 = np.asarray(jax.jit(lambda x: sample(sampler, jax.random.key(0), x, times))(x_1))[:, 0]
    alpha, sigma = (float(c(jnp.float32(0))) for c in (process.alpha, process.sigma))
    widths = np.hypot(alpha * STDS, sigma)
    law = lambda x: sum(w * stats.norm.cdf(x, alpha * m, s) for w, m, s in zip(WEIGHTS, MEANS, widths, strict=True))
    assert stats.kstest(x_0, law).pvalue > 1e-3


@pytest.mark.slow
def test_the_posterior_has_the_denoisers_mean(float64):
    """And its variance is sigma² / alpha times the slope of the denoiser (Tweedie); for times of each example too."""
    process, n = schedules.vp(), 40_000
    x_t, t = jnp.asarray([[0.4], [-0.9]]), jnp.asarray([0.3, 0.6])
    draw = mixture_posterior(process, WEIGHTS, MEANS[:, None], STDS[:, None])
    drawn = jax.vmap(lambda key: draw(key, x_t, t))(jax.random.split(jax.random.key(0), n))[..., 0]
    mean = lambda x: denoiser(process)(x, t)
    value, slope = jax.jvp(mean, (x_t,), (jnp.ones_like(x_t),))
    variance = (process.sigma(t) ** 2 / process.alpha(t)) * slope[:, 0]
    np.testing.assert_allclose(drawn.mean(0), value[:, 0], atol=5 * float(jnp.sqrt(variance.max() / n)))
    np.testing.assert_allclose(drawn.var(0), variance, rtol=0.05)
