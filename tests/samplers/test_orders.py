"""Measured orders of convergence, against an exact denoiser and a reference of the probability flow."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import samplers
from jaxdiff.gaussian import process
from jaxdiff.gaussian.denoiser import transfer
from jaxdiff.samplers import sample
from tests.helpers import oracle
from tests.helpers.cases import tiers
from tests.helpers.samplers import SAMPLERS, each

ORDERS = {name: (entry.make, entry.order) for name, entry in SAMPLERS.items() if entry.order}


@functools.cache
def exact(path):
    """`(process, denoiser, x at the high end, x at the low end)`."""
    chain, (high, low) = oracle.PROCESSES[path](), oracle.MIDDLE[path]
    denoiser = oracle.denoiser(chain, oracle.PLANE)
    x = oracle.noised(chain, 0, oracle.PLANE, 64, high, jnp.float64)
    return chain, denoiser, x, run(samplers.rk4(chain, denoiser), x, np.linspace(high, low, 1501))


EVEN = {samplers.pndm: 4, samplers.plms: 3}
"""Those whose weights are those of even steps, and their order where alpha = 1."""


def run(sampler, x, times):
    return jax.jit(lambda x, times: sample(sampler, jax.random.key(0), x, times))(x, times)


def measured_order(make, path, steps):
    chain, denoiser, x, end = exact(path)
    grid = oracle.warmed if make not in EVEN else lambda n, high, low: np.linspace(high, low, n + 1)
    errors = [
        float(jnp.sqrt(jnp.mean((run(make(chain, denoiser), x, grid(n, *oracle.MIDDLE[path])) - end) ** 2)))
        for n in steps
    ]
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


PATHS = [
    *tiers(["vp", "flow"], ["vp"]),
    *(pytest.param(path, marks=pytest.mark.slow) for path in ("edm", "sub_vp", "ve")),
]


@pytest.mark.system
@pytest.mark.parametrize("path", PATHS)
@each(ORDERS)
def test_order(name, path, float64):
    make, order = ORDERS[name]
    if path == "edm" and make in EVEN:
        order = EVEN[make]
    assert abs(measured_order(make, path, (160, 320)) - order) < 0.15


@pytest.mark.system
@pytest.mark.parametrize("path", tiers(["vp", "sub_vp", "edm", "flow"], ["vp"]))
def test_the_adaptive_method_keeps_its_tolerance(path, float64):
    chain, denoiser, x, end = exact(path)
    high, low = oracle.MIDDLE[path]
    errors = [
        float(jnp.abs(run(samplers.dopri5(chain, denoiser, tol, tol), x, np.array([high, low])) - end).max())
        for tol in (1e-4, 1e-7)
    ]
    assert errors[0] < 100 * 1e-4
    assert errors[1] < 100 * 1e-7


@pytest.mark.system
@each(["ddim", "dpmpp_2s", "dpmpp_2m", "dpmpp_3m", "unipc", "deis", "lms"])
def test_exponential_integrators_do_not_see_the_path(name, float64):
    """The same noise levels along vp, edm and flow give the same sample, once alpha is divided out."""
    make, _ = ORDERS[name]
    vp, denoiser, x, _ = exact("vp")
    times = np.linspace(0.8, 0.1, 9)
    expected = run(make(vp, denoiser), x, times) / vp.alpha(jnp.array(times[-1]))
    for other in ("edm", "flow"):
        path = oracle.PROCESSES[other]()
        same = process.time_at(path, process.log_snr(vp, jnp.asarray(times)))
        start = x / vp.alpha(jnp.array(times[0])) * path.alpha(same[0])
        there = run(make(path, transfer(vp, path, denoiser)), start, same) / path.alpha(same[-1])
        np.testing.assert_allclose(there, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.system
@each(ORDERS, unit=["ddim"])
def test_inversion_has_the_order_of_the_sampler(name, float64):
    """From the low end of the flow to the high one, where the reference began."""
    make, order = ORDERS[name]
    chain, denoiser, x, end = exact("vp")
    high, low = oracle.MIDDLE["vp"]
    grid = oracle.warmed if make not in EVEN else lambda n, high, low: np.linspace(high, low, n + 1)
    errors = []
    for n in (160, 320):
        inverted = jax.jit(lambda x, times: samplers.invert(make(chain, denoiser), x, times))(
            end, grid(n, low, high)[::-1]
        )
        errors.append(float(jnp.sqrt(jnp.mean((inverted - x) ** 2))))
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15, errors


@each(["ddim", "heun", "rk4", "dpmpp_2m", "unipc"], unit=[])
def test_there_and_back(name, float64):
    """Image to noise and back: the error falls with the steps, at least as the first order does."""
    make, _ = ORDERS[name]
    chain, denoiser, _, _ = exact("vp")
    x_0 = jnp.asarray(oracle.draw(3, oracle.PLANE, 64))
    errors = []
    for n in (50, 100):
        times = np.linspace(0.95, 0.05, n + 1)
        sampler = make(chain, denoiser)
        back = run(sampler, jax.jit(lambda x, s=sampler, t=times: samplers.invert(s, x, t))(x_0), times)
        errors.append(float(jnp.sqrt(jnp.mean((back - x_0) ** 2))))
    assert errors[1] < 0.6 * errors[0]
    assert errors[1] < 0.1


@pytest.mark.statistical
def test_inverted_data_is_noise(float64):
    """The probability flow takes the mixture to its law at t, the mixture's own at that time."""
    chain, denoiser, _, _ = exact("vp")
    x_0 = oracle.noised(chain, 5, oracle.PLANE, 20_000, 0.01, jnp.float64)
    x_1 = samplers.invert(samplers.rk4(chain, denoiser), x_0, np.linspace(0.9, 0.01, 41))
    true = oracle.noised(chain, 6, oracle.PLANE, 20_000, 0.9, jnp.float64)
    again = oracle.noised(chain, 7, oracle.PLANE, 20_000, 0.9, jnp.float64)
    assert oracle.sliced_wasserstein(x_1, true) < 2 * oracle.sliced_wasserstein(again, true)
