import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from jaxdiff.errors import InputError
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.schedules import vp
from jaxdiff.pipelines.anomaly import denoising_error, msma, threshold


def test_the_error_of_a_gaussian_is_what_its_posterior_leaves_and_its_bias():
    """In closed form, for data at the mean and for data three standard deviations off."""
    chain, std, shift = vp(), 0.5, np.array([0.0, 1.5])
    x_0 = jnp.tile(jnp.asarray(shift, jnp.float32), (20_000, 1))
    denoiser = gaussian_mixture(chain, np.ones(1), np.zeros((1, 2)), np.full((1, 2), std))
    times = jnp.array([0.2, 0.6])
    found, each = denoising_error(chain, denoiser, jax.random.key(0), x_0, times)
    np.testing.assert_allclose(found.mean(1), each.mean(1), rtol=1e-4)
    found = found.mean(0)
    alpha, sigma = np.asarray(chain.alpha(times))[:, None], np.asarray(chain.sigma(times))[:, None]
    total = (alpha * std) ** 2 + sigma**2
    # x̂_0 - x_0 = (alpha s² sigma eps - sigma² x_0) / total
    expected = (alpha / sigma) ** 2 * ((alpha * std**2 * sigma) ** 2 + (sigma**2 * shift) ** 2) / total**2
    np.testing.assert_allclose(found, expected.mean(0), rtol=0.03)


def test_the_threshold_lets_the_asked_share_of_normal_examples_through(rng):
    normal = rng.normal(size=1000)
    assert np.mean(normal > threshold(normal, 0.05)) == 0.05
    with pytest.raises(InputError, match="false_positives=1.5: must be a share between 0 and 1"):
        threshold(normal, 1.5)


def test_the_untypical_is_far_in_either_direction(rng):
    """Mahalanobis distances by scipy; of errors that are too small, too."""
    normal, some = np.exp(rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3))), np.exp(rng.normal(size=(4, 3)))
    mean, inverse = np.log(normal).mean(0), np.linalg.inv(np.cov(np.log(normal), rowvar=False))
    expected = [mahalanobis(np.log(row), mean, inverse) for row in some]
    np.testing.assert_allclose(msma(normal, some), expected, rtol=1e-5)
    center = np.exp(mean)[None]
    assert msma(normal, center * 1e-3) > 3 > msma(normal, center)
