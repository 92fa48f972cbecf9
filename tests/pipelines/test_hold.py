"""Hold: what is drawn around given moments, by a model whose denoiser is exact, of sounds and of videos."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import pipelines
from jaxdiff.config.sampling import Bound
from jaxdiff.errors import InputError
from jaxdiff.modalities.audio.spec import audio_spec
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.modalities.video.spec import video_spec
from jaxdiff.pipelines.hold import PIPELINES
from tests.helpers.models import PATH, a_model

hold_file = importlib.import_module("jaxdiff.pipelines.hold")
LENGTH, SCALE = 8, 0.5
COVARIANCE = 0.8 ** np.abs(np.subtract.outer(np.arange(LENGTH), np.arange(LENGTH)))
"""Of a stationary AR(1) process."""
KEY = jax.random.key(0)


VALUES, VECTORS = np.linalg.eigh(COVARIANCE)


def bind(params, condition):
    """x̂_0 = S a (a² S + sigma² I)⁻¹ x_t, along the eigenvectors of S."""
    values, vectors = jnp.float32(VALUES), jnp.float32(VECTORS)

    def denoiser(x_t, t):
        t = jnp.broadcast_to(t, x_t.shape[:1])[:, None, None]
        a, sigma = PATH.alpha(t), PATH.sigma(t)
        shrunk = a * values[:, None] / (a**2 * values[:, None] + sigma**2)
        return jnp.einsum("ij,bjc->bic", vectors, shrunk * jnp.einsum("ij,bic->bjc", vectors, x_t))

    return Bound(PATH, denoiser)


@pytest.fixture(scope="module")
def model():
    return dataclasses.replace(a_model(steps=12), spec=audio_spec((LENGTH, 1), 8000, SCALE), bind=bind)


def conditional(held, values):
    """The mean and the variances of what is not held."""
    cross = COVARIANCE[np.ix_(~held, held)] @ np.linalg.inv(COVARIANCE[np.ix_(held, held)])
    return cross @ values, np.diag(COVARIANCE[np.ix_(~held, ~held)] - cross @ COVARIANCE[np.ix_(held, ~held)])


def test_noise_is_in_units_of_the_sound(model, monkeypatch):
    """As the examples are, and not in those of the network, which sees waves divided by their deviation."""
    told = []
    monkeypatch.setattr(
        hold_file, "draw_around", lambda model, key, seen, *rest, **options: told.append(options) or seen
    )
    x = np.zeros((1, LENGTH, 1))
    for options in ({"noise": 0.1}, {}):
        pipelines.hold(model, KEY, x, np.arange(LENGTH) < 3, "ddnm", **options)
    assert [options.get("noise") for options in told] == [pytest.approx(0.1 / SCALE), None]


@pytest.mark.system
@pytest.mark.parametrize(
    ("task", "options", "held"),
    [
        ("extend", {"given": 3 / 8000}, np.arange(8) < 3),
        ("bridge", {"gap": (2 / 8000, 6 / 8000)}, (np.arange(8) < 2) | (np.arange(8) >= 6)),
    ],
)
def test_the_rest_of_a_sound_has_the_law_that_its_given_part_implies(model, task, options, held):
    n, values = 2000, np.array([1.0, -0.5, 0.3, 0.2, 0.1, -1.0, 0.4, 0.8])
    examples = np.float32(SCALE * np.tile(values[:, None], (n, 1, 1)))
    options = {**options, "method": "moment_matching", "steps": 20}
    drawn = getattr(pipelines, task)(model, KEY, examples, **options)
    np.testing.assert_array_equal(drawn[:, held], examples[:, held])
    mean, variance = conditional(held, values[held])
    np.testing.assert_allclose(drawn[:, ~held, 0].mean(0) / SCALE, mean, atol=0.1)
    np.testing.assert_allclose(drawn[:, ~held, 0].var(0) / SCALE**2, variance, rtol=0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"given": 0.0}, "given=0: in seconds of 0.001, must be above 0"),
        ({"given": 1.0}, "given=1: in seconds"),
        ({"gap": (0.0, 0.001)}, "gap=0 0.001"),
        ({"gap": (0.0005, 0.0002)}, "must rise"),
        ({"held": np.ones(8, bool)}, "everything is"),
        ({"held": np.ones(7, bool)}, "held: bool of shape"),
        ({"held": np.arange(8)}, "must be bool"),
    ],
)
def test_moments_that_do_not_fit_are_refused(model, options, message):
    task = {"given": "extend", "gap": "bridge", "held": "hold"}[next(iter(options))]
    with pytest.raises(InputError, match=message):
        getattr(pipelines, task)(model, KEY, np.zeros((1, LENGTH, 1), np.float32), **options)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (np.zeros((1, 7, 1), np.float32), "this model takes"),
        (np.zeros((1, 8, 1), np.int16), "finite real numbers"),
        (np.full((1, 8, 1), np.nan), "finite real numbers"),
    ],
)
def test_examples_that_do_not_fit_are_refused(model, examples, message):
    with pytest.raises(InputError, match=message):
        pipelines.extend(model, KEY, examples, given=0.0005)


def test_frames_are_counted_in_whole_numbers(model):
    video = dataclasses.replace(model, spec=video_spec((LENGTH, 1, 1, 1)))
    with pytest.raises(InputError, match=r"2.5 frames: must be a whole number"):
        pipelines.extend(video, KEY, np.zeros((1, LENGTH, 1, 1, 1), np.float32), given=2.5)


def test_images_have_no_time():
    with pytest.raises(InputError, match="hold: is for audio and video, and this data is of the modality 'images'"):
        pipelines.hold(a_model(), KEY, np.zeros((1, 2, 2, 1), np.float32), np.ones(2, bool))
    assert image_spec((2, 2, 1)).modality not in PIPELINES["extend"].modality
    with pytest.raises(InputError, match="takes two numbers"):
        PIPELINES["bridge"].arguments[0].read([1.0], a_model())
