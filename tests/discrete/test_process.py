"""The process of symbols against brute-force matrix products, and draws against their laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.discrete import process as p
from jaxdiff.discrete.samplers import redrawn
from jaxdiff.errors import InputError
from tests.helpers.symbols import K

LAWS = [0.5, 0.3, 0.2]
PROCESSES = {
    "masked": p.masked(LAWS),
    "masked_cosine": p.masked(LAWS, "cosine"),
    "multinomial": p.multinomial(LAWS, "linear"),
    "marginals": p.marginals(LAWS, "square"),
}


def matrix(process, s, t):
    """(states, states): q(x_t = j | x_s = i), float64."""
    a_s, a_t = float(process.alpha(jnp.float32(s))), float(process.alpha(jnp.float32(t)))
    return a_t / a_s * np.eye(process.states) + (1 - a_t / a_s) * np.float64(process.base)


@pytest.mark.system
@pytest.mark.parametrize("name", PROCESSES)
def test_the_posterior_is_that_of_matrix_products(name):
    process = PROCESSES[name]
    s, t = 0.3, 0.7
    start, rest = matrix(process, 0, s)[:K], matrix(process, s, t)
    for x_t in range(process.states):
        joint = start * rest[:, x_t]  # (x_0, x_s)
        possible = joint.sum(1) > 0
        weights = np.where(possible, [0.2, 0.5, 0.3], 0)
        weights /= weights.sum()
        each = joint[possible] / joint[possible].sum(1, keepdims=True)
        want = weights[possible] @ each
        got = p.posterior(process, jnp.float32(s), jnp.float32(t), jnp.array([[x_t]]), jnp.float32(weights)[None, None])
        np.testing.assert_allclose(got[0, 0], want, atol=1e-6)
        for x_0 in np.flatnonzero(possible):
            certain = jax.nn.one_hot(jnp.array([[x_0]]), K)
            for law in (p.posterior, p.plug_in):
                got = law(process, jnp.float32(s), jnp.float32(t), jnp.array([[x_t]]), certain)
                np.testing.assert_allclose(got[0, 0], joint[x_0] / joint[x_0].sum(), atol=1e-6)


@pytest.mark.system
@pytest.mark.parametrize("name", PROCESSES)
def test_the_rates_are_the_limit_of_the_posterior(name):
    process, t, h = PROCESSES[name], 0.6, 1e-3
    x_t = jnp.arange(process.states)[:, None]
    weights = jnp.float32([0.2, 0.5, 0.3])
    x_0 = jnp.where(x_t[..., None] == K, weights, jax.nn.one_hot(x_t, K)) if process.masks else weights
    x_0 = jnp.broadcast_to(x_0, (process.states, 1, K))
    law = p.posterior(process, jnp.float32(t - h), jnp.float32(t), x_t, x_0)
    jumps = law * (1 - jax.nn.one_hot(x_t, process.states)) / h
    np.testing.assert_allclose(p.reverse_rates(process, jnp.float32(t), x_t, x_0), jumps, rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize("name", PROCESSES)
def test_noised_symbols_have_their_law(name):
    process, n = PROCESSES[name], 100_000
    x_t = p.perturb(process, jax.random.key(0), jnp.ones((n, 1), jnp.int32), jnp.float32(0.4))
    seen = np.bincount(np.asarray(x_t)[:, 0], minlength=process.states) / n
    np.testing.assert_allclose(seen, matrix(process, 0, 0.4)[1], atol=4 * 0.5 / n**0.5)


@pytest.mark.system
def test_times_may_be_one_for_each_example_or_each_position():
    process, x = PROCESSES["masked"], jnp.zeros((2, 3), jnp.int32)
    t = jnp.array([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    assert p.perturb(process, jax.random.key(0), x, t).tolist() == [[0, 3, 0], [3, 3, 0]]
    law = p.posterior(process, t, t, jnp.full((2, 3), 3), jax.nn.one_hot(x, K))
    np.testing.assert_array_equal(law[0, 1], [0, 0, 0, 1])


@pytest.mark.system
def test_no_mask_is_left_at_the_end_though_probabilities_do_not_sum_to_one():
    """Rounded, they sum to less: the largest uniform number would be above, and 2e-9 of all positions masks still."""
    process = p.masked(np.ones(27))._replace(noise=lambda key, x: jnp.full(x.shape, 1 - 2.0**-23))
    x_t = jnp.full((64, 64), 27)
    x_0 = jax.nn.softmax(2 * jax.random.normal(jax.random.key(0), (64, 64, 27)))
    law = p.posterior(process, jnp.float32(0), jnp.float32(0.01), x_t, x_0)
    assert (law.sum(-1) < 1).any()
    assert (redrawn(process, jax.random.key(1), x_t, law) < 27).all()


@pytest.mark.system
def test_a_symbol_of_weight_nothing_is_never_picked():
    u = jnp.concatenate([jnp.zeros(1), jax.random.uniform(jax.random.key(0), (1000,)), jnp.float32([1 - 2**-24])])
    weights = jnp.zeros((1002, 50)).at[:, 20:40].set(1e-3)
    drawn = p.categorical(u, weights)
    assert 20 <= int(drawn.min()) <= int(drawn.max()) < 40
    np.testing.assert_array_equal(drawn, 20 + jnp.floor(u * 20 * (1 - 1e-6)).astype(int))


@pytest.mark.parametrize("law", [[], [[[1.0]]], [0.0, 0.0], [1, -1], [np.nan]])
def test_a_law_that_is_none_is_refused(law):
    with pytest.raises(InputError, match="must be frequencies"):
        p.masked(law)
    with pytest.raises(InputError, match="unknown schedule 'x'"):
        p.masked([1], "x")
