"""Every sampler's steps against its published formula, written out in NumPy, on the variance preserving path.

Four steps of uneven length from t = 0.8, of two points in two dimensions, with a denoiser that is no one's exact one.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian import schedules
from jaxdiff.gaussian.denoiser import clip
from tests.helpers import samplers as few

VP, KEY = schedules.vp(), jax.random.key(3)
TIMES = np.array([0.8, 0.6, 0.45, 0.27, 0.2])
X = np.array([[0.3, -1.2], [0.8, 0.1]])
TO_DATA = np.append(TIMES, 0.0)


def alpha(t):
    return np.exp(-0.5 * (0.1 * t + 9.95 * t**2))


def sigma(t):
    return np.sqrt(1 - alpha(t) ** 2)


def half_snr(t):
    """l = log(alpha / sigma)."""
    return np.log(alpha(t) / sigma(t))


def time_of(half):
    """The root of 9.95 t² + 0.1 t = log(1 + e^(-2 l))."""
    return (-0.1 + np.sqrt(0.01 + 4 * 9.95 * np.log1p(np.exp(-2 * half)))) / (2 * 9.95)


def beta(t):
    return 0.1 + 19.9 * t


def data(x, t, numpy=np):
    return (1 - 0.4 * t) * numpy.tanh(1.3 * x) + 0.1 * t


def eps(x, t):
    return (x - alpha(t) * data(x, t)) / sigma(t)


def score(x, t):
    return -eps(x, t) / sigma(t)


def velocity(x, t):
    return -0.5 * beta(t) * (x + score(x, t))


def backward(x, t):
    return beta(t) * (0.5 * x + score(x, t))


def normal(key, x=X):
    return np.asarray(jax.random.normal(key, x.shape, jnp.float64))


def keys(times):
    return [jax.random.fold_in(KEY, i) for i in range(len(times) - 1)]


def written_out(step, times, shift=0.0, x=X):
    """`step(x, t, s, key, past)`, with `past` a list for what the step remembers; x is shifted before the last step."""
    past = []
    for t, s, key in zip(times[:-1], times[1:], keys(times), strict=True):
        x = step(x + shift * (s == times[-1]), t, s, key, past)
    return x


def ours(make, times, shift=0.0, chain=VP):
    sampler = make(chain, lambda x, t: data(x, t, jnp))
    state = sampler.init(jnp.asarray(X))
    for t, s, key in zip(times[:-1], times[1:], keys(times), strict=True):
        state = state._replace(x=state.x + shift * (s == times[-1]))
        state = sampler.step(key, state, jnp.asarray(t), jnp.asarray(s))
    return state.x


def euler(x, t, s, key, past):
    return x + (s - t) * velocity(x, t)


def midpoint(x, t, s, key, past):
    return x + (s - t) * velocity(x + (s - t) / 2 * velocity(x, t), (s + t) / 2)


def heun(x, t, s, key, past):
    first = velocity(x, t)
    second = velocity(x + (s - t) * first, s) if s else first
    return x + (s - t) * (first + second) / 2


def churned(x, t, s, key, past):
    """Up by a fifth of sigma / alpha, with 1.1 times the noise, while sigma / alpha is from 0.7 to 5."""
    if 0.7 <= sigma(t) / alpha(t) <= 5:
        higher = time_of(half_snr(t) - np.log(1.2))
        ratio = alpha(higher) / alpha(t)
        x = ratio * x + 1.1 * np.sqrt(sigma(higher) ** 2 - (ratio * sigma(t)) ** 2) * normal(key)
        t = higher
    return heun(x, t, s, key, past)


def rk4(x, t, s, key, past):
    h, m = s - t, (s + t) / 2
    k1 = velocity(x, t)
    k2 = velocity(x + h / 2 * k1, m)
    k3 = velocity(x + h / 2 * k2, m)
    return x + h * k3 if s == 0 else x + h * (k1 + 2 * k2 + 2 * k3 + velocity(x + h * k3, s)) / 6


def euler_maruyama(x, t, s, key, past):
    noise = np.sqrt(beta(t) * (t - s)) * normal(key) if s else 0
    return x + (t - s) * backward(x, t) + noise


def reverse_diffusion(x, t, s, key, past):
    ratio = alpha(t) / alpha(s)
    variance = sigma(t) ** 2 - (ratio * sigma(s)) ** 2
    return (2 - ratio) * x + variance * score(x, t) + (np.sqrt(variance) * normal(key) if s else 0)


def srk(x, t, s, key, past):
    """SRA1 of Rößler 2010: c_1 = 3/4, A_21 = 3/4, B_21 = 3/2, a = (1/3, 2/3), b1 = 1, b2 = 1 and -1."""
    h, g = t - s, lambda t: np.sqrt(beta(t)) if s else 0.0
    first, second = (np.sqrt(h) * normal(k) for k in jax.random.split(key))
    mixed = 0.5 * (first + second / np.sqrt(3))
    k1 = backward(x, t)
    k2 = backward(x + 0.75 * h * k1 + 1.5 * g(s) * mixed, t - 0.75 * h)
    return x + h / 3 * (k1 + 2 * k2) + g(s) * first + (g(t) - g(s)) * mixed


def renoise(x, t, s, key, past):
    return alpha(s) * data(x, t) + sigma(s) * normal(key)


def posterior_jumps(x, t, s, key, past):
    """DDPM's posterior, its noise from the second half of the key."""
    ratio = alpha(t) / alpha(s)
    rest = 1 - ratio**2
    mean = (ratio * sigma(s) ** 2 * x + alpha(s) * rest * data(x, t)) / sigma(t) ** 2
    return mean + np.sqrt(rest) * sigma(s) / sigma(t) * normal(jax.random.split(key)[1])


