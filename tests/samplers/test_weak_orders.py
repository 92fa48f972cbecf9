"""Stochastic samplers: the law they draw, exactly for Gaussian data, and by large samples for a mixture.

For Gaussian data every sampler here is affine in its start and its noise. So the variance of its result is known to the
last digit, from a Jacobian, and its error falls with the sampler's weak order, undisturbed by sampling noise.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian import grids, schedules
from jaxdiff.samplers import sample
from tests.helpers import oracle
from tests.helpers.samplers import SAMPLERS, each

STD = 0.4

ALL = {name: (entry.make, entry.weak) for name, entry in SAMPLERS.items() if entry.weak}


def variance_after(make, path, steps):
    """The variance of x at the low end, of a start with the true one."""
    chain, (high, low) = oracle.PROCESSES[path](), oracle.MIDDLE[path]
    key, times = jax.random.key(0), oracle.warmed(steps, high, low)
    count = len(times) - 1
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count))
    known = jax.random.key_data(jnp.concatenate([keys, *jax.vmap(jax.random.split)(keys).T]))

    def result(inputs):
        x_1, z = inputs

        def noise(key, x):
            return jnp.where((known == jax.random.key_data(key)).all(1), z, 0).sum() * jnp.ones_like(x)

        given = chain._replace(noise=noise)
        denoiser = oracle.denoiser(chain, (np.ones(1), np.zeros((1, 1)), np.full((1, 1), STD)))
        return sample(make(given, denoiser), key, x_1[None, None], times)[0, 0]

    of_x, of_z = jax.jit(jax.grad(result))((jnp.array(0.0), jnp.zeros(len(known))))
    return of_x**2 * true_variance(chain, high) + jnp.sum(of_z**2)


def true_variance(chain, t):
    t = jnp.array(t)
    return (chain.alpha(t) * STD) ** 2 + chain.sigma(t) ** 2


@pytest.mark.system
@pytest.mark.parametrize("path", ["vp", *(pytest.param(p, marks=pytest.mark.slow) for p in ("edm", "flow"))])
@each(ALL)
def test_weak_order(name, path, float64):
    make, order = ALL[name]
    exact = true_variance(oracle.PROCESSES[path](), oracle.MIDDLE[path][1])
    errors = [abs(float(variance_after(make, path, n) / exact - 1)) for n in (80, 160)]
    if errors[1] < 1e-10:  # exact for this data: nothing to measure
        return
    assert np.log2(errors[0] / errors[1]) > order - 0.15, errors


@pytest.mark.statistical
def test_churn_is_exact_in_the_limit_where_it_falls_with_the_steps(float64):
    def error(churn, n):
        options = {"churn": churn, "churn_noise": 1.0, "churn_min": 0.0, "step_scale": 1.0}
        make = functools.partial(samplers.churned, **options)
        return abs(float(variance_after(make, "vp", n) / true_variance(schedules.vp(), oracle.MIDDLE["vp"][1]) - 1))

    assert np.log2(error(4 / 40, 40) / error(4 / 80, 80)) > 0.85
    assert error(0.1, 80) > 0.7 * error(0.1, 40)  # 0.0113 is left, however many steps there are


@pytest.mark.statistical
@pytest.mark.parametrize(("name", "order"), [("euler_maruyama", 1), ("srk", 1.5)])
def test_strong_order(name, order, float64):
    """Path by path: the same Brownian motion on finer and finer grids, for the mixture."""
    chain, (high, low), fine, paths = oracle.PROCESSES["vp"](), oracle.MIDDLE["vp"], 2048, 256
    x_1 = oracle.noised(chain, 0, oracle.PLANE, paths, high, jnp.float64)
    step = (high - low) / fine
    w = jnp.sqrt(step) * jax.random.normal(jax.random.key(1), (fine, paths, 2))

    def end(make, n):
        h = (high - low) / n
        parts = w.reshape(n, fine // n, paths, 2)
        dw = parts.sum(1)
        mean = (jnp.cumsum(parts, axis=1) - parts / 2).mean(1)  # of w - w_t over the step
        draws = jnp.concatenate([dw, np.sqrt(3) * (2 * mean - dw)]) / jnp.sqrt(h)
        key = jax.random.key(0)
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
        known = keys if name == "euler_maruyama" else jnp.concatenate([*jax.vmap(jax.random.split)(keys).T])
        known = jax.random.key_data(known)
        noise = lambda key, x: draws[jnp.argmax((known == jax.random.key_data(key)).all(1))]
        sampler = make(chain._replace(noise=noise), oracle.denoiser(chain, oracle.PLANE))
        return jax.jit(lambda x: sample(sampler, key, x, np.linspace(high, low, n + 1)))(x_1)

    make = getattr(samplers, name)
    reference = end(make, fine)
    errors = [float(jnp.sqrt(jnp.mean((end(make, n) - reference) ** 2))) for n in (32, 64, 128)]
    assert -np.polyfit(np.log([32, 64, 128]), np.log(errors), 1)[0] > order - 0.15, errors


GRIDS = {
    "vp": lambda chain, n: grids.uniform(n),
    "edm": lambda chain, n: grids.karras(chain, n),
    "flow": lambda chain, n: grids.uniform(n, 0.999),
}


def distance(make, path, steps, points, mixture=oracle.PLANE):
    """Sliced Wasserstein-2 distance of a sampler's points to the mixture."""
    chain = oracle.PROCESSES[path]()
    times = GRIDS[path](chain, steps)
    x_1 = oracle.noised(chain, 2, mixture, points, times[0])
    sampler = make(chain, oracle.denoiser(chain, mixture))
    x_0 = jax.jit(lambda x, times: sample(sampler, jax.random.key(3), x, times))(x_1, times)
    return oracle.sliced_wasserstein(x_0, oracle.draw(1, mixture, points))


