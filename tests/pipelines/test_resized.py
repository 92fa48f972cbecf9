"""Models that draw examples of another length or size than those of their training."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.config.build.network import make_bind
from jaxdiff.config.sampling import Bound
from jaxdiff.errors import InputError
from jaxdiff.gaussian.parameterization import v
from jaxdiff.gaussian.schedules import cosine
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.modalities.trajectories.spec import track_spec
from jaxdiff.modalities.video.spec import video_spec
from jaxdiff.nets import DiT
from jaxdiff.pipelines import resized
from jaxdiff.types import ConditionSpec, Spec
from tests.helpers.models import PATH, a_model
from tests.helpers.nets import randomized

KEY = jax.random.key(0)


def of(net, spec):
    """A model of a network with parameters that show."""
    known = net.condition_spec(spec)
    params = randomized(net, jnp.zeros((1, *spec.shape)), jnp.zeros(1))["params"]
    bind = make_bind(cosine(), v(), net, False)
    return dataclasses.replace(a_model(steps=2), params=params, spec=spec, bind=bind, path=cosine(), conditions=known)


def local(spec):
    """A model that looks at each number alone, and draws its example from N(0, 1)."""
    bind = lambda params, condition: Bound(PATH, lambda x_t, t: PATH.alpha(t) * x_t)
    return dataclasses.replace(a_model(steps=3), spec=spec, bind=bind)


@pytest.mark.system
def test_a_transformer_draws_videos_of_any_length_and_size():
    net = DiT(depth=1, width=16, heads=2, patch=2, patch_frames=2, rotary=True)
    model = resized(of(net, video_spec((2, 4, 4, 1))), length=6, size=(2, 8))
    assert model.sample(KEY, 2).shape == (2, 6, 2, 8, 1)
    with pytest.raises(InputError, match="patch_frames=2: does not divide 3 frame"):
        resized(model, length=3)
    with pytest.raises(InputError, match="an image of 3x4 cannot be cut"):
        resized(model, size=(3, 4))


def test_nothing_but_the_shape_changes_and_images_beside_follow():
    spec, beside = video_spec((2, 4, 4, 1), pace=5.0), ConditionSpec((2, 4, 4, 3))
    given = {"map": beside, "vector": ConditionSpec((7,)), "sequence": ConditionSpec((None, 3))}
    model = dataclasses.replace(local(spec), conditions=given)
    longer = resized(model, length=5)
    assert longer.spec == spec._replace(shape=(5, 4, 4, 1))
    assert longer.conditions == {**given, "map": beside._replace(shape=(5, 4, 4, 3))}
    assert resized(model) is model
    assert resized(local(image_spec((2, 2, 1))), size=(3, 5)).shape == (3, 5, 1)
    assert resized(local(track_spec((4, 2), np.zeros(2), np.ones(2))), length=9).shape == (9, 2)


@pytest.mark.parametrize(
    ("model", "asked", "message"),
    [
        (local(image_spec((2, 2, 1))), {"length": 3}, "frames=3: examples of images"),
        (local(track_spec((4, 2), np.zeros(2), np.ones(2))), {"size": (3, 3)}, "examples of trajectories"),
        (local(Spec((3,), "tables")), {"length": 3}, "examples of tables"),
        (local(image_spec((2, 2, 1))), {"size": (0, 3)}, "height=0, width=3: must be at least 1"),
    ],
)
def test_what_has_no_such_axis_is_refused(model, asked, message):
    with pytest.raises(InputError, match=message):
        resized(model, **asked)


class Flat(nn.Module):
    """A network with a weight for each two numbers of an example."""

    @nn.compact
    def __call__(self, x, t, condition=None, train=False):
        return nn.Dense(x[0].size)(x.reshape(len(x), -1)).reshape(x.shape)

    def condition_spec(self, spec):
        return {}


def test_a_network_that_is_made_for_one_length_is_refused():
    model = of(Flat(), track_spec((4, 2), np.zeros(2), np.ones(2)))
    with pytest.raises(InputError, match="steps=5: this model's network is made for one length and size alone"):
        resized(model, length=5)
