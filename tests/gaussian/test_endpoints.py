"""Every process, parameterization and weight next to the ends of time: finite, and in float32 what it is in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.config.names import named
from jaxdiff.errors import InputError
from jaxdiff.gaussian import betas, parameterization, process, schedules
from jaxdiff.gaussian.parameterization import Parameterization, check_defined, check_target, to_eps, to_x0
from jaxdiff.losses import times as loss_times
from jaxdiff.losses import weights as loss_weights
from jaxdiff.losses.diffusion import diffusion_loss
from jaxdiff.losses.weights import Weight
from jaxdiff.samplers import analytic
from jaxdiff.types import Batch
from tests.helpers import oracle
from tests.helpers.cases import tiers

WEIGHTS, MEANINGS = named(loss_weights, Weight), named(parameterization, Parameterization)
ENDS = np.array([1e-5, 1 - 1e-5], np.float32)


def network(params, x, t, condition=None, key=None):
    return jnp.tanh(params * x) + 0.1 * jnp.cos(t / 1000)[:, None]


def losses(chain, dtype):
    """Loss and gradient of all pairs at both ends: {(parameterization, weight, t): (loss, gradient)}."""
    rng = np.random.default_rng(0)
    x_0, eps = (jnp.asarray(rng.normal(size=(8, 5)), dtype) for _ in range(2))
    given = chain._replace(noise=lambda key, x: eps)

    @jax.jit
    def all_pairs(scale, t):
        out, fixed = {}, lambda process, key, n: jnp.full(n, t)
        for m, meaning in MEANINGS.items():
            # At one t the weight is one number: the loss of `simple`, and its gradient, times that of another weight.
            loss_fn = diffusion_loss(given, meaning(), network, loss_weights.simple(), fixed)
            value, slope = jax.value_and_grad(lambda s, f=loss_fn: f(s, jax.random.key(0), Batch(x_0))[0])(scale)
            for w, weight in WEIGHTS.items():
                factor = weight()(chain, meaning(), t[None])[0]
                out[m, w] = factor * value, factor * slope
        return out

    return [jax.device_get(all_pairs(jnp.asarray(0.7, dtype), jnp.asarray(t, dtype))) for t in ENDS]


USUAL = ("sub_vp", "cosine", "ve", "flow")
ONE = ("flow",)
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in oracle.PROCESSES if name not in USUAL]


@pytest.mark.system
@pytest.mark.parametrize("name", [*tiers(USUAL, ONE), *SLOW])
def test_losses_and_gradients_at_both_ends(name):
    single = losses(oracle.PROCESSES[name](), jnp.float32)
    with jax.enable_x64(True):
        double = losses(oracle.PROCESSES[name](), jnp.float64)
    for t, ours, exact in zip(ENDS, single, double, strict=True):
        for pair, values in ours.items():
            assert np.isfinite(values).all(), (pair, t, values)
            np.testing.assert_allclose(values, exact[pair], rtol=1e-4, err_msg=f"{pair} at {t}")


@pytest.mark.system
@pytest.mark.parametrize("name", [*tiers(USUAL, ONE), *SLOW])
@pytest.mark.parametrize("meaning", MEANINGS)
def test_outputs_are_understood_at_both_ends(name, meaning):
    """The x̂_0 and eps of an output, in float32 and float64, within what an ulp of the inputs makes of them."""
    rng = np.random.default_rng(1)
    x_t, out = rng.normal(size=(2, 6, 3))

    def both(dtype):
        chain, t = oracle.PROCESSES[name](), jnp.repeat(jnp.asarray(ENDS, dtype), 3)
        given = [chain, MEANINGS[meaning](), jnp.asarray(out, dtype), jnp.asarray(x_t, dtype), t]
        return np.asarray(to_x0(*given)), np.asarray(to_eps(*given))

    single = both(jnp.float32)
    with jax.enable_x64(True):
        double = both(jnp.float64)
    for ours, exact in zip(single, double, strict=True):
        scale = np.abs(exact).max(axis=1, keepdims=True)
        np.testing.assert_allclose(ours / scale, exact / scale, atol=1e-4)


@pytest.mark.parametrize(
    ("meaning", "path", "times"),
    [
        ("eps", "flow", [1.0, 0.5, 0.0]),
        ("eps", "cosine", [1.0, 0.5, 0.0]),
        ("score", "ddpm_zero_snr", [1.0, 0.5, 0.0]),
        ("x0", "flow", [0.5, 0.0, -0.1]),
        ("score", "edm", [0.5, 0.0, -0.1]),
    ],
)
def test_undefined_pairs_are_refused(meaning, path, times):
    with pytest.raises(InputError, match="this parameterization is undefined"):
        check_defined(oracle.PROCESSES[path](), MEANINGS[meaning](), np.array(times))


@pytest.mark.system
@pytest.mark.parametrize("meaning", ["v", "velocity", "x0"])
def test_defined_at_pure_noise(meaning):
    for path in ("flow", "cosine", "ddpm_zero_snr"):
        check_defined(oracle.PROCESSES[path](), MEANINGS[meaning](), np.array([1.0, 0.5, 0.0]))


def test_a_bound_beyond_all_precision_is_none():
    """x̂_0 = (x_t - sigma eps) / alpha on `flow`, alpha = 1 - t: an error of eps grows by sigma / alpha."""
    flow, eps = oracle.PROCESSES["flow"](), MEANINGS["eps"]()
    check_defined(flow, eps, np.array([1 - 2**-22, 0.5, 0.0]))  # 4e6
    with pytest.raises(InputError, match=r"the grid visits t=1, where alpha=5.96e-08 and sigma=1"):
        check_defined(flow, eps, np.array([1 - 2**-24, 0.5, 0.0]))  # 1.7e7


@pytest.mark.system
def test_slopes_at_the_very_end():
    """The last interval of a zero-terminal chain is linear in alpha: Lin et al. 2024's table, its slope by hand."""
    alpha = np.exp(0.5 * np.cumsum(np.log1p(-betas.linear(1000))))
    last = alpha[0] / (alpha[0] - alpha[-1]) * (alpha[-2] - alpha[-1])
    for factor in (1.0, 2.0):
        chain = schedules.ddpm(betas.linear(1000), zero_terminal_snr=True)
        chain = chain if factor == 1 else schedules.shifted(chain, factor)
        _, slopes = process.with_slopes(chain, jnp.ones(()))
        np.testing.assert_allclose(slopes, [-1000 * last / factor, 0.0], rtol=1e-5)


