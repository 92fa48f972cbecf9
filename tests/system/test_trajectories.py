"""Whole trajectories agree with diffusers (fixtures always, live under `-m parity`) and k-diffusion (fixtures)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian import betas, grids, process, schedules
from jaxdiff.samplers import trajectory
from tests.helpers import trajectory_reference as theirs
from tests.helpers.cases import tiers

CHAIN, EDM, FLOW = schedules.ddpm(betas.linear(1000)), schedules.edm(200.0), schedules.flow()
TOLERANCE = 1e-4

# name there: (process here, sampler, how many of the last steps differ by design)
DIFFUSERS = {
    "ddim": (CHAIN, samplers.ddim, 0),
    "ddpm": (CHAIN, samplers.ancestral, 0),
    "euler": (EDM, samplers.euler, 0),
    "euler_ancestral": (EDM, lambda p, d: samplers.ddim(p, d, eta=1.0), 0),
    "heun": (EDM, samplers.heun, 0),
    "heun_karras": (EDM, samplers.heun, 0),
    "lms": (EDM, samplers.lms, 0),
    "dpmpp_2m": (CHAIN, samplers.dpmpp_2m, 0),
    "dpmpp_2m_karras": (CHAIN, samplers.dpmpp_2m, 0),
    "dpmpp_2m_sde": (CHAIN, lambda p, d: samplers.dpmpp_2m(p, d, eta=1.0), 0),
    "dpmpp_3m": (CHAIN, lambda p, d: samplers.dpmpp_3m(p, d, curvature=0.5), 0),
    "unipc_2": (CHAIN, samplers.unipc, 0),
    # diffusers lowers the order of the last two steps of third-order methods; here the one to the data alone is lower.
    "unipc_3": (CHAIN, lambda p, d: samplers.unipc(p, d, order=3), 2),
    "deis_2": (CHAIN, lambda p, d: samplers.deis(p, d, order=2), 0),
    "deis_3": (CHAIN, samplers.deis, 2),
    "pndm": (CHAIN, samplers.pndm, 0),
    "flow_euler": (FLOW, samplers.euler, 0),
}


def churned(steps):
    return {"churn": 5.0 / steps, "churn_noise": 1.003, "churn_min": 0.05, "churn_max": 20.0}


K_DIFFUSION = {
    "euler": lambda p, d, n: samplers.euler(p, d),
    "euler_ancestral": lambda p, d, n: samplers.ddim(p, d, eta=0.7),
    "heun": lambda p, d, n: samplers.heun(p, d),
    "heun_churn": lambda p, d, n: samplers.heun(p, d, **churned(n)),
    "lms": lambda p, d, n: samplers.lms(p, d),
    "dpmpp_2s": lambda p, d, n: samplers.dpmpp_2s(p, d),
    "dpmpp_2s_ancestral": lambda p, d, n: samplers.dpmpp_2s(p, d, eta=0.7),
    "dpmpp_2m": lambda p, d, n: samplers.dpmpp_2m(p, d),
    "dpmpp_2m_sde": lambda p, d, n: samplers.dpmpp_2m(p, d, eta=0.7),
    "dpmpp_3m_sde": lambda p, d, n: samplers.dpmpp_3m(p, d, eta=0.7, curvature=0.5),
}


@pytest.fixture(scope="module", params=["fixtures", pytest.param("live", marks=pytest.mark.parity)])
def diffusers(request):
    fixtures = theirs.FIXTURES / "trajectories_diffusers.npz"
    return dict(np.load(fixtures)) if request.param == "fixtures" else theirs.diffusers_trajectories()


@pytest.fixture(scope="module")
def k_diffusion():
    return dict(np.load(theirs.FIXTURES / "trajectories_k_diffusion.npz"))


def ours(make, path, levels, x_1):
    """Every x of our sampler, in float32, with the noise that the others were given."""
    steps = len(levels) - 1
    with np.errstate(divide="ignore"):
        times = levels if path is FLOW else np.asarray(process.time_at(path, -2 * np.log(levels)), np.float32)
    key, noises = jax.random.key(0), jnp.asarray(theirs.inputs(steps)[1], jnp.float32)
    known = jax.random.key_data(jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(steps)))
    given = path._replace(noise=lambda key, x: noises[jnp.argmax((known == jax.random.key_data(key)).all(1))])

    def denoiser(x_t, t):
        alpha = path.alpha(t)
        if path is FLOW:
            return theirs.toy(x_t, t, jnp.tanh, jnp.sqrt)
        return theirs.toy(x_t / alpha, path.sigma(t) / alpha, jnp.tanh, jnp.sqrt)

    run = jax.jit(lambda x, times: trajectory(make(given, denoiser), key, x, times, jnp.arange(steps + 1))[1])
    return np.asarray(run(jnp.asarray(x_1, jnp.float32), times))


def compare(ours, theirs, kept=slice(None)):
    scale = np.sqrt(np.mean(theirs**2, axis=(1, 2)))
    worst = (np.abs(ours - theirs).max(axis=(1, 2)) / scale)[kept]
    assert worst.max() < TOLERANCE, worst


@pytest.mark.parametrize("steps", tiers(theirs.STEPS, theirs.STEPS[:1]))
@pytest.mark.parametrize("name", DIFFUSERS)
def test_diffusers(diffusers, name, steps):
    path, make, without = DIFFUSERS[name]
    states = diffusers[f"{name}/{steps}"]
    compare(
        ours(make, path, diffusers[f"{name}/{steps}/levels"], states[0]), states, slice(None, len(states) - without)
    )


@pytest.mark.parametrize("steps", tiers(theirs.STEPS, theirs.STEPS[:1]))
@pytest.mark.parametrize("name", K_DIFFUSION)
def test_k_diffusion(k_diffusion, name, steps):
    make = K_DIFFUSION[name]
    states = k_diffusion[f"{name}/{steps}"]
    there = ours(lambda p, d: make(p, d, steps), EDM, k_diffusion[f"{name}/{steps}/levels"], states[0])
    # With churn k-diffusion reports x after the noise was added: compare the result alone.
    compare(there, states, slice(-1, None) if "churn" in name else slice(None))


@pytest.mark.parametrize("steps", theirs.STEPS)
def test_grids_of_k_diffusion(k_diffusion, steps):
    low, high = theirs.SIGMAS
    for name, grid in [("heun", grids.karras), ("exponential", grids.exponential)]:
        np.testing.assert_allclose(200 * grid(EDM, steps, high, low), k_diffusion[f"{name}/{steps}/levels"], rtol=1e-5)
