import numpy as np
import pytest
from PIL import Image

from jaxdiff.modalities.images import pictures


def test_bytes_are_clipped_and_rounded():
    np.testing.assert_array_equal(pictures.to_uint8(np.array([-2, -1, 0.003, 0.006, 1, 3])), [0, 0, 128, 128, 255, 255])


def test_a_grid_places_images_row_by_row():
    images = np.linspace(-1, 1, 5)[:, None, None, None] * np.ones((5, 64, 64, 3))
    sheet = pictures.grid(images, columns=3)
    assert sheet.shape == (2 * 66 + 2, 3 * 66 + 2, 3)
    assert (sheet[10, 10, 0], sheet[10, 76, 0], sheet[76, 10, 0]) == (0, 64, 191)
    assert sheet[100, 150, 0] == 255


def test_small_images_are_enlarged():
    assert pictures.grid(np.zeros((1, 8, 8, 1))).shape == (68, 68, 1)


def test_strip_gif_and_curve_are_written(tmp_path):
    frames = np.stack([np.full((2, 8, 8, 1), v) for v in (-1.0, 0.0, 1.0)])
    pictures.save_film_strip(tmp_path / "a.png", frames)
    with Image.open(tmp_path / "a.png") as picture:
        strip = np.asarray(picture)
    assert strip.shape == (2 * 66 + 2, 3 * 66 + 2)
    assert (strip[10, 10], strip[10, 76], strip[76, 142]) == (0, 128, 255)
    pictures.save_gif(tmp_path / "a.gif", frames)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 3
        gif.seek(2)
        assert gif.convert("L").getpixel((10, 10)) == 255
    pictures.save_curves(tmp_path / "loss.png", {"loss": [(1, 0.5), (2, 0.25)], "held_out_mse": [(2, 0.3)]})
    with Image.open(tmp_path / "loss.png") as curve:
        assert curve.size == (840, 480)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("sides", [(8, 8), (4, 12), (200, 3)])
def test_images_of_any_sides_and_channels_are_shown(tmp_path, sides, channels):
    images = np.linspace(-1, 1, 3 * sides[0] * sides[1] * channels).reshape(3, *sides, channels)
    pictures.save_grid(tmp_path / "a.png", images)
    pictures.save_gif(tmp_path / "a.gif", images[None])
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == ("L" if channels == 1 else "RGB")
        assert min(picture.size) >= min(sides)
