import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdiff.errors import InputError
from jaxdiff.gaussian import parameterization, process, schedules
from jaxdiff.gaussian.process import log_snr
from jaxdiff.gaussian.schedules import vp
from jaxdiff.losses import diffusion
from jaxdiff.losses import times as loss_times
from jaxdiff.losses import weights as loss_weights
from jaxdiff.transforms import dropout
from jaxdiff.types import Batch, ConditionSpec, class_label


@pytest.mark.system
@pytest.mark.parametrize("sampler", [loss_times.uniform, loss_times.stratified, loss_times.antithetic])
def test_times_are_uniform(sampler):
    draws = jax.vmap(lambda key: sampler(0.001)(vp(), key, 64))(jax.random.split(jax.random.key(0), 300)).ravel()
    assert draws.min() > 0.001 - 1e-6
    assert draws.max() <= 1
    assert stats.kstest((np.asarray(draws) - 0.001) / 0.999, "uniform").pvalue > 0.01


@pytest.mark.parametrize("sampler", [loss_times.uniform, loss_times.stratified, loss_times.antithetic])
def test_times_of_a_chain_are_its_steps_equally_often(sampler):
    draws = jax.vmap(lambda key: sampler(steps=10)(vp(), key, 100))(jax.random.split(jax.random.key(0), 200)).ravel()
    index = np.asarray(draws) * 10
    np.testing.assert_allclose(index, np.round(index), atol=1e-5)
    counts = np.bincount(np.round(index).astype(int), minlength=11)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:], 2000, rtol=0.1)


def test_stratified_times_leave_no_gap():
    t = np.sort(loss_times.stratified()(vp(), jax.random.key(3), 50))
    assert np.diff(t).max() < 1 / 50 + 1e-5


@pytest.mark.system
@pytest.mark.parametrize("name", ["eps", "x0", "v", "velocity", "edm"])
@pytest.mark.parametrize("weight", ["elbo", "min_snr"])
def test_weighted_losses_do_not_depend_on_the_parameterization(name, weight, rng, float64):
    """The same denoiser, told in other words, has the same weighted loss."""
    chain, meaning = vp(), getattr(parameterization, name)()

    def network(params, x, time, condition=None, key=None):
        t = (time + 1) / 1000 if name != "edm" else 0.5 * jnp.ones(len(x))
        x_t = x / meaning.input_scale(chain, t)[:, None]
        return parameterization.target(
            chain, meaning, 0.3 * x_t, (1 - 0.3 * chain.alpha(t)[:, None]) * x_t / chain.sigma(t)[:, None], t
        )

    batch = Batch(jnp.asarray(rng.normal(size=(6, 2))))
    fixed = lambda chain, key, n: 0.5 * jnp.ones(n)
    value, _ = diffusion.diffusion_loss(chain, meaning, network, getattr(loss_weights, weight)(), fixed)(
        None, jax.random.key(0), batch
    )

    key_eps, _ = jax.random.split(jax.random.split(jax.random.key(0))[1])
    alpha, sigma = chain.alpha(jnp.array(0.5)), chain.sigma(jnp.array(0.5))
    x_t = alpha * batch.x_0 + sigma * chain.noise(key_eps, batch.x_0)
    snr = alpha**2 / sigma**2
    slope = jax.grad(lambda t: log_snr(chain, t))(0.5)
    factor = {"elbo": -0.5 * slope * snr, "min_snr": jnp.minimum(snr, 5.0)}
    expected = jnp.mean((0.3 * x_t - batch.x_0) ** 2) * factor[weight]
    np.testing.assert_allclose(value, expected, rtol=1e-9)


@pytest.mark.system
def test_simple_loss_is_ddpms(rng):
    """Algorithm 1 of Ho et al., written out."""
    chain = vp()
    params = jnp.float32(0.7)
    network = lambda params, x, t, condition=None, key=None: params * x + t[:, None] / 1000
    x_0 = jnp.asarray(rng.normal(size=(8, 5)), jnp.float32)
    loss_fn = diffusion.diffusion_loss(
        chain, parameterization.eps(), network, loss_weights.simple(), loss_times.uniform(steps=1000)
    )
    value, metrics = loss_fn(params, jax.random.key(5), Batch(x_0))

    key_t, key_error = jax.random.split(jax.random.key(5))
    key_eps, _ = jax.random.split(key_error)
    t = (jnp.floor(jax.random.uniform(key_t, (8,)) * 1000) + 1) / 1000
    eps = jax.random.normal(key_eps, (8, 5))
    x_t = chain.alpha(t)[:, None] * x_0 + chain.sigma(t)[:, None] * eps
    expected = jnp.mean((network(params, x_t, 1000 * t - 1) - eps) ** 2)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(metrics["mse"], expected, rtol=1e-6)


