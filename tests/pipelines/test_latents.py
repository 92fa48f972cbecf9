"""Models of latents whose denoiser and whose codec are exact: latents are halved pictures."""

import dataclasses

import jax
import numpy as np
import pytest

import jaxdiff
from jaxdiff.gaussian import grids
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines import latents
from jaxdiff.pipelines.ends import Ends
from jaxdiff.pipelines.latents import edit, fill
from jaxdiff.types import Codec
from tests.helpers import latent_folder as tiny
from tests.helpers.cases import refused
from tests.helpers.models import SHAPE, a_model

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("quick_compilation")]
KEY = jax.random.key(0)
HALVED = Ends(codec=Codec(lambda x: x / 2, lambda z: 2 * z), pictures=image_spec(SHAPE))


def halved(steps=3, t_min=0.1):
    """A grid that ends above the data, so that what is drawn is the last x̂_0."""
    grid = lambda n: grids.uniform(n, 1.0, t_min)
    return dataclasses.replace(a_model(steps=steps), grid=grid, sampler={"name": "ddim"}, ends=HALVED)


def test_what_is_known_comes_back_clean_where_the_grid_ends_above_the_data(rng):
    x, mask = rng.uniform(-1, 1, (2, *SHAPE)).astype(np.float32), np.ones((1, *SHAPE))
    mask[:, 0] = 0
    drawn = np.asarray(fill(halved(), KEY, x, mask, {}))
    np.testing.assert_allclose(drawn[:, 1], x[:, 1], atol=1e-6)
    assert np.abs(drawn[:, 0] - x[:, 0]).max() > 0.1


def test_pictures_are_coded_also_where_latents_have_their_shape():
    """The least noise leaves them: a latent of 0.5, and not of 1, is what is denoised."""
    x = np.ones((1, *SHAPE), np.float32)
    one = halved(50, 1e-3)
    drawn = edit(one, KEY, x, {}, strength=0.02)
    again = one.codec.decode(edit_of_latents(one, x / 2))
    np.testing.assert_allclose(drawn, again, atol=1e-5)


def edit_of_latents(model, z):
    """What the model makes of latents whose pictures have another shape."""
    ends = HALVED._replace(codec=Codec(), pictures=image_spec((4, 4, 1)))
    return edit(dataclasses.replace(model, ends=ends), KEY, z, {}, strength=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["image", "control0", "adapter"])
def test_what_a_network_is_always_told_is_asked_for_by_name(tmp_path, kind):
    """A picture to be instructed about, and one to follow, of either kind; no adapter is left out silently."""
    beside = (("image", 4),) if kind == "image" else ()
    write = tiny.write_tiny_adapter if kind == "adapter" else tiny.write_tiny_control
    nets = [] if kind == "image" else [write(tmp_path / "net")]
    model = jaxdiff.load(tiny.write(tmp_path / "sd", beside=beside), control=nets)
    told, name = {"context": tiny.words(1)}, "image" if kind == "image" else "control0"
    told |= {} if kind == "image" else {"strength0": np.ones(1, np.float32)}
    with refused(f"always told '{name}'"):
        latents.generate(model, jax.random.key(0), 1, told, steps=2)
    with refused("always told"):
        latents.generate(model, jax.random.key(0), 1, {}, steps=2)


@pytest.mark.slow
def test_guidance_and_noise_that_lead_nowhere_are_refused(tmp_path):
    """A model of latents is always told words, so that guidance has to be told others to lead away from."""
    model = jaxdiff.load(tiny.write(tmp_path / "sd"))
    told, key = {"context": tiny.words(1)}, jax.random.key(0)
    with refused("guidance: leads away from a negative condition, .*: give negative"):
        latents.generate(model, key, 1, told, steps=2, guidance=2.0)
    for given in (None, np.zeros((1, *model.shape))):
        with refused("noise_scale=a: must be a number"):
            latents.edit(model, key, np.zeros((1, *model.shape)), told, noise=given, steps=2, noise_scale="a")
