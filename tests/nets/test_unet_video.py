"""The U-Net over space and time: it begins as that of images, exactly, and then sees other frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.nets import UNet, UNetVideo
from jaxdiff.nets.unet_video import TimeLayers

SMALL = {
    "channels": 8,
    "multipliers": (1,),
    "blocks": 1,
    "attention": (4,),
    "groups": 4,
    "patch": 2,
    "num_classes": 3,
}
KEY = jax.random.key(0)


def filled(params):
    """Parameters of these shapes, none of them zero."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda a: jnp.float32(rng.normal(size=a.shape) / np.sqrt(np.prod(a.shape[:-1]))), params)


@pytest.fixture(scope="module")
def parts():
    x = jax.random.normal(KEY, (2, 3, 8, 8, 1))
    t, given = jnp.array([300.0, 700.0]), {"label": jnp.array([0, -1])}
    net = UNetVideo(**SMALL, heads=2)
    return net, x, t, given, filled(jax.eval_shape(net.init, KEY, x, t, given)["params"])


def test_layers_over_time_begin_as_the_identity_bit_for_bit():
    layers, x = TimeLayers(3, 4, 2), jax.random.normal(KEY, (6, 4, 4, 8))
    params = jax.jit(lambda x: layers.init(KEY, x, None))(x)
    np.testing.assert_array_equal(jax.jit(layers.apply)(params, x, None), x)


def test_layers_over_time_see_other_frames_unless_they_are_images():
    layers, x = TimeLayers(3, 4, 2), jax.random.normal(KEY, (6, 2, 2, 8))
    params = filled(jax.eval_shape(layers.init, KEY, x, None))
    run = jax.jit(layers.apply)
    other = x.at[5].add(1)  # the last frame of the second video
    moved = np.abs(run(params, other, jnp.ones(2)) - run(params, x, jnp.ones(2))).max((1, 2, 3))
    assert (moved[3:5] > 1e-3).all()
    assert (moved[:3] == 0).all()
    np.testing.assert_array_equal(run(params, x, jnp.zeros(2)), x)
    back = lambda a: a.reshape(2, 3, 2, 2, 8)[:, ::-1].reshape(a.shape)
    assert np.abs(back(run(params, back(x), jnp.ones(2))) - run(params, x, jnp.ones(2))).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("levels", [(1,), (1, 2)])
def test_it_begins_as_the_u_net_of_images_frame_by_frame(levels):
    x, t, given = jax.random.normal(KEY, (2, 3, 8, 8, 1)), jnp.array([300.0, 700.0]), {"label": jnp.array([0, -1])}
    options = {**SMALL, "multipliers": levels, "attention": (4,)}
    net = UNetVideo(**options, heads=2)
    fresh = jax.jit(net.init)(KEY, x, t, given)["params"]
    images = UNet(**options, heads=2, dropout=0.0)
    frames = x.reshape(-1, *x.shape[2:])
    every = lambda a: jnp.repeat(a, 3)
    told = {"label": every(given["label"])}
    its = filled(jax.eval_shape(images.init, KEY, frames, every(t), told)["params"])
    assert its.keys() == {name for name in fresh if not name.endswith("_time")}
    out = jax.jit(net.apply)({"params": {**fresh, **its}}, x, t, given)
    wanted = jax.jit(images.apply)({"params": its}, frames, every(t), told)
    np.testing.assert_allclose(out.reshape(wanted.shape), wanted, atol=1e-6 * float(jnp.abs(wanted).max()))
    assert jnp.abs(wanted).max() > 0.1


@pytest.mark.slow
def test_trained_it_sees_other_frames_unless_they_are_images(parts):
    net, x, t, given, params = parts
    other = x.at[:, 2].add(1)
    run = jax.jit(lambda x, **o: net.apply({"params": params}, x, t, given, **o))
    assert np.abs(run(other) - run(x))[:, 0].max() > 1e-3
    alone = UNetVideo(**SMALL, heads=2, alone=1.0)
    train = jax.jit(lambda x: alone.apply({"params": params}, x, t, given, train=True, rngs={"dropout": KEY}))
    np.testing.assert_allclose(train(other)[:, :2], train(x)[:, :2], atol=1e-5)
    still = jax.jit(lambda x: alone.apply({"params": params}, x, t, given))
    assert np.abs(still(other) - still(x))[:, 0].max() > 1e-3  # drawing, they are videos again


@pytest.mark.slow
def test_each_frame_may_have_a_time_and_the_order_of_frames_counts(parts):
    net, x, t, given, params = parts
    run = jax.jit(lambda x, t: net.apply({"params": params}, x, t, given))
    both = jnp.repeat(t[:, None], 3, 1)
    np.testing.assert_allclose(run(x, both), run(x, t), atol=1e-5)
    assert np.abs(run(x, both.at[:, 1].add(100)) - run(x, t)).max() > 1e-3
    assert np.abs(run(x[:, ::-1], t)[:, ::-1] - run(x, t)).max() > 1e-3
    longer = jnp.concatenate([x, x], 1)
    assert jax.eval_shape(net.apply, {"params": params}, longer, t, given).shape == longer.shape


@pytest.mark.parametrize(
    ("shape", "times", "message"),
    [
        ((2, 16, 16, 1), (2,), "takes \\(batch, frames"),
        ((2, 3, 9, 8, 1), (2,), "takes sides that 2 divides"),
        ((2, 3, 8, 8, 1), (2, 4), "a time for each frame"),
        ((2, 3, 32, 32, 1), (2,), "attention at \\[4\\] never happens"),
    ],
)
def test_videos_that_do_not_fit_are_refused(shape, times, message):
    with pytest.raises(InputError, match=message):
        jax.eval_shape(UNetVideo(**SMALL, heads=2).init, KEY, jnp.zeros(shape), jnp.zeros(times))


def test_an_unknown_condition_is_refused():
    with pytest.raises(InputError, match="condition 'text' was given"):
        UNetVideo(channels=8).init(KEY, jnp.zeros((1, 2, 8, 8, 1)), jnp.zeros(1), {"text": jnp.zeros(1)})