def test_training_passes_a_key_and_the_condition():
    seen = {}

    def network(params, x, t, condition=None, key=None):
        seen.update(condition=condition, key=key)
        return x

    loss_fn = diffusion.diffusion_loss(
        vp(), parameterization.eps(), network, loss_weights.simple(), loss_times.uniform()
    )
    loss_fn(None, jax.random.key(0), Batch(jnp.ones((2, 3)), jnp.array([1, 2])))
    assert seen["key"] is not None
    np.testing.assert_array_equal(seen["condition"], [1, 2])


def test_antithetic_pairs():
    t = np.asarray(loss_times.antithetic()(vp(), jax.random.key(0), 7))
    np.testing.assert_allclose(t[0:6:2] + t[1:6:2], 1, atol=1e-6)
    assert t.shape == (7,)


def test_levels_and_times_have_their_laws():
    """log-normal noise levels on any path (EDM's P_mean, P_std), and logit-normal times (SD3)."""
    for chain in (schedules.edm(), schedules.ve(0.001, 1000.0), schedules.flow()):
        t = loss_times.log_normal(-1.2, 1.2)(chain, jax.random.key(0), 20_000)
        level = np.log(np.asarray(chain.sigma(t) / chain.alpha(t), np.float64))
        assert stats.kstest((level + 1.2) / 1.2, "norm").pvalue > 0.01
    t = np.asarray(loss_times.logit_normal(0.3, 0.8)(vp(), jax.random.key(1), 20_000), np.float64)
    assert stats.kstest((np.log(t / (1 - t)) - 0.3) / 0.8, "norm").pvalue > 0.01


def published(chain, t):
    """Weights as their papers state them, each as a factor on the squared error in eps."""
    alpha, sigma = chain.alpha(t), chain.sigma(t)
    snr = (alpha / sigma) ** 2
    slope = jax.vmap(jax.grad(lambda t: log_snr(chain, t)))(t)
    g2 = jax.vmap(lambda t: process.diffusion2(chain, t))(t)
    level, data = sigma / alpha, 0.5
    return {
        "eps": jnp.ones_like(t),
        "elbo": -slope / 2,
        "likelihood": g2 / sigma**2,
        "min_snr": jnp.minimum(snr, 5.0) / snr,
        "p2": 1 / (1 + snr),
        "sigmoid": -slope / 2 * jax.nn.sigmoid(-3 - jnp.log(snr)),
        "edm": (level**2 + data**2) / (level * data) ** 2 * level**2,
    }


@pytest.mark.system
@pytest.mark.parametrize("path", ["vp", "sub_vp", "ve", "edm", "flow"])
def test_published_weights(path, float64):
    chain, t, eps = getattr(schedules, path)(), jnp.array([0.01, 0.3, 0.9]), parameterization.eps()
    for name, expected in published(chain, t).items():
        np.testing.assert_allclose(getattr(loss_weights, name)()(chain, eps, t), expected, rtol=1e-9, err_msg=name)


def test_edm_trains_with_unit_weight(float64):
    """Karras et al.: with their preconditioning lambda(sigma) c_out² = 1."""
    chain, t = schedules.edm(), jnp.array([1e-4, 0.01, 0.9])
    np.testing.assert_allclose(loss_weights.edm()(chain, parameterization.edm(), t), 1, rtol=1e-9)


def test_a_chain_has_no_least_time():
    with pytest.raises(InputError, match="t_min"):
        loss_times.uniform(steps=5, t_min=0.1)


@pytest.mark.system
def test_conditions_are_dropped_whole_and_as_often_as_asked():
    specs = {"label": class_label(5000), "vector": ConditionSpec((2,))}
    condition = {"label": jnp.arange(1, 4001), "vector": jnp.ones((4000, 2)), "augment": jnp.ones((4000, 9))}
    batch = Batch(jnp.zeros((4000, 2)), condition)
    dropped = dropout.condition_dropout(0.1, specs)(jax.random.key(0), batch).condition
    missing = np.asarray(dropped["label"]) == -1
    np.testing.assert_allclose(missing.mean(), 0.1, atol=4 * np.sqrt(0.09 / 4000))
    np.testing.assert_array_equal(dropped["vector"][:, 0] == 0, missing)
    np.testing.assert_array_equal(dropped["label"][~missing], condition["label"][~missing])
    assert dropped["augment"].all(), "what is not among the specs stays"
    assert dropout.condition_dropout(0.1, specs)(jax.random.key(0), Batch(batch.x_0)).condition is None
