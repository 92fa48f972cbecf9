from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian import betas, grids
from jaxdiff.gaussian.schedules import ddpm, vp
from jaxdiff.samplers import Sampler, ancestral, ddim, sample, trajectory


def denoiser(x_t, t):
    return 0.5 * jnp.tanh(x_t)


X = jax.random.normal(jax.random.key(1), (5, 3))


@pytest.mark.system
def test_sample_is_the_loop_written_out():
    sampler, key, times = ancestral(vp(), denoiser), jax.random.key(0), grids.uniform(6)
    state = sampler.init(X)
    for i in range(6):
        state = sampler.step(jax.random.fold_in(key, i), state, jnp.float32(times[i]), jnp.float32(times[i + 1]))
    np.testing.assert_allclose(sample(sampler, key, X, times), state.x, atol=1e-6)


@pytest.mark.system
def test_trajectory_keeps_the_chosen_points_alone():
    sampler, key, times = ancestral(vp(), denoiser), jax.random.key(0), grids.uniform(8)
    last, every = trajectory(sampler, key, X, times, np.arange(9))
    np.testing.assert_array_equal(every[0], X)
    np.testing.assert_array_equal(every[-1], last)
    np.testing.assert_array_equal(last, sample(sampler, key, X, times))
    _, some = trajectory(sampler, key, X, times, np.array([2, 8, 0]))
    np.testing.assert_array_equal(some, every[np.array([2, 8, 0])])


def peak_memory(steps, keep):
    x = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    run = jax.jit(lambda key, x, times, keep: trajectory(ddim(vp(), denoiser), key, x, times, keep))
    args = (jax.random.key(0), x, jnp.zeros(steps + 1), jnp.zeros(keep, jnp.int32))
    return run.lower(*args).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.system
def test_memory_does_not_grow_with_the_steps():
    state = 64 * 64 * 4
    assert peak_memory(1000, 0) - peak_memory(10, 0) < state
    assert peak_memory(1000, 4) - peak_memory(1000, 0) < 10 * state


@pytest.mark.system
def test_the_chain_is_one_compiled_call():
    """1000 steps: the denoiser is traced once, nothing moves between host and device, new values compile nothing."""
    counted = chex.assert_max_traces(denoiser, n=1)

    @jax.jit
    def draw(key, x, times, eta, temperature):
        return sample(ddim(vp(), counted, eta, temperature), key, x, times)

    arguments = jax.device_put((jax.random.key(0), X, jnp.asarray(grids.uniform(1000)), 0.0, 1.0))
    with jax.transfer_guard("disallow"):
        draw(*arguments).block_until_ready()
    for changed in [(jax.random.key(7), *arguments[1:]), (*arguments[:2], arguments[2] ** 2, 0.5, 0.9)]:
        draw(*changed)
    assert "while" in draw.lower(*arguments).as_text()


@pytest.mark.system
def test_chains_can_be_differentiated_and_vmapped():
    times = grids.uniform(10)

    def total(scale, key):
        return sample(ddim(vp(), lambda x, t: scale * denoiser(x, t), 0.5), key, X, times).sum()

    slope = jax.grad(total)(1.0, jax.random.key(0))
    numeric = (total(1.01, jax.random.key(0)) - total(0.99, jax.random.key(0))) / 0.02
    np.testing.assert_allclose(slope, numeric, rtol=1e-2)
    assert jax.vmap(total, (None, 0))(1.0, jax.random.split(jax.random.key(0), 3)).shape == (3,)


@pytest.mark.system
@pytest.mark.parametrize("name", ["ancestral", "ddim", "dpmpp_3m", "deis", "unipc", "heun", "pndm"])
def test_times_of_narrow_states_are_not_rounded(name):
    """bfloat16 knows 507 of 1,001 times: the state is rounded, the grid is not, also of a chain given by a table."""
    seen, chain = [], ddpm(betas.linear(1000))

    def listening(x_t, t):
        jax.debug.callback(lambda t: seen.append(float(t)), t)
        return 0.5 * jnp.tanh(x_t)

    times = np.array([0.9, 0.501, 0.5005, 0.4], np.float32)
    out = sample(getattr(samplers, name)(chain, listening), jax.random.key(0), X.astype(jnp.bfloat16), times)
    jax.effects_barrier()
    assert out.dtype == jnp.bfloat16
    assert np.isfinite(np.asarray(out, np.float32)).all()
    assert {0.501, 0.5005} <= {round(t, 6) for t in seen}


def test_a_sampler_with_a_memory():
    class Memory(NamedTuple):
        x: jax.Array
        steps: jax.Array

    sampler = Sampler(
        lambda x: Memory(x, jnp.zeros(())), lambda key, state, t, s: Memory(state.x + state.steps, state.steps + 1)
    )
    np.testing.assert_allclose(sample(sampler, jax.random.key(0), jnp.zeros((1, 1)), grids.uniform(4)), [[6.0]])