def noise_floor(points, mixture=oracle.PLANE):
    """What two exact sets of points are apart."""
    true = oracle.draw(1, mixture, points)
    return np.mean([oracle.sliced_wasserstein(oracle.draw(10 + k, mixture, points), true) for k in range(3)])


CORRECTED = {
    "then": SAMPLERS["then"].make,
    "restart": lambda p, d: samplers.restart(p, samplers.dpmpp_2m(p, d), RESTART, 2),
}
RESTART = np.linspace(0.01, 0.005, 21)


@pytest.mark.slow
@pytest.mark.parametrize("path", GRIDS)
@pytest.mark.parametrize("name", [*ALL, *CORRECTED])
def test_a_thousand_steps_draw_the_mixture(name, path):
    """100,000 points, the whole interval: within twice the sampling noise of exact points."""
    make = CORRECTED[name] if name in CORRECTED else ALL[name][0]
    assert distance(make, path, 1000, 100_000) < 2 * noise_floor(100_000)


@pytest.mark.system
@each(["ancestral", "srk", "dpmpp_2m_noisy", "then", "restart"], unit=["ancestral"])
def test_points_of_the_mixture(name):
    make = CORRECTED[name] if name in CORRECTED else ALL[name][0]
    few, many = (distance(make, "edm", n, 20_000) for n in (20, 200))
    assert many < 2 * noise_floor(20_000)
    assert few > many


@each(["ddim_noisy", "dpmpp_2m_noisy"], unit=[])
def test_sixty_four_dimensions(name):
    mixture = oracle.wide()
    assert distance(ALL[name][0], "vp", 200, 5000, mixture) < 2 * noise_floor(5000, mixture)


@pytest.mark.statistical
def test_the_bias_of_annealed_langevin_falls_with_its_steps():
    """Biased by design: too wide by its last level, and by each level's finite walk. More and shorter steps help."""
    chain = schedules.ncsn(32, 0.02, 10.0)
    denoiser = oracle.denoiser(chain, oracle.PLANE)
    times, points = grids.trailing(32, 32), 20_000
    x_1 = oracle.noised(chain, 2, oracle.PLANE, points, 1.0)

    def bias(rate, repeats):
        sampler = samplers.annealed_langevin(chain, denoiser, rate, repeats)
        x_0 = jax.jit(lambda x: sample(sampler, jax.random.key(0), x, times))(x_1)
        return oracle.sliced_wasserstein(x_0, oracle.draw(1, oracle.PLANE, points))

    assert bias(0.2, 100) < 0.06 < bias(0.2, 5)


@pytest.mark.statistical
@pytest.mark.parametrize("steps", [5, 20])
def test_the_analytic_variance_is_the_best_number(steps, float64):
    """For Gaussian data Bao's variance makes each step, and so the chain, exact, however few there are."""
    chain, times = oracle.PROCESSES["vp"](), np.linspace(0.8, 0.2, steps + 1)
    denoiser = oracle.denoiser(chain, (np.ones(1), np.zeros((1, 1)), np.full((1, 1), STD)))
    t = jnp.asarray(times)
    gamma = chain.sigma(t) ** 2 / true_variance(chain, t)
    x_0 = jnp.asarray(STD * np.random.default_rng(0).normal(size=(400_000, 1)))
    measured = samplers.mean_square_eps(chain, denoiser, jax.random.key(0), x_0, t)
    np.testing.assert_allclose(measured, gamma, rtol=1e-2)

    def after(x, z, high, low):
        given = chain._replace(noise=lambda key, x: z * jnp.ones_like(x))
        sampler = samplers.ancestral(given, denoiser, samplers.analytic(t, gamma))
        return sampler.step(jax.random.key(0), samplers.State(x[None, None]), high, low).x[0, 0]

    variance = true_variance(chain, t[0])
    for high, low in itertools.pairwise(t):
        of_x, of_z = jax.grad(after, (0, 1))(jnp.array(0.3), jnp.array(0.0), high, low)
        variance = of_x**2 * variance + of_z**2
    np.testing.assert_allclose(variance, true_variance(chain, t[-1]), rtol=1e-9)


def test_the_learned_range_runs_from_small_to_large():
    chain, x, s, t = oracle.PROCESSES["vp"](), jnp.zeros((2, 3)), jnp.float32(0.4), jnp.float32(0.5)
    small, large = (f(chain, x, s, t) for f in (samplers.fixed_small, samplers.fixed_large))
    for share, expected in [(0.0, small), (1.0, large), (0.5, jnp.sqrt(small * large))]:
        variance = samplers.learned_range(lambda x, t, share=share: jnp.full_like(x, share))(chain, x, s, t)
        np.testing.assert_allclose(variance, expected * jnp.ones((2, 3)), rtol=1e-5)