@pytest.mark.system
@pytest.mark.parametrize("name", tiers(oracle.PROCESSES, ONE))
def test_weights_at_the_ends_are_their_limits(name):
    """At t = 0 and t = 1 finite, and what float64 makes of a point close by, for every weight and parameterization."""
    chain, t = oracle.PROCESSES[name](), jnp.array([0.0, 1.0])
    ours = jax.jit(lambda t: {(m, w): WEIGHTS[w]()(chain, MEANINGS[m](), t) for m in MEANINGS for w in WEIGHTS})(t)
    assert all(np.isfinite(values).all() for values in ours.values()), ours
    if float(chain.alpha(t[1])) > 1e-6:
        return
    with jax.enable_x64(True):
        double = oracle.PROCESSES[name]()
        near = {pair: WEIGHTS[pair[1]]()(double, MEANINGS[pair[0]](), jnp.array(1.0)) for pair in ours}
    for pair, values in ours.items():
        np.testing.assert_allclose(values[1], near[pair], rtol=2e-2, err_msg=str(pair))


@pytest.mark.system
def test_limits_of_weights_at_pure_noise():
    at_end = lambda chain, w, m: float(WEIGHTS[w]()(chain, MEANINGS[m](), jnp.ones(())))
    zero, sigmoid = oracle.PROCESSES["ddpm_zero_snr"](), schedules.sigmoid()
    for weight in ("elbo", "sigmoid"):
        assert abs(at_end(zero, weight, "v")) < 1e-5
        np.testing.assert_allclose(at_end(sigmoid, weight, "v"), 0.1497, atol=2e-4)
    for weight in ("min_snr", "p2", "eps"):
        np.testing.assert_allclose(at_end(schedules.flow(), weight, "eps"), 1.0, rtol=1e-4)


def test_a_velocity_that_is_infinite_is_refused():
    check_target(schedules.flow(), parameterization.velocity())
    with pytest.raises(InputError, match="infinite|inf"):
        check_target(schedules.sigmoid(), parameterization.velocity())


@pytest.mark.statistical
def test_a_step_of_training_on_a_zero_terminal_chain_is_finite():
    """Stratified times of 1,024 examples meet t = 1 at every step."""
    chain = oracle.PROCESSES["ddpm_zero_snr"]()
    for weight in ("elbo", "likelihood", "sigmoid", "min_snr"):
        times = loss_times.stratified(steps=1000)
        loss_fn = diffusion_loss(chain, parameterization.v(), network, WEIGHTS[weight](), times)
        assert (times(chain, jax.random.key(0), 1024) == 1).any()
        total = lambda scale, f=loss_fn: f(scale, jax.random.key(0), Batch(jnp.ones((1024, 2))))[0]
        value, gradient = jax.value_and_grad(total)(0.7)
        assert np.isfinite([value, gradient]).all(), weight


@pytest.mark.system
def test_an_edm_network_is_asked_at_a_finite_noise_level():
    """c_noise at pure noise and at the data, where its logarithm is infinite."""
    for path in ("flow", "cosine", "ddpm_zero_snr", "edm"):
        seen = parameterization.edm().time_input(oracle.PROCESSES[path](), jnp.array([0.0, 1.0]))
        assert np.isfinite(seen).all(), path


def test_the_optimal_variance_is_finite_at_pure_noise():
    variance = analytic([1.0, 0.5], [1.0, 0.9])
    s, t = jnp.float32(0.5), jnp.float32(1.0)
    of_x_0, small = process.posterior(schedules.flow(), s, t)[1:]
    np.testing.assert_allclose(variance(schedules.flow(), None, s, t), small + of_x_0**2, rtol=1e-5)


@pytest.mark.parametrize("meaning", MEANINGS)
def test_without_noise_x_t_is_the_data(meaning):
    """Whatever the output means, also where it says nothing of the data."""
    for path in ("flow", "vp", "edm"):
        chain = oracle.PROCESSES[path]()
        x_t, out = jnp.array([[0.5, -2.0]] * 2), jnp.array([[3.0, 1.0]] * 2)
        found = to_x0(chain, MEANINGS[meaning](), out, x_t, jnp.array([0.0, 0.3]))
        np.testing.assert_allclose(found[0], x_t[0] / chain.alpha(jnp.float32(0)), rtol=1e-6)
        assert np.isfinite(found[1]).all()
