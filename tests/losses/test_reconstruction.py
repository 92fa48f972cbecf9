"""The loss of an autoencoder against its parts, recomputed in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.losses.reconstruction import divergence, reconstruction_loss
from jaxdiff.types import Batch


def coded(params, x, key):
    """An encoder that halves and a decoder that doubles, with noise of a known size."""
    mean, log_variance = 0.5 * x[..., :1] + params["shift"], jnp.full_like(x[..., :1], params["log_variance"])
    z = mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape)
    return jnp.concatenate([2 * z, 2 * z], -1), mean, log_variance


def test_the_loss_is_the_absolute_error_and_the_weighted_divergence_of_an_example(rng):
    x, key = rng.normal(size=(5, 4, 3, 2)).astype(np.float32), jax.random.key(3)
    params = {"shift": 0.3, "log_variance": -1.2}
    loss, metrics = reconstruction_loss(coded, kl=0.07)(params, key, Batch(jnp.asarray(x)))
    mean = 0.5 * np.float64(x[..., :1]) + 0.3
    seen = np.repeat(2 * (mean + np.exp(-0.6) * np.asarray(jax.random.normal(key, mean.shape))), 2, -1)
    nats = (mean**2 + np.exp(-1.2) - 1 + 1.2) / 2
    each = np.abs(seen - x).reshape(5, -1).sum(1) + 0.07 * nats.reshape(5, -1).sum(1)
    np.testing.assert_allclose(loss, each.mean() / x[0].size, rtol=1e-5)
    np.testing.assert_allclose(metrics["kl"], nats.mean(), rtol=1e-5)
    squared = ((seen - x) ** 2).reshape(5, -1).mean(1)
    np.testing.assert_allclose(metrics["psnr"], (10 * np.log10(4 / squared)).mean(), rtol=1e-5)


def test_the_divergence_is_that_of_draws():
    mean, log_variance, n = 0.7, -0.8, 400_000
    z = mean + np.exp(log_variance / 2) * np.random.default_rng(0).normal(size=n)
    log_ratio = -0.5 * ((z - mean) ** 2 / np.exp(log_variance) + log_variance) + 0.5 * z**2
    exact = float(divergence(jnp.float32(mean), jnp.float32(log_variance)))
    assert abs(log_ratio.mean() - exact) < 4 * log_ratio.std() / n**0.5


def test_a_standard_normal_costs_nothing_and_no_other():
    assert divergence(jnp.zeros(()), jnp.zeros(())) == 0
    assert jax.grad(divergence, (0, 1))(jnp.zeros(()), jnp.zeros(())) == (0, 0)
    assert divergence(jnp.float32(0.1), jnp.zeros(())) > 0
    assert divergence(jnp.zeros(()), jnp.float32(-0.5)) > 0
