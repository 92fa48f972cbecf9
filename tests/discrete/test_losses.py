"""Losses of symbols recomputed in NumPy: MDLM's, MD4's, LLaDA's, and multinomial diffusion's KL."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.discrete import (
    chain_loss,
    count_loss,
    logits,
    masked,
    multinomial,
    perturb,
    plug_in,
    posterior,
    subs,
    symbol_loss,
)
from jaxdiff.discrete.losses import bound_rate, divergence, masked_rate
from jaxdiff.discrete.process import SCHEDULES, Replacement, reverse_rates
from jaxdiff.errors import InputError
from jaxdiff.losses.times import stratified
from jaxdiff.types import Batch

K, N, LENGTH = 4, 6, 7
X_0 = np.random.default_rng(0).integers(0, K, (N, LENGTH))
OUT = np.random.default_rng(1).normal(size=(N, LENGTH, K)).astype(np.float32)
network = lambda params, x, t, condition=None, key=None: jnp.asarray(OUT)
LOG_P = OUT - np.log(np.exp(np.float64(OUT)).sum(-1, keepdims=True))
ENTROPY = -np.take_along_axis(LOG_P, X_0[..., None], -1)[..., 0]
T = np.float32([0.1, 0.25, 0.4, 0.6, 0.8, 0.95])
times = lambda process, key, n: jnp.asarray(T)


def noised(process, seed=0):
    """x_t as the loss draws it."""
    key_x, _ = jax.random.split(jax.random.split(jax.random.key(seed))[1])
    return np.asarray(perturb(process, key_x, jnp.asarray(X_0), jnp.asarray(T)))


def value(loss_fn):
    return float(loss_fn(None, jax.random.key(0), Batch(jnp.asarray(X_0)))[0])


@pytest.mark.system
def test_mdlm():
    """sigma = -log(1 - (1 - eps) t), weight sigma' / (e^sigma - 1); its eps is in t here."""
    process = masked(np.ones(K))
    gone = noised(process) == K
    sigma, slope = -np.log1p(-np.float64(T)), 1 / (1 - np.float64(T))
    want = ((slope / np.expm1(sigma))[:, None] * ENTROPY * gone).mean()
    assert value(symbol_loss(process, subs(), network, times)) == pytest.approx(want, rel=1e-6)


@pytest.mark.system
@pytest.mark.parametrize("name", ["linear", "cosine", "square"])
def test_md4(name):
    """alpha between 1e-4 and 1 - 1e-4, weight alpha' / (1 - alpha)."""
    low = 1e-4
    raw = SCHEDULES[name]
    process = masked(np.ones(K))._replace(alpha=lambda t: (1 - 2 * low) * raw(t) + low)
    gone, t = noised(process) == K, np.float64(T)
    alpha, slope = {
        "linear": (1 - t, -np.ones(N)),
        "cosine": (1 - np.cos(np.pi / 2 * (1 - t)), -np.pi / 2 * np.sin(np.pi / 2 * (1 - t))),
        "square": (1 - t**2, -2 * t),
    }[name]
    alpha, slope = (1 - 2 * low) * alpha + low, (1 - 2 * low) * slope
    want = ((-slope / (1 - alpha))[:, None] * ENTROPY * gone).mean()
    assert value(symbol_loss(process, subs(), network, times)) == pytest.approx(want, rel=2e-6)


@pytest.mark.slow
def test_llada():
    loss, metrics = count_loss(masked(np.ones(K)), subs(), network)(None, jax.random.key(0), Batch(jnp.asarray(X_0)))
    values = [
        float(count_loss(masked(np.ones(K)), subs(), network)(None, jax.random.key(i), Batch(jnp.asarray(X_0)))[0])
        for i in range(60)
    ]
    # The logits do not depend on x_t, so that every mean over k masks of k has the mean cross-entropy.
    assert np.mean(values) == pytest.approx(ENTROPY.mean(), abs=4 * np.std(values) / 60**0.5)
    assert metrics["bits"] == pytest.approx(float(loss) / np.log(2))
    with pytest.raises(InputError, match="counts masks"):
        count_loss(multinomial(np.ones(K)), logits(), network)


