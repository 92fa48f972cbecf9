"""Files of pictures, made on the way."""

import io

import numpy as np
from PIL import Image

from jaxdiff.modalities.images import folder

HALVES = np.zeros((8, 8, 3), np.uint8)
HALVES[:, :4], HALVES[:, 4:] = (200, 40, 90), (30, 160, 220)
NOISE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
CANNOT = "cannot be read as a picture: mend it or take it out"
SAVED = {
    "png": {},
    "jpg": {"quality": 100, "subsampling": 0},
    "webp": {"lossless": True},
    "bmp": {},
    "gif": {},
    "tif": {},
}


def taken(path, channels=3, size=8, **options):
    source = folder(str(path), size=size, channels=channels, **options)
    return source.take(np.arange(source.size)).x_0


def content(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()), **{**SAVED.get(kind, {}), **options})
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = {3: 2, 6: 1, 8: 3}.get(orientation, 0)  # quarters to the left, to be turned back
    return content(Image.fromarray(np.rot90(HALVES, turn)), "png", exif=exif)


def frames(kind, **options):
    rest = [Image.new("RGB", (8, 8), color) for color in ("black", "white")]
    return content(Image.fromarray(HALVES), kind, save_all=True, append_images=rest, **options)


def one_picture(root):
    root.mkdir(exist_ok=True)
    (root / "a.png").write_bytes(content(Image.fromarray(HALVES), "png"))