def ddim(eta, temperature=1.0):
    def step(x, t, s, key, past):
        c = eta * sigma(s) / sigma(t) * np.sqrt(1 - (alpha(t) / alpha(s)) ** 2)
        x_s = alpha(s) * data(x, t) + np.sqrt(sigma(s) ** 2 - c**2) * eps(x, t)
        return x_s + temperature * c * normal(key)

    return step


def ancestral(variance, temperature=1.0):
    """`variance(small, large, of_x_0, t)`."""

    def step(x, t, s, key, past):
        ratio = alpha(t) / alpha(s)
        large = sigma(t) ** 2 - (ratio * sigma(s)) ** 2
        small, of_x_0 = large * (sigma(s) / sigma(t)) ** 2, alpha(s) * large / sigma(t) ** 2
        mean = ratio * (sigma(s) / sigma(t)) ** 2 * x + of_x_0 * data(x, t)
        return mean + (temperature * np.sqrt(variance(small, large, of_x_0, t)) * normal(key) if s else 0)

    return step


SHARE, GAMMA = 0.3, np.array([0.9, 0.8, 0.6, 1.2, 0.4])


def analytic(small, large, of_x_0, t):
    unsure = np.clip(1 - GAMMA[list(TIMES).index(t)], 0, 1)
    return small + of_x_0**2 * (sigma(t) / alpha(t)) ** 2 * unsure


def dpmpp_2s(eta):
    def step(x, t, s, key, past):
        if s == 0:
            return data(x, t)
        fresh = eta**2 * (1 - np.exp(-2 * (half_snr(s) - half_snr(t))))
        down = sigma(s) * np.sqrt(1 - fresh)
        h = np.log(alpha(s) / down) - half_snr(t)
        m = time_of(half_snr(t) + h / 2)
        x_m = sigma(m) / sigma(t) * x + alpha(m) * (1 - np.exp(-h / 2)) * data(x, t)
        x_s = down / sigma(t) * x + alpha(s) * (1 - np.exp(-h)) * data(x_m, m)
        return x_s + sigma(s) * np.sqrt(fresh) * normal(key)

    return step


def dpmpp(order, eta, curvature=1.0):
    """The multistep methods as k-diffusion writes them (its second derivative has half the factor), in any alpha."""

    def step(x, t, s, key, past):
        d = data(x, t)
        if s == 0:
            return d
        h = half_snr(s) - half_snr(t)
        h_eta = h * (1 + eta)
        mean = sigma(s) / sigma(t) * np.exp(-eta * h) * x - alpha(s) * np.expm1(-h_eta) * d
        phi_2 = np.expm1(-h_eta) / h_eta + 1
        if order == 2 and past:
            mean += alpha(s) * -np.expm1(-h_eta) * 0.5 * h / past[-1][1] * (d - past[-1][0])
        elif order == 3 and len(past) == 1:
            mean += alpha(s) * phi_2 * h / past[-1][1] * (d - past[-1][0])
        elif order == 3 and past:
            (d_2, h_2), (d_1, h_1) = past[-2:]
            r0, r1 = h_1 / h, h_2 / h
            d1_0, d1_1 = (d - d_1) / r0, (d_1 - d_2) / r1
            d1 = d1_0 + (d1_0 - d1_1) * r0 / (r0 + r1)
            d2 = (d1_0 - d1_1) / (r0 + r1)
            mean += alpha(s) * (phi_2 * d1 - 2 * curvature * (phi_2 / h_eta - 0.5) * d2)
        past.append((d, h))
        return mean + sigma(s) * np.sqrt(1 - np.exp(-2 * eta * h)) * normal(key)

    return step


