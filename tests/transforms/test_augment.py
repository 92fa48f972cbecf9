import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import affine_transform

from jaxdiff.modalities.images.augment import augment, augmented, transform
from jaxdiff.types import Batch


def blob(n=3, size=32):
    """Smooth pictures, of several bumps."""
    y, x = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    bumps = [
        np.exp(-((y - 10 - k) ** 2 + (x - 18) ** 2 / 2) / 30) + np.exp(-((y - 22) ** 2 + (x - 9) ** 2) / 20)
        for k in range(n)
    ]
    return np.stack(bumps)[..., None].astype(np.float32)


def scipys(image, matrix, shift):
    """The content of an image moved about its center, by cubic splines."""
    inverse, center = np.linalg.inv(matrix), np.array(image.shape) / 2 - 0.5
    offset = center - inverse @ (center + np.array(shift) * image.shape)
    return affine_transform(image.astype(float), inverse, offset, order=3, mode="reflect")


def turned(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.system
@pytest.mark.parametrize(
    ("matrix", "shift"),
    [
        (np.eye(2), (0.1, -0.05)),
        (np.array([[0, -1], [1, 0]]), (0, 0)),
        (1.2 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]), (0.03, 0.1)),
        (np.array([[1.3, 0.1], [0.1, 0.8]]), (0, 0)),
    ],
)
def test_an_affine_map_is_scipys(matrix, shift):
    x = blob()
    moved = transform(jnp.asarray(x), jnp.tile(matrix, (3, 1, 1)), jnp.tile(jnp.array(shift), (3, 1)))
    for image, result in zip(x[..., 0], moved[..., 0], strict=True):
        np.testing.assert_allclose(result, scipys(image, matrix, shift), atol=0.02)


@pytest.mark.statistical
def test_what_is_said_is_what_was_done():
    """Undone by what it says, an image is itself again, but for the resampling."""
    x = jnp.asarray(np.tile(blob(1), (400, 1, 1, 1)))
    changed, said = augment(jax.random.key(0), x, rate=0.2)
    assert said.shape == (400, 9)
    untouched = ~np.any(said[:, 2:], axis=1)
    assert 0.2 < untouched.mean() < 0.45  # 0.8^5
    for flips in ((0, 0), (0, 1), (1, 0), (1, 1)):
        chosen = untouched & np.all(said[:, :2] == np.array(flips), axis=1)
        assert chosen.any()
        expected = x[0, :: 1 - 2 * flips[1], :: 1 - 2 * flips[0]]
        np.testing.assert_array_equal(changed[chosen], np.tile(expected, (chosen.sum(), 1, 1, 1)))
    for column, share in ((0, 0.5), (1, 0.1), (2, 0.2), (3, 0.2), (5, 0.2), (7, 0.2)):
        np.testing.assert_allclose(np.mean(said[:, column] != 0), share, atol=4 * np.sqrt(share / 400))
    turned = np.flatnonzero(np.all(said[:, np.array([0, 1, 2, 5, 6, 7, 8])] == 0, axis=1) & (said[:, 4] != 0))
    for i in turned[:5]:
        back = np.arctan2(-said[i, 4], said[i, 3] + 1)
        matrix = jnp.array([[np.cos(back), -np.sin(back)], [np.sin(back), np.cos(back)]])
        again = transform(changed[i : i + 1], matrix[None], jnp.zeros((1, 2)))
        np.testing.assert_allclose(again[0, 8:24, 8:24], x[0, 8:24, 8:24], atol=0.05)


