"""Bounds and samplers with the exact denoiser: the entropy, and the laws of T steps."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.discrete import (
    ancestral_symbols,
    by_count,
    by_time,
    enumerated,
    first_hitting,
    infill,
    marginals,
    masked,
    most_confident,
    multinomial,
    prior,
)
from jaxdiff.discrete.losses import cross_entropy
from jaxdiff.errors import InputError
from jaxdiff.samplers.base import sample
from tests.helpers.symbols import (
    ENTROPY,
    LAW,
    SEQUENCES,
    STATES,
    TABLE,
    K,
    L,
    chi_squared,
    index,
    law_of_steps,
    table_denoiser,
)

pytestmark = pytest.mark.statistical

MASKED = masked(np.ones(K))


def drawn(sampler, steps, n, process=MASKED, seed=0):
    x_1 = prior(process, jax.random.key(seed), jnp.zeros((n, L), jnp.int32))
    run = jax.jit(lambda key, x_1: sample(sampler, key, x_1, np.linspace(1, 0, steps + 1)))
    return np.asarray(run(jax.random.key(seed + 1), x_1))


def test_the_exact_denoiser_is_the_table():
    x = jnp.asarray(STATES)
    np.testing.assert_allclose(enumerated(MASKED, SEQUENCES, LAW)(x, jnp.float32(0.3)), TABLE, atol=1e-5)


def test_the_bound_of_the_oracle_is_the_entropy():
    """The integral over t is a sum over k of Beta(k, L - k + 1) weights, 1 / (k C(L, k)); exact to 1e-6."""
    entropy = np.where(TABLE > 0, -np.log(np.maximum(TABLE, 1e-300)), 0)
    total = 0.0
    for hides in itertools.product([False, True], repeat=L):
        k = sum(hides)
        if not k:
            continue
        x_t = np.where(hides, K, SEQUENCES)
        each = np.take_along_axis(entropy[index(x_t, K + 1)], SEQUENCES[..., None], -1)[..., 0]
        ways = len(list(itertools.combinations(range(L), k)))
        total += (LAW * (each * hides).sum(1)).sum() / (k * ways)
    assert total == pytest.approx(ENTROPY, abs=1e-9)
    log_p = jnp.log(jnp.maximum(jnp.asarray(TABLE, jnp.float32), 1e-30))[index(x_t, K + 1)]
    np.testing.assert_allclose(cross_entropy(log_p, jnp.asarray(SEQUENCES)), each, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "n", "draws"), [("time", 8192, 16), ("count", 4096, 10), ("cosine", 8192, 16), ("square", 8192, 16)]
)
def test_estimates_of_the_bound_are_unbiased(name, n, draws):
    process = masked(np.ones(K), name if name in ("cosine", "square") else "linear")
    of = np.random.default_rng(3).choice(len(LAW), n, p=LAW)
    x_0 = jnp.asarray(SEQUENCES[of])
    estimate = by_count if name == "count" else by_time
    values = jax.jit(lambda key: estimate(process, table_denoiser(), key, x_0, draws))(jax.random.key(0))
    # The bound of a sequence is -log of its probability, no more, so that the differences have mean 0.
    off = np.asarray(values, np.float64) + np.log(LAW[of])
    assert abs(off.mean()) < 3.5 * off.std() / n**0.5
    assert off.std() / n**0.5 < 0.05


@pytest.mark.parametrize("process", [multinomial(np.ones(K)), marginals([3, 2, 1], "linear")], ids=["uniform", "law"])
def test_the_bound_of_other_processes_is_the_entropy_too(process):
    n = 1024
    of = np.random.default_rng(4).choice(len(LAW), n, p=LAW)
    denoiser = enumerated(process, SEQUENCES, LAW)
    values = jax.jit(lambda key: by_time(process, denoiser, key, jnp.asarray(SEQUENCES[of]), 16))(jax.random.key(0))
    off = np.asarray(values, np.float64) + np.log(LAW[of])
    assert abs(off.mean()) < 3.5 * off.std() / n**0.5 + 0.005
    assert off.std() / n**0.5 < 0.12


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 16])
def test_ancestral_draws_have_the_law_of_so_many_steps(steps):
    law = law_of_steps(steps)
    assert law.sum() == pytest.approx(1)
    x = drawn(ancestral_symbols(MASKED, table_denoiser()), steps, 50_000, seed=steps)
    assert chi_squared(x, law) > 1e-3
    if steps < 8:  # and not that of the data
        assert chi_squared(x, LAW) < 1e-6


def test_the_law_of_steps_approaches_that_of_the_data_at_first_order():
    off = [0.5 * abs(law_of_steps(steps) - LAW).sum() for steps in (1, 2, 4, 8, 16, 32)]
    assert all(0.4 < b / a < 0.6 for a, b in itertools.pairwise(off[2:]))


@pytest.mark.parametrize("steps", [1, 3])
def test_first_hitting_is_exact_on_any_grid(steps):
    for process in (MASKED, masked(np.ones(K), "cosine")):
        assert chi_squared(drawn(first_hitting(process, table_denoiser()), steps, 50_000, process), LAW) > 1e-3


def test_blocks_of_one_position_are_exact_as_an_autoregressive_model_is():
    sampler = ancestral_symbols(MASKED, table_denoiser(), block=1)
    assert chi_squared(drawn(sampler, L, 50_000), LAW) > 1e-3


def test_many_steps_of_the_uniform_process_approach_the_data():
    process = multinomial(np.ones(K))
    x = drawn(ancestral_symbols(process, enumerated(process, SEQUENCES, LAW)), 32, 2048, process)
    seen, law = (np.bincount(x[:, 0] * K + x[:, 1], w, K * K) for x, w in ((x, None), (SEQUENCES, LAW)))
    np.testing.assert_allclose(seen / len(x), law, atol=0.05)
    with pytest.raises(InputError, match="is for masked processes"):
        first_hitting(process, enumerated(process, SEQUENCES, LAW))
    # Blocks have clocks of their own, and the denoiser is told one time, which only masks make up for.
    with pytest.raises(InputError, match="block=1: is for masked processes: leave it out"):
        ancestral_symbols(process, enumerated(process, SEQUENCES, LAW), block=1)


def test_the_most_confident_draws_fill_every_mask_in_time():
    n = 4096
    sampler = most_confident(MASKED, table_denoiser(), randomness=1.0)
    state = sampler.init(jnp.full((n, L), K))
    for i in range(4):
        state = sampler.step(jax.random.key(i), state, jnp.float32(1 - i / 4), jnp.float32(1 - (i + 1) / 4))
        left = np.round(L * (1 - (i + 1) / 4))
        assert ((np.asarray(state.x) == K).sum(1) == left).all()
    one = drawn(most_confident(MASKED, table_denoiser(), temperature=1e-3), L, 16)
    assert len(np.unique(one, axis=0)) == 1
    blocks = most_confident(MASKED, table_denoiser(), block=2)
    state = blocks.step(jax.random.key(0), blocks.init(jnp.full((n, L), K)), jnp.float32(1), jnp.float32(2 / 3))
    assert (np.asarray(state.x)[:, :2] < K).all()
    assert (np.asarray(state.x)[:, 2:] == K).all()


def test_infilling_of_masks_has_the_conditional_law():
    n = 40_000
    known, free = jnp.full((n, L), 1), jnp.array([True, False, True, True, False])
    sampler = infill(MASKED, first_hitting(MASKED, table_denoiser()), known, free)
    fits = ((SEQUENCES == 1) | np.asarray(free)).all(1) * LAW
    x = drawn(sampler, 2, n)
    assert chi_squared(x, fits / fits.sum()) > 1e-3
    process = multinomial(np.ones(K))
    sampler = infill(process, ancestral_symbols(process, enumerated(process, SEQUENCES, LAW)), known[:512], free)
    assert (drawn(sampler, 8, 512, process)[:, [1, 4]] == 1).all()
