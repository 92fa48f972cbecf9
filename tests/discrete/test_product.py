"""Numbers and symbols together: the latent-class oracle, the loss, and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.discrete import logits, masked, multinomial, subs
from jaxdiff.discrete.product import (
    columnwise,
    guided_parts,
    joined,
    make_denoiser,
    mixed,
    mixed_loss,
    parted,
    perturb,
    prior,
    product,
    replaced,
)
from jaxdiff.gaussian.parameterization import v, x0
from jaxdiff.gaussian.schedules import cosine
from jaxdiff.samplers.base import trajectory
from jaxdiff.types import Batch

WEIGHTS = np.array([0.3, 0.5, 0.2])
MEANS = np.array([[-1.0, 0.5], [0.8, 0.3], [0.2, -1.1]])
STDS = np.array([[0.3, 0.2], [0.25, 0.4], [0.35, 0.3]])
LAWS = np.array(
    [[[0.8, 0.1, 0.1], [0.5, 0.5, 0.0]], [[0.1, 0.7, 0.2], [0.9, 0.1, 0.0]], [[0.2, 0.2, 0.6], [0.2, 0.8, 0.0]]]
)
"""Class -> independent numbers, and the laws of two columns, of 3 and 2 symbols."""
LAW = np.einsum("c,cjk->jk", WEIGHTS, LAWS)
PROCESSES = {"masked": product(cosine(), masked(LAW)), "multinomial": product(cosine(), multinomial(LAW))}


def oracle(process):
    """E[numbers_0 | x_t] and P(symbols_0 | x_t), exactly, by the posterior of the class."""
    base, valid = jnp.asarray(process.symbols.base), process.symbols.states
    means, stds, laws = (jnp.asarray(a, jnp.float32) for a in (MEANS, STDS, LAWS))

    def denoise(x_t, t):
        alpha, sigma = process.numbers.alpha(t), process.numbers.sigma(t)
        keep = process.symbols.alpha(t)
        x, k = x_t["numbers"][:, None], x_t["symbols"]
        variance = (alpha * stds) ** 2 + sigma**2
        log_r = jnp.log(jnp.asarray(WEIGHTS)) - 0.5 * ((x - alpha * means) ** 2 / variance + jnp.log(variance)).sum(-1)
        here = jax.nn.one_hot(k, valid)  # (batch, columns, states)
        pi = (here * base).sum(-1)
        like = keep * jnp.einsum("bjs,cjs->bcj", here[..., :3], laws) + (1 - keep) * pi[:, None]
        r = jax.nn.softmax(log_r + jnp.log(jnp.maximum(like, 1e-30)).sum(-1), axis=-1)
        each = means + alpha * stds**2 / variance * (x - alpha * means)
        joint = laws * (keep * here[:, None, :, :3] + ((1 - keep) * pi)[:, None, :, None])
        symbols = joint / jnp.maximum(joint.sum(-1, keepdims=True), 1e-30)
        return {"numbers": (r[..., None] * each).sum(1), "symbols": jnp.einsum("bc,bcjk->bjk", r, symbols)}

    return denoise


def data(n, seed=0):
    rng = np.random.default_rng(seed)
    c = rng.choice(3, n, p=WEIGHTS)
    symbols = np.stack([[rng.choice(3, p=LAWS[i, j]) for j in range(2)] for i in c])
    return {"numbers": jnp.asarray(rng.normal(MEANS[c], STDS[c]), jnp.float32), "symbols": jnp.asarray(symbols)}


@pytest.mark.system
@pytest.mark.parametrize("name", PROCESSES)
def test_the_oracle_is_the_mean_of_what_gave_this_state(name):
    """The posterior of class and symbols by Bayes in NumPy, float64, one state at a time."""
    process, t = PROCESSES[name], 0.45
    x_t, _ = perturb(process, jax.random.key(0), data(4), jnp.float32(t))
    got = oracle(process)(x_t, jnp.float32(t))
    alpha, sigma = (float(f(jnp.float32(t))) for f in (process.numbers.alpha, process.numbers.sigma))
    keep = float(process.symbols.alpha(jnp.float32(t)))
    base = np.broadcast_to(np.float64(process.symbols.base), (2, process.symbols.states))
    for i in range(4):
        x, k = np.asarray(x_t["numbers"][i], np.float64), np.asarray(x_t["symbols"][i])
        weight, symbols, numbers = np.zeros((3, 3, 3)), np.zeros((2, 3)), np.zeros(2)
        for c in range(3):
            var = (alpha * STDS[c]) ** 2 + sigma**2
            density = WEIGHTS[c] * np.prod(np.exp(-0.5 * (x - alpha * MEANS[c]) ** 2 / var) / np.sqrt(var))
            mean = MEANS[c] + alpha * STDS[c] ** 2 / var * (x - alpha * MEANS[c])
            for a in range(3):
                for b in range(3):
                    q = [keep * (k[j] == s) + (1 - keep) * base[j, k[j]] for j, s in enumerate((a, b))]
                    weight[c, a, b] = density * LAWS[c, 0, a] * LAWS[c, 1, b] * q[0] * q[1]
            numbers += weight[c].sum() * mean
        total = weight.sum()
        symbols[0], symbols[1] = weight.sum((0, 2)) / total, weight.sum((0, 1)) / total
        np.testing.assert_allclose(got["numbers"][i], numbers / total, atol=1e-5)
        np.testing.assert_allclose(got["symbols"][i], symbols, atol=1e-5)


@pytest.mark.system
@pytest.mark.parametrize("name", PROCESSES)
def test_draws_have_the_joint_law(name):
    process, n = PROCESSES[name], 20_000
    x_1 = prior(process, jax.random.key(0), jnp.zeros((n, 4)))
    sampler = columnwise(process, oracle(process))
    times, keep = np.linspace(1, 0, 41), np.array([0, 40])
    x, frames = jax.jit(lambda key, x_1: trajectory(sampler, key, x_1, times, keep))(jax.random.key(1), x_1)
    np.testing.assert_array_equal(frames["symbols"][1], x["symbols"])
    np.testing.assert_array_equal(frames["numbers"][0], x_1["numbers"])
    numbers, symbols = np.asarray(x["numbers"], np.float64), np.asarray(x["symbols"])
    for j in range(2):
        share = np.bincount(symbols[:, j], minlength=3) / n
        np.testing.assert_allclose(share, LAW[j], atol=0.02)
        for k in range(3 - j):  # the means of the numbers given a symbol
            r = WEIGHTS * LAWS[:, j, k]
            np.testing.assert_allclose(numbers[symbols[:, j] == k].mean(0), r @ MEANS / r.sum(), atol=0.05)
    joint = np.einsum("c,ca,cb->ab", WEIGHTS, LAWS[:, 0], LAWS[:, 1])
    seen = np.histogram2d(symbols[:, 0], symbols[:, 1], bins=[range(4), range(4)])[0] / n
    np.testing.assert_allclose(seen, joint, atol=0.02)


@pytest.mark.slow
def test_what_is_known_of_a_row_stays_and_the_rest_follows_it():
    process, n = PROCESSES["masked"], 8000
    known = {"numbers": jnp.zeros((n, 2)), "symbols": jnp.zeros((n, 2), jnp.int32)}
    free = {"numbers": jnp.ones((n, 2), bool), "symbols": jnp.array([False, True])}
    sampler = replaced(process, columnwise(process, oracle(process)), known, free)
    x_1 = prior(process, jax.random.key(0), jnp.zeros((n, 4)))
    times = np.linspace(1, 0, 41)
    x, _ = jax.jit(lambda key, x_1: trajectory(sampler, key, x_1, times, jnp.zeros(0, int)))(jax.random.key(1), x_1)
    assert (np.asarray(x["symbols"][:, 0]) == 0).all()
    r = WEIGHTS * LAWS[:, 0, 0]
    np.testing.assert_allclose(np.asarray(x["numbers"]).mean(0), r @ MEANS / r.sum(), atol=0.05)


@pytest.mark.system
def test_numbers_that_are_known_lead_the_others():
    """Of two numbers with correlation 0.9 the second given that the first is 2: mean 1.8, deviation 0.436."""
    process, n = product(cosine(), masked([[1.0]])), 2000
    covariance = jnp.array([[1.0, 0.9], [0.9, 1.0]])

    def denoise(x_t, t):
        alpha, sigma = process.numbers.alpha(t), process.numbers.sigma(t)
        gain = alpha * covariance @ jnp.linalg.inv(alpha**2 * covariance + sigma**2 * jnp.eye(2))
        return {"numbers": x_t["numbers"] @ gain.T, "symbols": jnp.ones((n, 1, 1))}

    known = {"numbers": jnp.tile(jnp.array([2.0, 0.0]), (n, 1)), "symbols": jnp.zeros((n, 1), jnp.int32)}
    free = {"numbers": jnp.array([False, True]), "symbols": jnp.array([False])}
    sampler = replaced(process, columnwise(process, denoise), known, free, repeats=10)
    x_1, times = prior(process, jax.random.key(0), jnp.zeros((n, 3))), np.linspace(1, 0, 51)
    x, _ = jax.jit(lambda key, x_1: trajectory(sampler, key, x_1, times, jnp.zeros(0, int)))(jax.random.key(1), x_1)
    assert (np.asarray(x["numbers"][:, 0]) == 2).all()
    np.testing.assert_allclose(x["numbers"][:, 1].mean(), 1.8, atol=0.1)
    np.testing.assert_allclose(x["numbers"][:, 1].std(), 0.436, atol=0.06)


@pytest.mark.system
@pytest.mark.parametrize("name", PROCESSES)
def test_what_is_known_is_noised_at_the_start_by_the_key_of_the_draw(name):
    process, n = PROCESSES[name], 200
    known = {"numbers": jnp.ones((n, 2)), "symbols": jnp.ones((n, 2), jnp.int32)}
    nothing = {part: jnp.zeros(2, bool) for part in known}
    sampler = replaced(process, columnwise(process, oracle(process)), known, nothing)
    starts = [sampler.init(prior(process, jax.random.key(i), jnp.zeros((n, 4)))).x for i in range(2)]
    assert jnp.abs(starts[0]["numbers"] - starts[1]["numbers"]).mean() > 0.5
    masks = process.symbols.masks
    assert bool((starts[0]["symbols"] == 1).all()) == masks
    assert bool((starts[0]["symbols"] == starts[1]["symbols"]).all()) == masks


def test_parts_and_the_whole():
    process = PROCESSES["masked"]
    x = jnp.array([[0.5, -1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(joined(parted(process, x)), x)
    assert parted(process, x)["symbols"].dtype == jnp.int32


@pytest.mark.slow
def test_the_loss_is_the_sum_of_both_and_a_network_is_read_as_both():
    process, meaning = PROCESSES["masked"], mixed(x0(), subs())
    out = jax.random.normal(jax.random.key(3), (5, 2 + 2 * 3))
    seen = {}

    def network(params, x, t, condition=None, key=None):
        seen["x"] = x
        return out

    x_0 = data(5)
    at = lambda process, key, n: jnp.full(n, 0.5)
    loss, metrics = mixed_loss(process, meaning, network, at, balance=2.0)(None, jax.random.key(0), Batch(joined(x_0)))
    assert float(loss) == pytest.approx(float(metrics["mse"] + 2 * metrics["symbols"]))
    assert float(metrics["mse"]) == pytest.approx(float(jnp.square(out[:, :2] - x_0["numbers"]).mean()), rel=1e-5)
    valid = np.where(LAW > 0, np.asarray(out[:, 2:]).reshape(5, 2, 3), -np.inf)
    log_p = valid - np.log(np.exp(valid).sum(-1, keepdims=True))
    gone = np.asarray(seen["x"][:, 2:]) == 3
    entropy = -np.take_along_axis(log_p, np.asarray(x_0["symbols"])[..., None], -1)[..., 0]
    assert float(metrics["symbols"]) == pytest.approx((entropy * gone).mean() / 0.5, rel=1e-5)
    drawn = make_denoiser(process, mixed(v(), logits()), network, None)(x_0, 0.5)
    np.testing.assert_allclose(np.log(np.asarray(drawn["symbols"])[..., :2]), log_p[..., :2], rtol=1e-4)


@pytest.mark.system
def test_guidance_of_both():
    x = {"numbers": jnp.ones((1, 2)), "symbols": jnp.full((1, 2, 3), 1 / 3)}
    other = {"numbers": jnp.zeros((1, 2)), "symbols": jnp.array([[[0.5, 0.25, 0.25]] * 2])}
    led = guided_parts(lambda *_: x, lambda *_: other, 2.0)(None, None)
    np.testing.assert_allclose(led["numbers"], 2.0)
    want = np.array([1 / 0.5, 1 / 0.25, 1 / 0.25])
    np.testing.assert_allclose(led["symbols"][0, 0], want / want.sum(), rtol=1e-5)