def interpolated(places, values, at):
    """The polynomial through these values."""
    return sum(
        np.prod([(at - q) / (p - q) for q in places if q != p], axis=0) * np.ones_like(at) * v[..., None]
        for p, v in zip(places, values, strict=True)
    )


def integral(function, low, high):
    nodes, weights = np.polynomial.legendre.leggauss(40)
    return function(low + (high - low) * (nodes + 1) / 2) @ weights * (high - low) / 2


def adams(order, clock, slope):
    """d(x / alpha) = eps d(rho), with eps a polynomial in the clock."""

    def step(x, t, s, key, past):
        past.append((clock(t), eps(x, t)))
        if s == 0 and clock is not rho:  # log(rho) is infinite: of first order
            return data(x, t)
        places, values = zip(*past[-order:], strict=True)
        moved = integral(lambda u: slope(u) * interpolated(places, values, u), clock(t), clock(s))
        return alpha(s) * (x / alpha(t) + moved)

    return step


def rho(t):
    return sigma(t) / alpha(t)


def unipc(order):
    """Predictor and corrector, each exact for the polynomial in l through its results, but for the weights of 1/2."""

    def move(x, t, s, results, end=None):
        h = half_snr(s) - half_snr(t)
        (_, newest), older = results[0], results[1:]
        known = older + ([] if end is None else [(half_snr(s), end)])
        x = sigma(s) / sigma(t) * x
        if len(known) == 1:  # rho = 1/2 in place of b_1
            ratio = h / (known[0][0] - half_snr(t))
            return x + alpha(s) * (1 - np.exp(-h)) * (newest + 0.5 * ratio * (known[0][1] - newest))
        places, values = zip(results[0], *known, strict=True)
        kernel = lambda at: np.exp(at - half_snr(s)) * interpolated(places, values, at)
        return x + alpha(s) * integral(kernel, half_snr(t), half_snr(s))

    def step(x, t, s, key, past):
        d = data(x, t)
        if past:
            before, x_before, results, left = past.pop()
            x = move(x_before, before, t, results, d) + x - left
            results = [(half_snr(t), d), *results][:order]
        else:
            results = [(half_snr(t), d)]
        x_s = d if s == 0 else move(x, t, s, results)
        past.append((t, x, results, x_s))
        return x_s

    return step


def pndm(x, t, s, key, past):
    def transfer(x, e, t, s):
        return alpha(s) / alpha(t) * (x - sigma(t) * e) + sigma(s) * e

    e = eps(x, t)
    if len(past) < 3 and s == 0:
        mixed = e
    elif len(past) < 3:
        m = (t + s) / 2
        e2 = eps(transfer(x, e, t, m), m)
        e3 = eps(transfer(x, e2, t, m), m)
        e4 = eps(transfer(x, e3, t, s), s)
        mixed = (e + 2 * e2 + 2 * e3 + e4) / 6
    else:
        mixed = (55 * e - 59 * past[-1] + 37 * past[-2] - 9 * past[-3]) / 24
    past.append(e)
    return transfer(x, mixed, t, s)


def plms(of_v):
    weights = [(), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24)]

    def said(x, t):
        return alpha(t) * eps(x, t) - sigma(t) * data(x, t) if of_v else eps(x, t)

    def move(x, out, t, s):
        e = alpha(t) * out + sigma(t) * x if of_v else out
        return alpha(s) * (x - sigma(t) * e) / alpha(t) + sigma(s) * e

    def step(x, t, s, key, past):
        past.append(said(x, t))
        if len(past) > 1:
            return move(x, sum(w * o for w, o in zip(weights[min(len(past), 4) - 1], past[::-1], strict=False)), t, s)
        end = s if s > 0 else t
        return move(x, (past[0] + said(move(x, past[0], t, end), end)) / 2, t, s)

    return step


