"""From denoiser to denoiser, and the Gumbel trap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.discrete import (
    ancestral_symbols,
    first_hitting,
    guided,
    logits,
    make_denoiser,
    masked,
    most_confident,
    multinomial,
    nucleus,
    posterior,
    prior,
    product,
    subs,
    tempered,
)
from jaxdiff.discrete.process import categorical
from jaxdiff.discrete.samplers import redrawn
from jaxdiff.errors import InputError
from jaxdiff.pipelines.options import finite
from jaxdiff.samplers.base import State, sample

P = jnp.array([[[0.5, 0.3, 0.15, 0.05, 0.0]]])
here = lambda x_t, t: P


def test_temperature_is_a_power():
    want = np.asarray(P) ** 2 / (np.asarray(P) ** 2).sum()
    np.testing.assert_allclose(tempered(here, 0.5)(None, None), want, rtol=1e-5)


@pytest.mark.parametrize(("mass", "kept"), [(1.0, 4), (0.96, 4), (0.9, 3), (0.8, 2), (0.79, 2), (0.1, 1), (0.0, 1)])
def test_a_nucleus_is_the_fewest_symbols_of_this_mass(mass, kept):
    want = np.asarray(P).copy()
    want[..., kept:] = 0
    np.testing.assert_allclose(nucleus(here, mass)(None, None), want / want.sum(), rtol=1e-5)


def test_guidance_is_a_product_of_powers():
    other = jnp.array([[[0.2, 0.2, 0.2, 0.4, 0.0]]])
    for scale in (0.0, 1.0, 2.5):
        want = np.asarray(other)[..., :4] ** (1 - scale) * np.asarray(P)[..., :4] ** scale
        got = guided(here, lambda x, t: other, scale)(None, None)
        np.testing.assert_allclose(got[..., :4], want / want.sum(), rtol=1e-4)
        assert got[0, 0, 4] == 0


@pytest.mark.system
def test_subs_copies_what_is_seen_and_logits_do_not():
    process, out = masked([1, 1, 0, 1]), jax.random.normal(jax.random.key(0), (1, 3, 4))
    network = lambda params, x, t, condition, key: out
    x_t = jnp.array([[4, 1, 3]])
    by_subs = make_denoiser(process, subs(), network, None)(x_t, 0.5)
    by_logits = make_denoiser(process, logits(), network, None)(x_t, 0.5)
    np.testing.assert_array_equal(by_subs[0, 1:], np.eye(4)[[1, 3]])
    np.testing.assert_allclose(by_subs[0, 0], by_logits[0, 0], rtol=1e-6)
    want = np.exp(np.asarray(out[0, :, [0, 1, 3]])).T
    np.testing.assert_allclose(by_logits[0][:, [0, 1, 3]], want / want.sum(1, keepdims=True), rtol=1e-5)
    assert (by_logits[0, :, 2] == 0).all()  # a symbol that the data does not have


def one_gumbel(key, x_t, law):
    """What other libraries do: one float32 categorical over all states."""
    return jax.random.categorical(key, jnp.log(law), axis=-1)


def unmasked(draw, n, symbols, steps):
    """How many of n masks the first of so many steps unmasks, of equally likely symbols."""
    process = masked(np.ones(symbols))
    law = jnp.full((1, 1, symbols + 1), 1 / steps / symbols).at[..., -1].set(1 - 1 / steps)

    def part(total, key):
        x_t = jnp.full((1, n // 64), symbols)
        return total + (draw(process, key, x_t, law) != symbols).sum(), None

    return int(jax.jit(lambda key: jax.lax.scan(part, 0, jax.random.split(key, 64))[0])(jax.random.key(0)))


@pytest.mark.system
@pytest.mark.parametrize("n", [32_000, pytest.param(4_000_000 // 64 * 64, marks=pytest.mark.slow)])
def test_two_draws_unmask_the_right_share_and_one_gumbel_does_not(n):
    """K = 4,096 and T = 1000: 1e-3 within 3 sigma; one draw in JAX's default precision has 0.776 of that."""
    right = n / 1000
    assert abs(unmasked(redrawn, n, 4096, 1000) - right) < 3 * right**0.5
    if n > 1_000_000:
        wrong = unmasked(
            lambda process, key, x, law: one_gumbel(key, x, jnp.broadcast_to(law, (*x.shape, 4097))), n, 4096, 1000
        )
        assert abs(wrong - 0.776 * right) < 0.03 * right


