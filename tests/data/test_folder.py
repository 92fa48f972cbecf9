import numpy as np
import pytest
from PIL import Image

from jaxdiff.data import folder
from jaxdiff.errors import InputError


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for name, size, mode in [
        ("cats/a.png", (40, 30), "RGB"),
        ("cats/b.jpg", (9, 21), "L"),
        ("dogs/deep/c.PNG", (16, 16), "RGBA"),
    ]:
        channels = {"RGB": 3, "L": 1, "RGBA": 4}[mode]
        pixels = rng.integers(0, 256, (size[1], size[0], channels), np.uint8)
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels, mode).save(file)
    return tmp_path


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("cache_gb", [0.0, 1.0])
@pytest.mark.filterwarnings("ignore:.*mode.*:DeprecationWarning")
def test_pictures_of_any_size_and_mode(pictures, channels, cache_gb):
    source = folder(str(pictures), size=8, channels=channels, cache_gb=cache_gb)
    assert (source.size, source.shape, source.num_classes, source.flip) == (3, (8, 8, channels), 2, True)
    batch = source.take(np.array([2, 0, 1]))
    assert batch.x_0.shape == (3, 8, 8, channels)
    assert abs(batch.x_0).max() <= 1
    np.testing.assert_array_equal(batch.condition, [1, 0, 0])
    np.testing.assert_array_equal(source.take(np.array([2])).x_0[0], batch.x_0[0])


def test_centre_transparency_and_orientation(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    Image.fromarray(wide).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((10, 10, 4), np.uint8)).save(tmp_path / "b.png")
    upright = Image.new("L", (10, 10))
    upright.paste(255, (0, 0, 10, 5))
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    upright.save(tmp_path / "c.png", exif=exif)
    centre, clear, turned = folder(str(tmp_path), size=10, channels=3).take(np.arange(3)).x_0
    np.testing.assert_allclose(centre, 200 / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(clear, 1)
    np.testing.assert_array_equal(turned[:5], -1)
    np.testing.assert_array_equal(turned[5:], 1)


def test_bad_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        folder(str(tmp_path / "none"))
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(InputError, match="no picture below"):
        folder(str(tmp_path))
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"bad.png' cannot be read as a picture"):
        folder(str(tmp_path))
    with pytest.raises(InputError, match="channels 1 or 3"):
        folder(str(tmp_path), channels=2)


def test_damage_behind_the_header_names_the_file(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    source = folder(str(tmp_path), size=8)
    with pytest.raises(InputError, match=r"cut.png' cannot be read as a picture"):
        source.take(np.array([0]))