def langevin(x, t, s, key, past):
    if s == 0:
        return x
    a = (2 * 0.3 * sigma(s)) ** 2
    for i in range(2):
        x = x + a / 2 * score(x, s) + np.sqrt(a) * normal(jax.random.fold_in(key, i))
    return x


def corrected(x, t, s, key, past):
    first, second = jax.random.split(key)
    return langevin(reverse_diffusion(x, t, s, first, past), t, s, second, past)


UP = np.array([0.7, 0.5, 0.3])


def restarted(x, t, s, key, past):
    """DDIM with eta 0.5; on arrival below 0.3 twice up to 0.7 and down by 0.5."""
    x = ddim(0.5)(x, t, s, jax.random.fold_in(key, 0), past)
    if t > 0.3 >= s:
        for again in jax.random.split(jax.random.fold_in(key, 1), 2):
            up, down = jax.random.split(again)
            ratio = alpha(0.7) / alpha(s)
            x = ratio * x + np.sqrt(sigma(0.7) ** 2 - (ratio * sigma(s)) ** 2) * normal(up)
            x = ddim(0.5)(x, 0.7, 0.5, jax.random.fold_in(down, 0), past)
            x = ddim(0.5)(x, 0.5, s, jax.random.fold_in(down, 1), past)
    return x


def with_variance(variance, temperature=1.0):
    return lambda p, d: samplers.ancestral(p, d, variance, temperature)


ALL = {
    "euler": (samplers.euler, euler),
    "midpoint": (samplers.midpoint, midpoint),
    "heun": (samplers.heun, heun),
    "heun_churned": (lambda p, d: samplers.heun(p, d, 0.2, 1.1, 0.7, 5.0), churned),
    "rk4": (samplers.rk4, rk4),
    "euler_maruyama": (samplers.euler_maruyama, euler_maruyama),
    "reverse_diffusion": (samplers.reverse_diffusion, reverse_diffusion),
    "srk": (samplers.srk, srk),
    "ddim": (lambda p, d: samplers.ddim(p, d, 0.6, 0.8), ddim(0.6, 0.8)),
    "ancestral": (samplers.ancestral, ancestral(lambda small, large, of_x_0, t: small)),
    "ancestral_large": (
        with_variance(samplers.fixed_large, 0.7),
        ancestral(lambda small, large, of_x_0, t: large, 0.7),
    ),
    "learned_range": (
        with_variance(samplers.learned_range(lambda x, t: jnp.full_like(x, SHARE))),
        ancestral(lambda small, large, of_x_0, t: large**SHARE * small ** (1 - SHARE)),
    ),
    "analytic": (lambda p, d: with_variance(samplers.analytic(TIMES, GAMMA))(p, d), ancestral(analytic)),
    "dpmpp_1s": (lambda p, d: samplers.dpmpp_1s(p, d, 0.6), dpmpp(1, 0.6)),
    "dpmpp_2s": (samplers.dpmpp_2s, dpmpp_2s(0)),
    "dpmpp_2s_ancestral": (lambda p, d: samplers.dpmpp_2s(p, d, 0.6), dpmpp_2s(0.6)),
    "dpmpp_2m": (samplers.dpmpp_2m, dpmpp(2, 0)),
    "dpmpp_2m_sde": (lambda p, d: samplers.dpmpp_2m(p, d, 0.6), dpmpp(2, 0.6)),
    "dpmpp_3m": (samplers.dpmpp_3m, dpmpp(3, 0)),
    "dpmpp_3m_sde": (lambda p, d: samplers.dpmpp_3m(p, d, 0.6, 0.5), dpmpp(3, 0.6, 0.5)),
    "lms": (samplers.lms, adams(4, rho, np.ones_like)),
    "lms_2": (lambda p, d: samplers.lms(p, d, 2), adams(2, rho, np.ones_like)),
    "deis": (samplers.deis, adams(3, lambda t: -half_snr(t), np.exp)),
    "deis_1": (lambda p, d: samplers.deis(p, d, 1), adams(1, lambda t: -half_snr(t), np.exp)),
    "unipc_1": (lambda p, d: samplers.unipc(p, d, 1), unipc(1)),
    "unipc": (samplers.unipc, unipc(2)),
    "unipc_3": (lambda p, d: samplers.unipc(p, d, 3), unipc(3)),
    "pndm": (samplers.pndm, pndm),
    "plms": (samplers.plms, plms(False)),
    "plms_of_v": (lambda p, d: samplers.plms(p, d, of_v=True), plms(True)),
    "langevin": (lambda p, d: samplers.langevin(p, d, 0.3, 2), langevin),
    "corrected": (
        lambda p, d: samplers.then(samplers.reverse_diffusion(p, d), samplers.langevin(p, d, 0.3, 2)),
        corrected,
    ),
    "jump": (few.jump, ddim(0.0)),
    "renoise": (few.renoise, renoise),
    "posterior_jumps": (few.posterior_jumps, posterior_jumps),
    "restart": (lambda p, d: samplers.restart(p, samplers.ddim(p, d, 0.5), UP, 2), restarted),
}