@pytest.mark.parametrize(
    ("symbols", "steps", "share"), [(256, 1000, 0.985), (4096, 1000, 0.776), (32_000, 1000, 0.086)]
)
def test_the_trap_in_closed_form(symbols, steps, share):
    """One of K symbols at log(1 / K T) + g has to beat [MASK] at log(1 - 1 / T) + g', and no g is over 15.94.

    The largest of K Gumbels of 23-bit uniforms is at -log(-log(j / 2^23)) with the probability (j + 1)^K - j^K, over
    2^23K.
    """
    j = np.arange(int(0.9 * 2**23), 2**23)  # below, the largest of 256 is once in 5e11
    log_u = np.log(j / 2**23)
    largest = np.exp(symbols * np.append(log_u[1:], 0)) - np.exp(symbols * log_u)
    beaten = np.exp(log_u * (steps - 1) * symbols)  # F(g - log K - log(T - 1)), F the law of g'
    assert steps * (largest * beaten).sum() == pytest.approx(share, abs=2e-3)


@pytest.mark.system
def test_a_sampler_step_uses_the_two_draws():
    """A step of `ancestral_symbols` at K = 512, T = 1000: 1e-3 of the masks within 3.5 sigma."""
    process, n = masked(np.ones(512)), 50_000
    uniform = jnp.full((1, 1, 512), 1 / 512)
    sampler = ancestral_symbols(process, lambda x, t: uniform)
    step = jax.jit(
        lambda key: (sampler.step(key, State(jnp.full((1, n), 512)), jnp.float32(1), jnp.float32(0.999)).x != 512).sum()
    )
    assert abs(int(step(jax.random.key(1))) - n / 1000) < 3.5 * (n / 1000) ** 0.5


@pytest.mark.system
def test_where_a_network_tells_nan_there_is_no_symbol():
    assert categorical(jnp.array(0.3), jnp.array([0.5, jnp.nan])) == -1
    for process, x_t in ((masked([1, 1]), 2), (multinomial([1, 1]), 1)):
        x_t, law = jnp.full((1, 1), x_t), jnp.full((1, 1, 2), jnp.nan)
        law = posterior(process, jnp.float32(0.5), jnp.float32(1), x_t, law)
        assert redrawn(process, jax.random.key(0), x_t, law) == -1
    both = product.joined({"numbers": jnp.zeros((1, 1)), "symbols": jnp.array([[-1]])})
    assert np.isnan(both).tolist() == [[False, True]]
    with pytest.raises(InputError, match="1 of images hold symbols of which the network told NaN"):
        finite(np.array([[0, -1], [0, 1]]))


@pytest.mark.slow
@pytest.mark.parametrize("make", [ancestral_symbols, first_hitting, most_confident])
def test_a_network_that_tells_nan_draws_no_symbol(make):
    """Where it is of only one step, too."""
    for process in (masked([1, 1, 1]), multinomial([1, 1, 1]))[: 2 if make is ancestral_symbols else 1]:
        x_1 = prior(process, jax.random.key(0), jnp.zeros((2, 6)))
        broken = lambda x, t: jnp.where(jnp.reshape(t, (-1, 1, 1)) < 0.7, jnp.ones((*x.shape, 3)) / 3, jnp.nan)
        drawn = np.asarray(sample(make(process, broken), jax.random.key(1), x_1, np.array([1, 0.5, 0], np.float32)))
        assert (drawn == -1).any(1).all()
