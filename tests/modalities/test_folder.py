import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxdiff.data.below import class_names
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import folder
from tests.helpers.array_files import classes_of


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
    assert (source.size, source.spec.shape, classes_of(source), source.flip) == (3, (8, 8, channels), 2, True)
    batch = source.take(np.array([2, 0, 1]))
    assert batch.x_0.shape == (3, 8, 8, channels)
    assert abs(batch.x_0).max() <= 1
    np.testing.assert_array_equal(batch.condition["label"], [1, 0, 0])
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
    center, clear, turned = folder(str(tmp_path), size=10, channels=3).take(np.arange(3)).x_0
    np.testing.assert_allclose(center, 200 / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(clear, 1)
    np.testing.assert_array_equal(turned[:5], -1)
    np.testing.assert_array_equal(turned[5:], 1)


def test_links_to_folders_are_counted_and_circles_end(pictures, caplog):
    (pictures / "cats" / "again").symlink_to(pictures)
    (pictures / "birds").symlink_to("cats")
    source = folder(str(pictures), size=8)
    assert (source.size, classes_of(source)) == (3, 2)
    assert any("left out 2 of links to folders" in line for line in caplog.messages)


BOMBS = """
import resource, sys
import numpy as np
from jaxdiff.modalities.images import folder
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
before = used()
folder(sys.argv[1], size=8).take(np.arange(16))
print(used() - before)
"""


@pytest.mark.slow
def test_pictures_that_expand_take_bounded_memory(tmp_path):
    """Sixteen of 80 megapixels each, with transparency: one at a time."""
    picture = Image.new("RGBA", (9000, 8900))
    for i in range(16):
        picture.save(tmp_path / f"{i}.png") if not i else os.link(tmp_path / "0.png", tmp_path / f"{i}.png")
    assert (tmp_path / "0.png").stat().st_size < 2e6
    done = subprocess.run([sys.executable, "-c", BOMBS, str(tmp_path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.8, "GB"


def test_bad_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        folder(str(tmp_path / "none"))
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(InputError, match="no picture below"):
        folder(str(tmp_path))
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"bad.png' cannot be read as a picture"):
        folder(str(tmp_path))
    for i in range(6):
        (tmp_path / f"worse{i}.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"bad.png' cannot .*worse0.*worse3.*; and 2 more") as caught:
        folder(str(tmp_path))
    assert "worse4" not in str(caught.value)
    with pytest.raises(InputError, match="channels 1 or 3"):
        folder(str(tmp_path), channels=2)


def test_damage_behind_the_header_names_the_file(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    source = folder(str(tmp_path), size=8)
    with pytest.raises(InputError, match=r"cut.png' cannot be read as a picture"):
        source.take(np.array([0]))


def test_unusual_pixels(tmp_path):
    """16 bits, CMYK, a palette, an animation; floating point is refused."""
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "b.jpg", quality=100)
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "c.png")
    frames = [Image.new("L", (8, 8), value) for value in (255, 0)]
    frames[0].save(tmp_path / "d.gif", save_all=True, append_images=frames[1:])
    deep, cmyk, indexed, first = folder(str(tmp_path), size=8).take(np.arange(4)).x_0
    np.testing.assert_allclose(deep[..., 0], (grey // 256) / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(cmyk[0, 0], [1, -1, -1], atol=0.02)
    np.testing.assert_allclose(indexed[0, 0], np.array([10, 20, 30]) / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(first, 1)
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "e.tif")
    with pytest.raises(InputError, match=r"e.tif' cannot be read as a picture.*floating point"):
        folder(str(tmp_path), size=8).take(np.array([4]))


def test_a_decompression_bomb_is_refused(tmp_path):
    size = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    content = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))
    with pytest.raises(InputError, match=r"bomb.png' cannot be read as a picture.*900000000 pixels"):
        folder(str(tmp_path))


def test_pictures_that_are_not_square(tmp_path):
    """The left half of a wide picture is white, and stays so at any sides."""
    Image.fromarray(np.uint8(np.repeat([[255] * 30 + [0] * 30], 40, 0))).save(tmp_path / "a.png")
    x_0 = folder(str(tmp_path), size=8, width=12, channels=1).take(np.array([0])).x_0
    assert x_0.shape == (1, 8, 12, 1)
    np.testing.assert_array_equal(x_0[0, :, [0, -1], 0].T, np.repeat([[1, -1]], 8, 0))


def pictures_of(place, *names):
    for i, name in enumerate(names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 20 * i, np.uint8)).save(place / name, format="JPEG")


def test_classes_have_names_and_numbers_are_in_their_order(tmp_path):
    pictures_of(tmp_path, "10/a.jpg", "9/a.jfif", "2/a.jpeg")
    source = folder(str(tmp_path), size=8, channels=1)
    assert source.spec.details == {"classes": ["2", "9", "10"]}
    assert source.labels().tolist() == [2, 0, 1]  # files in the order of their paths: 10, 2, 9
    pictures_of(tmp_path, "cat/a.jpg")
    assert folder(str(tmp_path), size=8, channels=1).spec.details == {"classes": ["10", "2", "9", "cat"]}


def test_classes_whose_numbers_are_equal_have_one_order():
    names = sorted("0" * zeros + str(number) for number in (1, 2) for zeros in range(12))
    ordered = class_names([Path(name) / "a.jpg" for name in names], "pictures", "pictures")
    assert ordered == sorted(names, key=lambda name: (int(name), name))


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", ".Trash", "__MACOSX", "cat/.thumbs"])
def test_hidden_folders_are_left_out(tmp_path, hidden):
    pictures_of(tmp_path, "cat/a.jpg", "dog/a.jpg", f"{hidden}/a.jpg")
    source = folder(str(tmp_path), size=8, channels=1)
    assert (source.size, source.spec.details) == (2, {"classes": ["cat", "dog"]})


def test_what_is_left_out_and_what_lies_beside_is_said(tmp_path, caplog):
    pictures_of(tmp_path, "cat/a.jpg", "dog/a.jpg", "stray.jpg")
    for name in ("cat/notes.txt", "dog/b.txt", "README"):
        (tmp_path / name).write_text("")
    assert not folder(str(tmp_path), size=8, channels=1).conditions
    assert "left out 2 of .txt, 1 of no suffix" in caplog.text
    assert "1 pictures lie beside the folders of classes, stray.jpg the first" in caplog.text