APART = {"annealed_langevin", "churned", "dopri5", "staggered"}
"""Those with tests of their own, below or in a file of their own."""


@pytest.mark.system
@pytest.mark.parametrize("name", ALL)
def test_four_steps(name, float64):
    make, step = ALL[name]
    np.testing.assert_allclose(ours(make, TIMES), written_out(step, TIMES), rtol=1e-9)


@pytest.mark.system
@pytest.mark.parametrize("name", sorted(set(ALL) - {"analytic", "restart", "learned_range"}))
def test_the_step_to_the_data(name, float64):
    """After two steps, or after none: the formula at sigma = 0, or what stands in for it."""
    make, step = ALL[name]
    for times in (TO_DATA[-3:], TO_DATA[-2:]):
        np.testing.assert_allclose(ours(make, times), written_out(step, times), rtol=1e-8)


@pytest.mark.system
@pytest.mark.parametrize("name", ["unipc", "unipc_3", "dpmpp_3m", "lms", "deis", "corrected"])
def test_what_moves_x_between_two_steps_moves_the_next(name, float64):
    """The step begins at the x that it is given; what it remembers of earlier results stays."""
    make, step = ALL[name]
    np.testing.assert_allclose(ours(make, TIMES, 0.1), written_out(step, TIMES, 0.1), rtol=1e-9)


@pytest.mark.parametrize("name", ["dpmpp_2s", "dpmpp_2m", "dpmpp_3m", "lms", "deis"])
def test_from_pure_noise(name, monkeypatch, float64):
    """On (1 - t) x_0 + t eps from t = 1: DDIM's step, and then as if begun there, as its place in l is infinite."""
    make, step = ALL[name]
    for function, value in (
        ("alpha", lambda t: 1 - t),
        ("sigma", lambda t: t),
        ("time_of", lambda h: 1 / (1 + np.exp(h))),
    ):
        monkeypatch.setitem(globals(), function, value)
    begun = 0.3 * data(X, 1.0) + 0.7 * X
    for times in ([1.0, 0.7], [1.0, 0.7, 0.5], [1.0, 0.7, 0.5, 0.4]):
        expected = written_out(step, np.array(times[1:]), x=begun)
        np.testing.assert_allclose(ours(make, np.array(times), chain=schedules.flow()), expected, rtol=1e-8)


@pytest.mark.parametrize("make", [samplers.ancestral, lambda p, d, **more: samplers.ddim(p, d, eta=0.5, **more)])
def test_a_constraint_is_a_constrained_denoiser(make, float64):
    outside = ours(lambda p, d: make(p, lambda x, t: clip(0.3)(d(x, t))), TIMES)
    np.testing.assert_allclose(ours(lambda p, d: make(p, d, constrain=clip(0.3)), TIMES), outside, rtol=1e-12)
    assert jnp.abs(outside - ours(make, TIMES)).max() > 0.01


