"""Masks as paint programs save them: the left half is known, whatever the file is."""

import numpy as np
import pytest
from PIL import Image

from jaxdiff.errors import InputError
from jaxdiff.modalities.images.masks import MASKS, fitted_mask, read_mask

SHAPE = (6, 4, 3)
KNOWN = np.zeros((6, 4), bool)
KNOWN[:, :2] = True
GREY = np.uint8(255 * KNOWN)
WHITE = np.full_like(GREY, 255)


def palette():
    """White in place 3, black in place 7."""
    picture = Image.fromarray(np.where(KNOWN, 3, 7).astype(np.uint8), "P")
    picture.putpalette([255 * (i // 3 == 3) for i in range(768)])
    return picture


def erased(mode):
    """White everywhere, transparent where something is to be drawn, as an eraser leaves it."""
    bands = [WHITE] * (1 if mode == "LA" else 3)
    return Image.merge(mode, [Image.fromarray(band) for band in (*bands, GREY)])


PICTURES = {
    "grey": (lambda: Image.fromarray(GREY), "png"),
    "one bit": (lambda: Image.fromarray(GREY).convert("1"), "png"),
    "color": (lambda: Image.fromarray(GREY).convert("RGB"), "bmp"),
    "palette": (palette, "png"),
    "animation's first frame": (palette, "gif"),
    "16 bits": (lambda: Image.fromarray(np.uint16(65535 * KNOWN)), "png"),
    "16 bits of a scanner": (lambda: Image.fromarray(np.uint16(65535 * KNOWN)), "tiff"),
    "opaque alpha": (lambda: Image.fromarray(GREY).convert("RGBA"), "png"),
    "erased color": (lambda: erased("RGBA"), "png"),
    "erased grey": (lambda: erased("LA"), "png"),
    "erased, compressed": (lambda: erased("RGBA"), "webp"),
    "CMYK": (lambda: Image.fromarray(GREY).convert("CMYK"), "tiff"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_white_and_opaque_is_known(tmp_path, name):
    make, suffix = PICTURES[name]
    path = tmp_path / f"mask.{suffix}"
    make().save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read_mask(str(path), SHAPE)[0, ..., 0], KNOWN)
    np.testing.assert_array_equal(fitted_mask(str(path), SHAPE)[0, ..., 0], KNOWN)


def test_a_mask_of_another_size_is_fitted(tmp_path):
    Image.fromarray(GREY.repeat(10, 0).repeat(10, 1)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(fitted_mask(str(tmp_path / "mask.png"), SHAPE)[0, ..., 0], KNOWN)
    Image.fromarray(WHITE).save(tmp_path / "white.png")
    with pytest.raises(InputError, match="all white"):
        fitted_mask(str(tmp_path / "white.png"), SHAPE)


def test_a_mask_that_was_turned_by_its_camera_is_turned_back(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    Image.fromarray(np.rot90(GREY)).save(tmp_path / "mask.png", exif=exif)
    np.testing.assert_array_equal(read_mask(str(tmp_path / "mask.png"), SHAPE)[0, ..., 0], KNOWN)


@pytest.mark.parametrize("kind", ["eps", "ppm"])
def test_a_mask_is_opened_only_as_what_runs_no_program(tmp_path, kind):
    Image.fromarray(GREY).convert("RGB").save(tmp_path / "mask.png", format=kind)
    with pytest.raises(InputError, match="cannot be read as a picture .cannot identify"):
        read_mask(str(tmp_path / "mask.png"), SHAPE)


@pytest.mark.parametrize("name", MASKS)
def test_masks_by_name_show_some_and_hide_some(name):
    assert set(np.unique(read_mask(name, SHAPE))) == {0, 1}


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (lambda: Image.fromarray(WHITE), "is all white"),
        (lambda: Image.fromarray(np.uint8(KNOWN)), "holds greys"),
        (lambda: Image.fromarray(np.uint16(255 * KNOWN)), "holds greys"),
        (lambda: Image.merge("LA", [Image.fromarray(b) for b in (WHITE, np.maximum(GREY, 99))]), "holds greys"),
        (lambda: Image.fromarray(GREY.T), "is 4x6, and the model's images 6x4"),
    ],
    ids=["nothing to draw", "0 and 1", "16 bits of 8", "half transparent", "sides"],
)
def test_other_masks_are_refused_in_one_line(tmp_path, picture, message):
    picture().save(tmp_path / "mask.png")
    with pytest.raises(InputError, match=message):
        read_mask(str(tmp_path / "mask.png"), SHAPE)
