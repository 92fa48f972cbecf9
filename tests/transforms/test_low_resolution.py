import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import pipelines
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.evaluation import held_out
from jaxdiff.modalities.images.downsample import downsampled
from jaxdiff.modalities.images.low_resolution import as_condition, low_resolution
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch, ConditionSpec
from tests.helpers.models import a_model, conditional

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.slow
def test_the_condition_is_the_small_image_enlarged_with_the_noise_that_it_tells(rng):
    small = jnp.asarray(rng.normal(size=(3, 4, 4, 1)))
    told = as_condition(jax.random.key(0), small, 2, jnp.zeros(3))
    np.testing.assert_allclose(told["low_res"], jax.image.resize(small, (3, 8, 8, 1), "cubic"))
    many = jnp.zeros((2000, 4, 4, 1))
    noise = jnp.tile(jnp.array([0.1, 0.5]), 1000)
    noisy = as_condition(jax.random.key(0), many, 1, noise)
    np.testing.assert_array_equal(noisy["low_res_noise"][:, 0], noise)
    np.testing.assert_allclose(np.std(noisy["low_res"][::2]), 0.1, rtol=0.02)
    np.testing.assert_allclose(np.std(noisy["low_res"][1::2]), 0.5, rtol=0.02)


@pytest.mark.system
def test_training_tells_each_image_in_small_with_noise_up_to_the_most(rng):
    x_0 = jnp.asarray(rng.normal(size=(1000, 4, 4, 1)), jnp.float32)
    batch = low_resolution(2, 0.3)(jax.random.key(0), Batch(x_0, {"label": jnp.arange(1000)}))
    np.testing.assert_array_equal(batch.x_0, x_0)
    np.testing.assert_array_equal(batch.condition["label"], np.arange(1000))
    noise = np.asarray(batch.condition["low_res_noise"])[:, 0]
    assert 0 <= noise.min() < 0.01 < 0.29 < noise.max() <= 0.3
    means = x_0.reshape(1000, 2, 2, 2, 2, 1).mean((2, 4))
    off = np.asarray(batch.condition["low_res"] - jax.image.resize(means, x_0.shape, "cubic"))
    quiet, loud = (np.std(off[(noise > low) & (noise < high)]) for low, high in ((0, 0.05), (0.25, 0.3)))
    assert 6 < loud / quiet < 16


@pytest.mark.system
def test_what_is_drawn_follows_the_small_image_and_the_noise_it_is_told(rng):
    small = np.broadcast_to(np.float32(0.4), (4000, 1, 1, 1))
    for noise, added, std in ((0.0, 0.0, 0.1), (2.0, 0.0, 0.5), (0.0, 1.0, np.hypot(0.3, 1.0))):
        drawn = pipelines.upscale(conditional(), jax.random.key(0), small, noise, added, sampler="heun", steps=60)
        np.testing.assert_allclose(np.mean(drawn, 0), 0.4, atol=6 * std / np.sqrt(4000))
        np.testing.assert_allclose(np.std(drawn), std, rtol=0.05)


@pytest.mark.system
def test_an_enlarged_image_is_the_same_in_any_batch():
    small, key = np.full((5, 1, 1, 1), 0.4, np.float32), jax.random.key(0)
    whole, part = (pipelines.upscale(conditional(), key, small[i:], added=1.0, steps=3, first=i) for i in (0, 2))
    np.testing.assert_allclose(part, whole[2:], atol=1e-5)
    assert len(np.unique(np.round(np.asarray(whole), 3), axis=0)) == 5


def test_held_out_examples_are_told_as_they_are_in_training(rng):
    x_0 = rng.uniform(-1, 1, size=(5, 2, 2, 1)).astype(np.float32)
    source = Source(5, image_spec((2, 2, 1)), lambda i: Batch(x_0[i]))
    batch = held_out.examples(conditional(), source, 3)  # the first, the third and the fifth
    means = x_0[::2].mean((1, 2), keepdims=True)
    np.testing.assert_allclose(batch.condition["low_res"], np.broadcast_to(means, (3, 2, 2, 1)), atol=1e-6)
    assert held_out.examples(a_model(), source, 3).condition is None
    vectors = source._replace(take=lambda i: Batch(x_0[i], {"label": i, "vector": x_0[i, :, 0, 0]}))
    told = held_out.examples(
        dataclasses.replace(a_model(), conditions={"vector": ConditionSpec((2,))}), vectors, 3
    ).condition
    assert told.keys() == {"vector"}
    np.testing.assert_array_equal(told["vector"], x_0[::2, :, 0, 0])


def test_a_source_of_smaller_images(rng):
    x_0 = rng.uniform(-1, 1, size=(5, 4, 6, 1)).astype(np.float32)
    source = Source(5, image_spec((4, 6, 1), 256), lambda i: Batch(x_0[i]))
    small = downsampled(source, 2)
    assert small.spec == image_spec((2, 3, 1))
    np.testing.assert_allclose(small.take(np.arange(5)).x_0[:, 1, 2], x_0[:, 2:, 4:].mean((1, 2)), atol=1e-6)
    assert downsampled(source, 1) is source
    with pytest.raises(InputError, match=r"train.downsample=3: must divide the sides of 4x6"):
        downsampled(source, 3)


def test_bad_input_is_one_line():
    small = np.zeros((2, 1, 1, 1), np.float32)
    with pytest.raises(InputError, match="not trained to upscale"):
        pipelines.upscale(a_model(), jax.random.key(0), small)
    with pytest.raises(InputError, match=r"images of shape \(2, 2, 2, 1\): this model takes \(n, 1, 1, 1\)"):
        pipelines.upscale(conditional(), jax.random.key(0), np.zeros((2, 2, 2, 1)))
    with pytest.raises(InputError, match="this model enlarges images of known classes: give those"):
        pipelines.upscale(conditional(2), jax.random.key(0), small)
    trained = dataclasses.replace(conditional(), low_res_noise=0.3)
    for noise in ({"noise": 0.31}, {"added": 0.31}, {"noise": 0.25, "added": 0.25}):
        with pytest.raises(InputError, match="trained to enlarge images with noise up to 0.3: take less"):
            pipelines.upscale(trained, jax.random.key(0), small, **noise)
    with pytest.raises(InputError, match=r"noise=-1, added=0.0: must be 0 or above"):
        pipelines.upscale(conditional(), jax.random.key(0), small, -1)