@pytest.mark.system
def test_the_mean_square_of_eps(float64):
    """At each time, with noise of its own; the analytic variance takes the times in any order."""
    x_0, times = jnp.asarray(np.random.default_rng(0).normal(size=(50, 2))), TIMES[[2, 0, 1]]
    expected = []
    for i, t in enumerate(times):
        x_t = alpha(t) * x_0 + sigma(t) * normal(jax.random.fold_in(KEY, i), x_0)
        expected.append(np.mean(eps(x_t, t) ** 2))
    gamma = samplers.mean_square_eps(VP, lambda x, t: data(x, t, jnp), KEY, x_0, times)
    np.testing.assert_allclose(gamma, expected, rtol=1e-9)
    s, t = jnp.array(0.4), jnp.array(0.7)  # between the times 0.6 and 0.8
    small, large = samplers.fixed_small(VP, x_0, s, t), samplers.fixed_large(VP, x_0, s, t)
    np.testing.assert_allclose(large, sigma(0.7) ** 2 - (alpha(0.7) / alpha(0.4) * sigma(0.4)) ** 2, rtol=1e-9)
    for given, unsure in (([0.2, 0.9, 0.5], 0.3), ([0.2, 3.0, 0.5], 0.0), ([0.0, -5.0, -2.0], 1.0)):
        ours = samplers.analytic(times, jnp.array(given))(VP, x_0, s, t)
        wide = (alpha(0.4) * large / sigma(0.7) ** 2 * sigma(0.7) / alpha(0.7)) ** 2
        np.testing.assert_allclose(ours, small + wide * unsure, rtol=1e-9)


@pytest.mark.system
def test_annealed_langevin_walks_where_it_comes_to(float64):
    """On sigma = 80 t: at every s twice, and at the last to the mean."""
    chain = schedules.edm()
    sampler = samplers.annealed_langevin(chain, lambda x, t: data(x, t, jnp), 0.3, 2)
    x, s = X, 0.01
    for i in range(2):
        score = (data(x, s) - x) / (80 * s) ** 2
        a = 0.3 * (80 * s) ** 2
        x = x + a / 2 * score + np.sqrt(a) * normal(jax.random.fold_in(KEY, i))
    state = sampler.step(KEY, samplers.State(jnp.asarray(X)), jnp.array(0.02), jnp.array(s))
    np.testing.assert_allclose(state.x, x, rtol=1e-9)
    last = sampler.step(KEY, samplers.State(jnp.asarray(X)), jnp.array(s), jnp.array(0.0))
    np.testing.assert_allclose(last.x, data(X, s), rtol=1e-12)


@pytest.mark.system
def test_the_adaptive_method_follows_a_gaussian_down_and_up(float64):
    """x / std(t) is constant along the flow of data N(0, 0.25)."""
    std = lambda t: np.sqrt(0.25 * alpha(t) ** 2 + sigma(t) ** 2)
    denoiser = lambda x, t: 0.25 * VP.alpha(t) / (0.25 * VP.alpha(t) ** 2 + VP.sigma(t) ** 2) * x
    step = jax.jit(samplers.dopri5(VP, denoiser, 1e-9, 1e-9).step)
    for t, s in ((0.9, 0.05), (0.05, 0.9)):
        x = step(KEY, samplers.State(jnp.asarray(X)), t, s).x
        np.testing.assert_allclose(x, X * std(s) / std(t), rtol=1e-7)


DEFAULTS = {
    samplers.ancestral: {"temperature": 1.0},
    samplers.ddim: {"eta": 0.0, "temperature": 1.0},
    samplers.dpmpp_1s: {"eta": 0.0},
    samplers.dpmpp_2s: {"eta": 0.0},
    samplers.dpmpp_2m: {"eta": 0.0},
    samplers.dpmpp_3m: {"eta": 0.0, "curvature": 1.0},
    samplers.heun: {"churn": 0.0, "churn_noise": 1.0, "churn_min": 0.0, "churn_max": np.inf},
    samplers.dopri5: {"rtol": 1e-5, "atol": 1e-5},
    samplers.lms: {"order": 4},
    samplers.deis: {"order": 3},
    samplers.unipc: {"order": 2},
    samplers.langevin: {"snr": 0.16, "repeats": 1},
    samplers.annealed_langevin: {"rate": 0.2, "repeats": 100},
    samplers.restart: {"repeats": 1},
}


@pytest.mark.parametrize("sampler", DEFAULTS, ids=lambda f: f.__name__)
def test_published_constants_are_the_defaults(sampler):
    """Song et al.'s 0.16 and 2e-5 / 0.01², and nothing random where a method is deterministic."""
    parameters = inspect.signature(sampler).parameters
    assert {name: parameters[name].default for name in DEFAULTS[sampler]} == DEFAULTS[sampler]
