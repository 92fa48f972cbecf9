import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.gaussian import parameterization, process, schedules
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.likelihood import continuous_term, even_shares, prior_kl, softmax_decoder
from jaxdiff.losses.vlb import bound_loss, by_log_snr
from jaxdiff.nets import MonotoneLogSNR
from jaxdiff.types import Batch


@pytest.mark.system
def test_the_schedule_is_monotone_between_its_ends():
    schedule, t = MonotoneLogSNR(13.3, -5.0), jnp.linspace(0, 1, 500)
    for seed in range(5):
        params = schedule.init(jax.random.key(seed), t)
        ratio = schedule.apply(params, t)
        np.testing.assert_allclose(ratio[jnp.array([0, -1])], [13.3, -5.0], rtol=1e-5)
        assert (jnp.diff(ratio) < 0).all()


@pytest.mark.system
def test_a_learned_process_is_variance_preserving():
    schedule = MonotoneLogSNR()
    params = schedule.init(jax.random.key(0), jnp.zeros(1))
    chain = schedules.from_log_snr(lambda t: schedule.apply(params, t))
    t = jnp.linspace(0, 1, 100)
    np.testing.assert_allclose(chain.alpha(t) ** 2 + chain.sigma(t) ** 2, 1, atol=1e-6)
    np.testing.assert_allclose(process.log_snr(chain, t), schedule.apply(params, t), atol=1e-4)


@pytest.mark.statistical
def test_the_interior_follows_the_variance_and_all_else_the_bound():
    """Gradients against those of the two aims written out: the bound, and the mean square of its diffusion term."""
    schedule = MonotoneLogSNR(2.0, -1.0, width=4)
    x_0 = jnp.asarray(np.random.default_rng(0).choice([-0.5, 0.0, 0.5], (8, 3)), jnp.float32)
    network = lambda params, x, t, condition=None, key=None: jnp.tanh(params * x) * t[:, None] / 1000
    given = lambda params: schedules.from_log_snr(lambda t: schedule.apply({"params": params}, t))
    meaning, key = by_log_snr(parameterization.eps()), jax.random.key(3)
    params = {"net": jnp.float32(0.8), "schedule": schedule.init(jax.random.key(0), jnp.zeros(1))["params"]}

    def terms(params):
        key_t, key_eps, key_first = jax.random.split(jax.random.split(key)[0], 3)
        chain, first = given(params["schedule"]), jnp.zeros(())
        denoiser = make_denoiser(chain, meaning, network, params["net"])
        diffusion = continuous_term(chain, denoiser, key_eps, x_0, 1 - even_shares(key_t, 8))
        x_t, _ = process.perturb(chain, key_first, x_0, first)
        return diffusion, prior_kl(chain, x_0) - softmax_decoder(17)(chain, denoiser, x_0, x_t, first)

    nats = 3 * np.log(2)
    of_bound = jax.grad(lambda p: sum(terms(p)).mean() / nats)(params)
    of_square = jax.grad(lambda p: (terms(p)[0] ** 2).mean() / nats)(params)
    value, ours = jax.value_and_grad(lambda p: bound_loss(given, meaning, network, 17)(p, key, Batch(x_0))[0])(params)
    np.testing.assert_allclose(value, sum(terms(params)).mean() / nats, rtol=1e-5)
    np.testing.assert_allclose(ours["net"], of_bound["net"], rtol=1e-4)
    for name, gradient in ours["schedule"].items():
        expected = (of_bound if name in ("start", "end") else of_square)["schedule"][name]
        np.testing.assert_allclose(gradient, expected, rtol=2e-3, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_training_improves_the_bound_and_moves_the_ends():
    """Data at 3 of 17 levels: a linear schedule's ends learn, and the bound is what it says."""
    schedule = MonotoneLogSNR(2.0, -1.0, width=16)
    x_0 = jnp.asarray(np.random.default_rng(0).choice([-0.5, 0.0, 0.5], (512, 2)), jnp.float32)
    network = lambda params, x, t, condition=None, key=None: params * x
    given = lambda params: schedules.from_log_snr(lambda t: schedule.apply({"params": params}, t))
    loss_fn = bound_loss(given, by_log_snr(parameterization.eps()), network, 17)
    params = {"net": jnp.float32(0.8), "schedule": schedule.init(jax.random.key(0), jnp.zeros(1))["params"]}
    step = jax.jit(jax.value_and_grad(lambda p, k: loss_fn(p, k, Batch(x_0))[0]))
    first, grads = step(params, jax.random.key(1))
    for i in range(200):
        _, grads = step(params, jax.random.fold_in(jax.random.key(2), i))
        params = jax.tree.map(lambda p, g: p - 0.05 * g, params, grads)
    last, _ = step(params, jax.random.key(1))
    assert last < first - 0.1
    assert float(params["schedule"]["start"]) > 2.1
    value, metrics = loss_fn(params, jax.random.key(3), Batch(x_0))
    np.testing.assert_allclose(value, sum(metrics.values()), rtol=1e-5)


def test_the_network_sees_the_log_snr():
    meaning = by_log_snr(parameterization.eps())
    seen = meaning.time_input(schedules.from_log_snr(lambda t: 13.3 - 18.3 * t), jnp.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(seen, [0, 500, 1000], atol=1e-2)
