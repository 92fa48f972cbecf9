import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.gaussian import grids, schedules
from jaxdiff.gaussian.process import perturb, prior
from jaxdiff.gaussian.simplex import octave, simplex
from jaxdiff.pipelines import experiment
from jaxdiff.samplers import sample, unipc
from tests.helpers.configs import SPEC, changed

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(0)


def drawn(shape, octaves=6):
    return np.asarray(jax.jit(lambda key: simplex(octaves)(key, jnp.zeros(shape)))(KEY))


def one_point(shift, turns, place):
    """By the definition: of all corners of triangles near a point those within sqrt(1/2) count."""
    place, unskew = place + shift, (3 - 3**0.5) / 6
    total, middle = 0.0, np.floor(place + (3**0.5 - 1) / 2 * place.sum())
    for i in range(-2, 4):
        for j in range(-2, 4):
            corner = middle + np.array([i, j])
            offset = place - (corner - unskew * corner.sum())
            angle = turns(*corner.astype(int))
            total += max(0.5 - offset @ offset, 0) ** 4 * (np.cos(angle) * offset[0] + np.sin(angle) * offset[1])
    return total


@pytest.mark.system
def test_an_octave_is_simplex_noise(rng):
    places = rng.uniform(0, 5, size=(40, 2))
    key_shift, key_turn = jax.random.split(KEY)
    shift = np.asarray(jax.random.uniform(key_shift, (2,), maxval=256.0), np.float64)

    @functools.cache
    def turns(i, j):
        return float(jax.random.uniform(jax.random.fold_in(jax.random.fold_in(key_turn, i), j), maxval=2 * np.pi))

    expected = [one_point(shift, turns, place) for place in places]
    np.testing.assert_allclose(jax.jit(octave)(KEY, jnp.asarray(places, jnp.float32)), expected, atol=1e-5)
    assert np.std(expected) > 1e-3


@pytest.mark.system
def test_every_pixel_has_mean_0_and_variance_1_over_draws_and_planes_have_a_brightness():
    """As normal noise has, which the prior and the posteriors of a process take it for; also with other octaves."""
    for octaves in (1, 6):
        eps = np.asarray(jax.jit(lambda k, n=octaves: simplex(n)(k, jnp.zeros((4000, 4, 4, 1))))(KEY))
        np.testing.assert_allclose(eps.mean(0), 0, atol=0.06)
        np.testing.assert_allclose(eps.var(0), 1, atol=0.1)
    assert eps.mean((1, 2, 3)).std() > 0.5


@pytest.mark.system
def test_planes_are_not_alike():
    eps = drawn((6, 32, 24, 2))
    planes = np.moveaxis(eps, -1, 1).reshape(12, -1)
    assert np.abs(np.corrcoef(planes) - np.eye(12)).max() < 0.98
    np.testing.assert_array_equal(eps, drawn((6, 32, 24, 2)))


@pytest.mark.statistical
def test_drawing_finds_the_brightness_of_the_data():
    """Flat images, each of one brightness, with the best linear denoiser, which knows the covariance of a plane."""
    chain = schedules.vp()._replace(noise=simplex())
    shape, mean, std = (2000, 2, 2, 1), -0.6, 0.2
    eps = np.asarray(jax.jit(lambda k: simplex()(k, jnp.zeros((8000, 2, 2, 1))))(KEY)).reshape(-1, 4)
    precision = jnp.asarray(np.linalg.inv(np.cov(eps.T)), jnp.float32)
    tells = precision.sum(0)  # of the brightness, in units of 1 / sigma²

    def denoiser(x, t):
        alpha, sigma = chain.alpha(t), chain.sigma(t)
        known = alpha**2 * tells.sum() / sigma**2
        level = (mean / std**2 + alpha * (x.reshape(-1, 4) @ tells) / sigma**2) / (1 / std**2 + known)
        return jnp.broadcast_to(level[:, None, None, None], x.shape)

    x_1 = prior(chain, KEY, jnp.zeros(shape))
    x = sample(unipc(chain, denoiser), KEY, x_1, grids.uniform(30))
    brightness = np.asarray(x).mean((1, 2, 3))
    np.testing.assert_allclose(brightness.mean(), mean, atol=0.02)
    np.testing.assert_allclose(brightness.std(), std, atol=0.05)  # the denoiser is that of normal planes


@pytest.mark.system
def test_it_is_smoother_than_normal_noise_the_more_so_the_fewer_octaves():
    steps = [np.diff(drawn((4, 64, 64, 1), octaves), axis=1).std() for octaves in (2, 6)]
    assert steps[0] < 0.5 * steps[1] < 0.5 * 2**0.5


@pytest.mark.slow
def test_a_process_takes_it_by_name():
    config = changed("process.noise", {"name": "simplex", "octaves": 4})
    chain = experiment.build(config, SPEC).model.path
    _, eps = perturb(chain, KEY, jnp.zeros((2, 8, 8, 1)), jnp.array(0.5))
    np.testing.assert_allclose(eps, drawn((2, 8, 8, 1), 4), atol=1e-5)