@pytest.mark.system
def test_multinomial_diffusion_and_tabddpm():
    """The KL of Hoogeboom et al. 2021, equation 15, in NumPy; the last step is the cross-entropy."""
    process, steps = multinomial(np.ones(K), "linear"), 5
    rng = np.random.default_rng(2)
    x_t, p = rng.integers(0, K, (N, LENGTH)), np.exp(LOG_P)
    for i in range(steps):
        s, t = i / steps, (i + 1) / steps
        keep = (1 - t) / (1 - s)
        true, ours = ((keep * np.eye(K)[x_t] + (1 - keep) / K) * ((1 - s) * x_0 + s / K) for x_0 in (np.eye(K)[X_0], p))
        true, ours = (law / law.sum(-1, keepdims=True) for law in (true, ours))
        want = np.where(true > 0, true * (np.log(np.maximum(true, 1e-300)) - np.log(ours)), 0).sum(-1)
        at = (jnp.float32(s), jnp.float32(t), jnp.asarray(x_t))
        mine = plug_in(process, *at, jnp.asarray(p, jnp.float32))
        exact = posterior(process, *at, jax.nn.one_hot(jnp.asarray(X_0), K))
        np.testing.assert_allclose(divergence(exact, mine), want, atol=2e-6)


@pytest.mark.system
def test_a_chain_of_many_steps_has_the_bound_of_continuous_time():
    """Of masks, T KL goes to the rate of the bound."""
    process = masked(np.ones(K))
    loss = jax.jit(lambda key: chain_loss(process, subs(), network, 1000)(None, key, Batch(jnp.asarray(X_0)))[0])
    values = np.array([loss(jax.random.key(i)) for i in range(400)])
    assert values.mean() == pytest.approx(ENTROPY.mean(), abs=float(4 * values.std() / 20))


@pytest.mark.system
def test_the_rate_of_masks_is_the_general_formula():
    process, t = masked(np.ones(K)), jnp.asarray(T)
    x_t = jnp.asarray(noised(process))
    log_p = jnp.where(
        (x_t == K)[..., None], jnp.asarray(LOG_P, jnp.float32), jnp.log(jnp.maximum(jax.nn.one_hot(x_t, K), 1e-30))
    )
    true, ours = (reverse_rates(process, t, x_t, p) for p in (jax.nn.one_hot(jnp.asarray(X_0), K), jnp.exp(log_p)))
    general = (ours - true + jnp.where(true > 0, true * jnp.log(true / jnp.maximum(ours, 1e-30)), 0)).sum(-1)
    np.testing.assert_allclose(bound_rate(process, t, jnp.asarray(X_0), x_t, log_p), general, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(masked_rate(process, t), 1 / T, rtol=1e-5)


@pytest.mark.system
def test_one_process_may_have_columns_of_several_sizes():
    law = np.array([[1, 1, 0, 0], [1, 2, 3, 4]])
    process = multinomial(law)
    assert isinstance(process, Replacement)
    x = perturb(process, jax.random.key(0), jnp.zeros((2000, 2), jnp.int32), jnp.float32(1))
    assert set(np.unique(x[:, 0])) == {0, 1}
    assert set(np.unique(x[:, 1])) == {0, 1, 2, 3}
    p = logits().log_p(process, jnp.zeros((1, 2, 4)), jnp.zeros((1, 2), jnp.int32))
    np.testing.assert_allclose(jnp.exp(p)[0], [[0.5, 0.5, 0, 0], [0.25] * 4], atol=1e-6)


def test_the_loss_is_the_mean_over_positions_and_simple_is_unweighted():
    process = masked(np.ones(K))
    assert value(symbol_loss(process, logits(), network, stratified(1e-3), "simple")) == pytest.approx(
        ENTROPY.mean(), rel=1e-5
    )
    with pytest.raises(InputError, match="unknown objective"):
        symbol_loss(process, subs(), network, times, "heavy")
