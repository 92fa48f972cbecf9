import jax
import numpy as np
import pytest

from jaxdiff.data.source import Source, labeled
from jaxdiff.evaluation import held_out
from jaxdiff.evaluation.during import make_distance
from jaxdiff.evaluation.features import Features, find_features
from jaxdiff.evaluation.frechet import frechet_distance
from jaxdiff.modalities.images.measured import ROUNDINGS
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch
from tests.helpers.models import MEANS, SHAPE, STD, a_model, images

pytestmark = pytest.mark.slow


@pytest.fixture
def source(rng):
    which = MEANS[rng.integers(0, 2, 200)]
    x = np.float32(which + STD * rng.normal(size=which.shape))
    return Source(200, image_spec(SHAPE), lambda indices: Batch(x[indices]))


def test_the_distance_is_that_of_what_is_drawn(source):
    model = a_model(steps=3)
    features = find_features("pixels", model.spec)
    found = make_distance(model, source, features, 300)(model.params)
    x = ROUNDINGS["nearest"](model.sample(jax.random.key(0), 300))
    real = ROUNDINGS["nearest"](source.take(np.arange(200)).x_0)
    expected = frechet_distance(x.reshape(300, -1), real.reshape(200, -1))
    assert found.keys() == {"fd_pixels"}
    np.testing.assert_allclose(found["fd_pixels"], expected, rtol=1e-3)


def test_the_distance_is_that_of_classes_with_the_shares_of_the_data(rng):
    """Which a model that has learned each class has none from, but for the number of examples."""
    x, labels = np.concatenate([images(270), images(30, 1)]), np.repeat(np.int32([0, 1]), [270, 30])
    source = labeled(Source(300, image_spec(SHAPE), lambda indices: Batch(x[indices])), labels, 2)
    model = a_model(classes=2, steps=20)
    found = make_distance(model, source, find_features("pixels", model.spec), 300)(model.params)
    assert found["fd_pixels"] < 0.05


def test_what_is_not_finite_has_no_distance(source):
    model = a_model(steps=2)
    features = Features("own", {}, lambda x: {"features": x.reshape(len(x), -1) / np.float32(len(x) == 200)})
    with np.errstate(divide="ignore", invalid="ignore"):
        assert np.isnan(make_distance(model, source, features, 4)(model.params)["fd_own"])


def test_the_held_out_error_by_noise_level_has_the_mean_of_all(source):
    model = a_model()
    found = held_out.make_monitor(model, source, 40)(model.params)
    bands = [value for name, value in found.items() if "/" in name]
    assert len(bands) == held_out.BANDS
    np.testing.assert_allclose(np.mean(bands), found["held_out_mse"], rtol=1e-5)
    assert bands[0] > bands[-1]  # eps is hardest to tell where there is little of it
