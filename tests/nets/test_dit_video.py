"""The diffusion transformer on patches of space and time: of one frame it is that of images."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.errors import InputError
from jaxdiff.modalities.video.spec import video_spec
from jaxdiff.nets import DiT
from jaxdiff.nets.resize import from_cubes, to_cubes
from jaxdiff.nets.transformer import frame_positions, rotary_angles, rotate, spread
from jaxdiff.types import missing
from tests.helpers.nets import randomized

pytestmark = pytest.mark.usefixtures("quick_compilation")

TEXT = {"vocabulary": 11, "length": 5, "width": 8, "depth": 1, "heads": 2, "start": 1, "end": 2, "pad": 0}
SMALL = {"depth": 1, "width": 16, "heads": 2, "num_classes": 3}
MODERN = {**SMALL, "norm": "rms", "feed_forward": "swiglu", "rotary": True, "qk_norm": True}
KEY = jax.random.key(0)
X, T = jax.random.normal(KEY, (2, 4, 4, 8, 1)), jnp.array([300.0, 700.0])
LABEL = {"label": jnp.array([1, -1])}


def test_patches_in_space_and_time_are_those_cut_by_hand(rng):
    x = rng.normal(size=(2, 4, 6, 4, 3))
    tokens = np.asarray(to_cubes(jnp.asarray(x), 2, 2))
    cut = [
        x[:, 2 * f : 2 * f + 2, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(2, -1)
        for f in range(2)
        for i in range(3)
        for j in range(2)
    ]
    np.testing.assert_allclose(tokens, np.stack(cut, 1), rtol=1e-6)
    np.testing.assert_allclose(from_cubes(jnp.asarray(tokens), (2, 3, 2), 2, 2), x, rtol=1e-6)


def test_positions_in_time_begin_as_those_of_images(rng):
    places = [np.arange(6) % 2, np.arange(6) // 2]
    np.testing.assert_array_equal(frame_positions(np.zeros(6), 16), 0)
    np.testing.assert_array_equal(rotary_angles(places, 16, frames=np.zeros(6)), rotary_angles(places, 16))
    assert len(np.unique(frame_positions(np.arange(200), 16).round(4), axis=0)) == 200


def test_attention_sees_differences_of_three_positions_alone_and_all_of_them(rng):
    query, key = (jnp.asarray(rng.normal(size=(1, 6, 2, 16)), jnp.float32) for _ in range(2))
    places = rng.integers(0, 5, (3, 6)).astype(float)

    def logits(moves, of=slice(None)):
        """Products of queries with keys, of which those of some tokens moved."""
        moved = places.copy()
        moved[:, of] += np.array(moves)[:, None]
        angles = jnp.asarray(rotary_angles(list(moved[1:]), 16, frames=moved[0]))
        return jnp.einsum("bqhc,bkhc->bhqk", rotate(query, angles), rotate(key, angles))

    np.testing.assert_allclose(logits((3, 5, -7)), logits((0, 0, 0)), atol=1e-4)
    # No motion of one token against the others goes unseen, also where the axes' differences cancel.
    for moves in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, -1, -1), (-1, 1, 1)):
        assert jnp.abs(logits(moves, [0]) - logits((0, 0, 0))).max() > 1e-2, moves


def test_what_is_said_to_each_frame_reaches_its_tokens():
    m = jnp.arange(6.0).reshape(1, 3, 2)
    np.testing.assert_array_equal(spread(m, 6)[0, :, 0], [0, 0, 2, 2, 4, 4])
    np.testing.assert_array_equal(spread(m[:, 0], 6), m[:, :1])


@pytest.mark.system
@pytest.mark.parametrize(
    "net",
    [
        DiT(**SMALL),
        DiT(**MODERN, joins="context", class_tokens=2, sequences={"sequence": 6}, images={"image": 2}, text=TEXT),
    ],
    ids=["dit", "modern"],
)
def test_a_video_of_one_frame_is_an_image(net, rng):
    given = {
        **LABEL,
        "image": jnp.asarray(rng.normal(size=(2, 4, 8, 2)), jnp.float32),
        "sequence": jnp.asarray(rng.normal(size=(2, 3, 6)), jnp.float32),
        "text": jnp.array([[1, 5, 6, 2, 0], [1, 4, 2, 0, 0]]),
    }
    given = {name: value for name, value in given.items() if name in net.condition_spec(video_spec((1, 4, 8, 1)))}
    params, run = randomized(net, X[:, 0], T, given), jax.jit(net.apply)
    image = run(params, X[:, 0], T, given)
    assert jnp.abs(image).max() > 0.1
    told = {**given, "image": given["image"][:, None]} if "image" in given else given
    for times in (T, T[:, None]):
        video = run(params, X[:, :1], times, told)
        assert video.shape == (2, 1, 4, 8, 1)
        np.testing.assert_allclose(video[:, 0], image, atol=1e-6 * float(jnp.abs(image).max()))


@pytest.mark.system
def test_each_frame_may_have_a_time_and_the_order_of_frames_counts():
    net = DiT(**MODERN, patch_frames=2, class_tokens=1)
    params, run = randomized(net, X, T, LABEL), jax.jit(net.apply)
    plain = run(params, X, T, LABEL)
    both = jnp.repeat(T[:, None], 4, 1)
    np.testing.assert_allclose(run(params, X, both, LABEL), plain, atol=1e-5)
    other = jnp.abs(run(params, X, both.at[0, 3].add(100), LABEL) - plain).max((2, 3, 4))
    assert (other[0] > 1e-4).all()  # by attention also the frames whose own times are the same
    assert (other[1] < 1e-5).all()
    assert other[0, 2:].min() > 3 * other[0, :2].max()
    assert jnp.abs(run(params, X[:, ::-1], T, LABEL)[:, ::-1] - plain).max() > 1e-2
    assert run._cache_size() == 2  # one for each shape of the times


@pytest.mark.system
def test_any_length_and_size_that_the_patches_divide():
    net = DiT(**MODERN, patch_frames=2)
    params = jax.eval_shape(net.init, KEY, X, T, LABEL)
    for shape in ((2, 4, 4, 1), (6, 2, 10, 1), (32, 8, 2, 1)):
        x = jnp.zeros((2, *shape))
        assert jax.tree.map(jnp.shape, jax.eval_shape(net.init, KEY, x, T, LABEL)) == jax.tree.map(jnp.shape, params)
        assert jax.eval_shape(net.apply, params, x, T, LABEL).shape == x.shape


@pytest.mark.system
def test_padding_changes_nothing_and_missing_is_as_left_out():
    net = DiT(**MODERN, sequences={"sequence": 6}, text=TEXT)
    given = {"sequence": jnp.ones((2, 3, 6)), "text": jnp.array([[1, 5, 6, 2, 0], [1, 4, 2, 0, 0]])}
    times = T[:, None] + jnp.arange(4.0)
    params, run = randomized(net, X, times, given), jax.jit(net.apply)
    told = run(params, X, times, given)
    longer = {"sequence": jnp.pad(given["sequence"], ((0, 0), (0, 4), (0, 0))), "text": given["text"].at[1, 3:].set(9)}
    size = float(jnp.abs(told).max())
    np.testing.assert_allclose(run(params, X, times, longer), told, atol=1e-6 * size)
    none = missing(net.condition_spec(video_spec(X.shape[1:])), 2)
    np.testing.assert_allclose(run(params, X, times, none), run(params, X, times), atol=2e-6 * size)


@pytest.mark.system
def test_its_forward_derivative_is_a_quotient_of_differences(float64):
    net = DiT(**MODERN, patch_frames=2, dtype=jnp.float64)
    x, times = jnp.asarray(X, jnp.float64), jnp.asarray(T, jnp.float64)[:, None] / 1000 + jnp.arange(4.0)
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), randomized(net, X, T))
    run = jax.jit(lambda x, t: net.apply(params, x, t))
    tangents = jnp.ones_like(x), jnp.arange(8.0).reshape(2, 4)
    _, slope = jax.jvp(run, (x, times), tangents)
    step = 1e-3
    ahead, behind = (run(x + h * tangents[0], times + h * tangents[1]) for h in (step, -step))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), atol=1e-3 * float(jnp.abs(slope).max()))


@pytest.mark.slow
def test_it_learns_where_a_bright_column_goes():
    """From pure noise to the one video that there is: a column that moves by a pixel in each frame."""
    videos = jnp.asarray(2.0 * np.eye(4) - 1)[None, :, None, :, None].repeat(4, 2)
    net, optimizer, times = DiT(**SMALL, patch=4, rotary=True), optax.adam(1e-2), jnp.full(1, 999.0)
    params = net.init(KEY, videos, times)

    def loss(params, key):
        return jnp.mean((net.apply(params, jax.random.normal(key, videos.shape), times) - videos) ** 2)

    @jax.jit
    def trained(params):
        def step(carry, key):
            value, grads = jax.value_and_grad(loss)(carry[0], key)
            updates, state = optimizer.update(grads, carry[1])
            return (optax.apply_updates(carry[0], updates), state), value

        return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(KEY, 200))

    values = trained(params)[1]
    assert values[0] > 0.9
    assert values[-10:].mean() < 0.2  # of what is the same in all frames 0.75 remain


@pytest.mark.parametrize(
    ("changes", "shape", "times", "message"),
    [
        ({}, (2, 8, 8), (2,), "net 'dit' takes"),
        ({"patch_frames": 3}, (2, 4, 8, 8, 1), (2,), "net.patch_frames=3: does not divide 4 frame"),
        ({"patch_frames": 2}, (2, 8, 8, 1), (2,), "net.patch_frames=2: does not divide 1 frame"),
        ({}, (2, 4, 8, 9, 1), (2,), "an image of 8x9 cannot be cut"),
        ({}, (2, 4, 8, 8, 1), (2, 3), "a time for each frame"),
        ({}, (2, 8, 8, 1), (2, 8), r"t of shape \(2, 8\): must be \(batch,\)"),
    ],
)
def test_what_does_not_fit_is_refused(changes, shape, times, message):
    with pytest.raises(InputError, match=message):
        jax.eval_shape(DiT(**{**SMALL, **changes}).init, KEY, jnp.zeros(shape), jnp.zeros(times))
