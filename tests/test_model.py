import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import grids
from jaxdiff.denoiser import make_denoiser
from jaxdiff.errors import InputError
from jaxdiff.model import Bound, Model, make_draw
from jaxdiff.parameterization import eps
from jaxdiff.process import vp

TRACES = []


def network(params, x, t, condition=None, key=None):
    TRACES.append(1)
    shift = 0 if condition is None else condition[:, None, None, None]
    return params * x + t[:, None, None, None] / 1000 + 0.1 * shift


def bind(params, condition):
    return Bound(vp(), make_denoiser(vp(), eps(), network, params, condition))


@pytest.fixture
def model():
    return Model(
        params=jnp.float32(0.3),
        draw=make_draw(bind),
        shape=(4, 4, 1),
        num_classes=0,
        grid=grids.uniform,
        steps=20,
        sampler={"name": "ancestral", "variance": "fixed_large"},
        options={"clip": 1.0},
        bind=bind,
        path=vp(),
    )


def test_values_are_traced_and_structure_is_not(model):
    TRACES.clear()
    key = jax.random.key(0)
    first = model.sample(key, 3)
    assert len(TRACES) == 1
    np.testing.assert_array_equal(first, model.sample(key, 3))
    others = [
        model.sample(jax.random.key(1), 3),
        model.sample(key, 3, clip=0.5),
        model.sample(key, 3, temperature=0.5),
        dataclasses.replace(model, grid=lambda n: grids.uniform(n) ** 1.5).sample(key, 3),
        dataclasses.replace(model, params=jnp.float32(0.4)).sample(key, 3),
    ]
    assert len(TRACES) == 1
    assert all(jnp.abs(first - other).max() > 1e-4 for other in others)
    model.sample(key, 3, sampler="ddim", eta=0.1)
    model.sample(key, 3, sampler="ddim", eta=0.9)
    assert len(TRACES) == 2
    model.sample(key, 3, variance="fixed_small")
    assert len(TRACES) == 3


def test_clipping_and_thresholding_bound_the_samples(model):
    key = jax.random.key(0)
    assert jnp.abs(model.sample(key, 8, clip=0.25)).max() <= 0.25
    assert jnp.abs(model.sample(key, 8, clip=jnp.inf)).max() > 1
    thresholded = model.sample(key, 8, threshold=0.9)
    assert jnp.abs(thresholded).max() <= 1
    assert jnp.abs(thresholded - model.sample(key, 8)).max() > 1e-3


def test_trajectory_goes_from_noise_to_the_sample(model):
    images, frames = model.trajectory(jax.random.key(0), 500, 5)
    assert frames.shape == (5, 500, 4, 4, 1)
    np.testing.assert_array_equal(frames[-1], images)
    np.testing.assert_allclose(frames[0].std(), 1, rtol=0.02)


def test_classes_in_turn_unless_told(model):
    classes = dataclasses.replace(model, num_classes=3)
    key = jax.random.key(0)
    np.testing.assert_array_equal(classes.sample(key, 4), classes.sample(key, 4, condition=[0, 1, 2, 0]))
    with pytest.raises(InputError, match="4 class labels from 0 to 2"):
        classes.sample(key, 4, condition=[0, 1, 2, 3])
    with pytest.raises(InputError, match="trained without classes"):
        model.sample(key, 1, condition=[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"sampler": "dimm"},
            r"unknown sampler 'dimm' \(did you mean 'ddim'\?\): allowed are ancestral, annealed_langevin, ddim",
        ),
        (
            {"eta": 0.5},
            "unknown option of sampler 'ancestral' 'eta'.*clip, corrector, temperature, threshold, variance",
        ),
        ({"sampler": "ddim", "eta": 1.5}, "eta=1.5: must be a number from 0 to 1"),
        ({"variance": "large"}, "unknown variance 'large'.*fixed_large, fixed_small"),
        ({"clip": -1.0}, "clip=-1.0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"steps": 0}, "1 or more"),
        ({"temperature": "hot"}, "temperature=hot: must be a number"),
        ({"n": 0}, "n=0"),
    ],
)
def test_bad_requests_are_refused(model, arguments, message):
    with pytest.raises(InputError, match=message):
        model.sample(jax.random.key(0), **{"n": 2, **arguments})