@pytest.mark.statistical
def test_the_recipe_is_edms_picture_by_picture():
    """Every change at once, by its nine numbers: 2^(0.2 a) larger, turned by b, 2^(0.2 c) longer along f, d/8, e/8."""
    image = blob(1)[0, ..., 0]
    changed, said = augment(jax.random.key(1), jnp.tile(image[None, ..., None], (24, 1, 1, 1)), rate=0.7)
    for result, (mirrored, upside_down, a, cos, sin, *c, d, e) in zip(changed[..., 0], np.float64(said), strict=True):
        start = image[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
        found = []
        for sign in (1, -1):  # c at f and -c at f + pi are told alike
            f, length = np.arctan2(sign * c[1], sign * c[0]), sign * np.hypot(*c)
            longer = turned(f) @ np.diag([2 ** (0.2 * length), 2 ** (-0.2 * length)]) @ turned(-f)
            matrix = turned(np.arctan2(sin, cos + 1)) @ longer * 2 ** (0.2 * a)
            found.append(np.abs(scipys(start, matrix, (d / 8, e / 8)) - result).max())
        assert min(found) < 0.04, (found, said)


@pytest.mark.statistical
def test_the_numbers_have_edms_laws():
    """Mirrored 1/2; each other change at its rate, by default 0.12, of which the flip is done to half; all in full.

    Of the stretched, half are along an axis of the image (its code's aniso_rotate_prob).
    """
    n = 6000
    _, said = augment(jax.random.key(2), jnp.zeros((n, 2, 2, 1)))
    said = np.float64(said)
    assert set(np.unique(said[:, :2])) == {0, 1}
    done = [said[:, 0], said[:, 1], *(np.any(said[:, of] != 0, axis=1) for of in ([2], [3, 4], [5, 6], [7, 8]))]
    np.testing.assert_allclose(np.mean(done, axis=1), [0.5, 0.06, 0.12, 0.12, 0.12, 0.12], atol=4 * 0.5 / np.sqrt(n))
    np.testing.assert_allclose(np.mean(done, axis=1)[1:], [0.06, *[0.12] * 4], atol=4 * np.sqrt(0.12 * 0.88 / n))
    assert np.abs(np.corrcoef(done) - np.eye(6)).max() < 5 / np.sqrt(n)
    size, cos, sin, c_cos, c_sin, d, e = said[:, 2:].T
    angle, along = np.arctan2(sin, cos + 1)[sin != 0], np.arctan2(c_sin, c_cos)[c_sin != 0]
    stretched = np.count_nonzero(c_cos)
    np.testing.assert_allclose(np.count_nonzero(c_sin) / stretched, 0.5, atol=4 * 0.5 / np.sqrt(stretched))
    np.testing.assert_allclose((cos + 1) ** 2 + sin**2, 1, atol=1e-5)
    for value, law in [
        (size[size != 0], stats.norm()),
        (angle, stats.uniform(-np.pi, 2 * np.pi)),
        (along, stats.uniform(-np.pi, 2 * np.pi)),
        (np.hypot(c_cos, c_sin)[c_cos != 0], stats.halfnorm()),
        (d[d != 0], stats.norm()),
        (e[e != 0], stats.norm()),
    ]:
        assert stats.kstest(value, law.cdf).pvalue > 0.01
    assert abs(stats.pearsonr(d[d != 0], e[e != 0])[0]) < 0.2


@pytest.mark.system
def test_pictures_need_not_be_square():
    """Moved down by 1 of 4 rows, and right by 2 of 8 columns: what comes in is the mirror of the edge."""
    x = np.arange(32, dtype=np.float32).reshape(4, 8)
    moved = transform(jnp.asarray(x)[None, ..., None], jnp.eye(2)[None], jnp.array([[0.25, 0.25]]))[0, ..., 0]
    np.testing.assert_allclose(moved[1:, 2:], x[:-1, :-2], atol=1)  # the enlargement rounds off corners
    np.testing.assert_allclose(moved[2, 3:7], x[1, 1:5], atol=0.2)


@pytest.mark.system
def test_the_transform_tells_the_network_what_was_done():
    x, key = jnp.asarray(blob()), jax.random.key(0)
    for condition, names in (({"label": jnp.arange(3)}, {"label", "augment"}), (None, {"augment"})):
        batch = augmented(0.5)(key, Batch(x, condition))
        x_0, told = augment(key, x, 0.5)
        np.testing.assert_array_equal(batch.x_0, x_0)
        np.testing.assert_array_equal(batch.condition["augment"], told)
        assert batch.condition.keys() == names


@pytest.mark.system
def test_what_is_known_pixel_by_pixel_moves_with_its_image():
    x, key = jnp.asarray(blob()), jax.random.key(0)
    batch = augmented(1.0)(key, Batch(x, {"drawing": jnp.concatenate([2 * x, -x], -1), "label": jnp.arange(3)}))
    np.testing.assert_allclose(batch.x_0, augment(key, x, 1.0)[0], atol=1e-6)
    np.testing.assert_allclose(batch.condition["drawing"], jnp.concatenate([2 * batch.x_0, -batch.x_0], -1), atol=1e-5)
