"""The autoencoder's latents and its tiles; its parity with diffusers is in tests/interop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nets.autoencoder import Autoencoder, in_tiles
from jaxdiff.nets.layers import enlarge
from tests.helpers import latent_folder as tiny
from tests.helpers.cases import refused

pytestmark = pytest.mark.slow

NET = Autoencoder(widths=(8, 16), blocks=1, groups=4, scale=0.5, shift=0.25)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def params():
    return tiny.random(tiny.shapes(NET, jnp.zeros((1, 16, 16, 3))))


@pytest.mark.parametrize(
    ("size", "tile", "overlap"), [((8, 8), 64, 16), ((20, 9), 8, 2), ((16, 16), 8, 4), ((9, 30), 8, 0)]
)
def test_tiles_of_what_sees_one_latent_are_the_whole(size, tile, overlap):
    z = jax.random.normal(KEY, (2, *size, 3))
    np.testing.assert_allclose(in_tiles(enlarge, z, tile, overlap), enlarge(z), rtol=1e-5, atol=1e-6)


def test_tiles_fade_into_each_other():
    """Each tile a number of its own: from one to the next in even steps over the overlap."""
    count = iter(range(9))
    z = jnp.zeros((1, 8, 12, 1))
    faded = in_tiles(lambda z: jnp.full((*z.shape[:3], 1), float(next(count))), z, 8, 4)
    np.testing.assert_allclose(faded[0, 3, :, 0], [0, 0, 0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1, 1, 1], atol=1e-6)
    with refused("overlap=5"):
        in_tiles(enlarge, z, 8, 5)


def test_latents_are_drawn_from_their_distribution(params):
    """The mean and the spread of many draws; scale and shift undone by the decoder."""
    x = jnp.tile(jnp.tanh(jax.random.normal(KEY, (1, 4, 4, 3))), (4000, 1, 1, 1))
    mean, log_variance = NET.apply({"params": params}, x[:1], method="moments")
    drawn = jax.jit(lambda x: NET.apply({"params": params}, x, KEY, method="encode"))(x)
    std = 0.5 * jnp.exp(0.5 * log_variance[0])
    np.testing.assert_allclose(drawn.mean(0), 0.5 * (mean[0] - 0.25), atol=float(5 * std.max() / 4000**0.5))
    np.testing.assert_allclose(drawn.std(0), std, rtol=0.1)
    z = NET.apply({"params": params}, x[:1], method="encode")
    plain = NET.clone(scale=1.0, shift=0.0)
    there = plain.apply({"params": params}, mean, method="decode")
    np.testing.assert_allclose(NET.apply({"params": params}, z, method="decode"), there, rtol=1e-4, atol=1e-4)


def test_sides_that_cannot_be_halved(params):
    with refused("16x15"):
        NET.apply({"params": params}, jnp.zeros((1, 16, 15, 3)), method="encode")
