import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import affine_transform

from jaxdiff.augment import augment, augmented, transform
from jaxdiff.types import Batch, Condition


def blob(n=3, size=32):
    """Smooth pictures, of several bumps."""
    y, x = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    bumps = [
        np.exp(-((y - 10 - k) ** 2 + (x - 18) ** 2 / 2) / 30) + np.exp(-((y - 22) ** 2 + (x - 9) ** 2) / 20)
        for k in range(n)
    ]
    return np.stack(bumps)[..., None].astype(np.float32)


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
    x, side = blob(), 32
    moved = transform(jnp.asarray(x), jnp.tile(matrix, (3, 1, 1)), jnp.tile(jnp.array(shift), (3, 1)))
    inverse, centre = np.linalg.inv(matrix), np.full(2, side / 2 - 0.5)
    for image, result in zip(x[..., 0], moved[..., 0], strict=True):
        offset = centre - inverse @ (centre + np.array(shift) * side)
        expected = affine_transform(image.astype(float), inverse, offset, order=3, mode="reflect")
        np.testing.assert_allclose(result, expected, atol=0.02)


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


def test_no_augmentation_is_the_loss_itself_and_any_tells_the_network():
    seen = []

    def loss(params, key, batch):
        seen.append(batch)
        return jnp.zeros(()), {}

    assert augmented(loss, 0.0) is loss
    augmented(loss, 0.5)({}, jax.random.key(0), Batch(jnp.asarray(blob()), Condition(jnp.arange(3))))
    augmented(loss, 0.5)({}, jax.random.key(0), Batch(jnp.asarray(blob())))
    assert [b.condition.vector.shape for b in seen] == [(3, 9), (3, 9)]
    np.testing.assert_array_equal(seen[0].condition.label, [0, 1, 2])
