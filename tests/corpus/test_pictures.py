"""Pictures of every format, damaged, mislabeled and unusual: their pixels, or one line."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxdiff.errors import InputError
from tests.helpers.cases import cases, one_line, refused
from tests.helpers.pictures import CANNOT, HALVES, NOISE, SAVED, content, frames, taken, turned

MODES = {
    "png": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "jpg": ["L", "RGB", "CMYK", "YCbCr"],
    "webp": ["L", "RGB", "RGBA"],
    "bmp": ["1", "L", "P", "RGB"],
    "gif": ["1", "L", "P", "RGB", "RGBA"],
    "tif": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"],
}


def in_mode(mode):
    """The two halves in a mode, and as RGB on white."""
    plain = Image.fromarray(HALVES)
    if mode == "I;16":
        return Image.fromarray(np.asarray(plain.convert("L")).astype(np.uint16) * 257), plain.convert("L")
    if mode in ("LA", "RGBA"):
        picture = plain.convert(mode)
        picture.putalpha(Image.fromarray(np.repeat(np.uint8([[0] * 4 + [255] * 4]), 8, 0)))
        seen = plain.convert(mode[:-1]).convert("RGB")
        seen.paste("white", (0, 0, 4, 8))
        return picture, seen
    return plain.convert(mode), plain.convert(mode)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind in MODES for mode in MODES[kind]])
def test_every_format_and_mode_gives_its_pixels(tmp_path, kind, mode, channels):
    picture, seen = in_mode(mode)
    (tmp_path / f"a.{kind}").write_bytes(content(picture, kind))
    expected = np.asarray(seen.convert("RGB").convert("L" if channels == 1 else "RGB")).reshape(8, 8, channels)
    np.testing.assert_allclose(taken(tmp_path, channels)[0], expected / 127.5 - 1, atol=0.04)


CUTS = {"nothing": 0.0, "a byte": 1, "4 bytes": 4, "an eighth": 0.125, "half": 0.5, "all but 64 bytes": -64}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("kind", SAVED)
def test_a_picture_cut_short_is_refused(tmp_path, kind, cut):
    whole, cut = content(Image.fromarray(NOISE), kind), CUTS[cut]
    (tmp_path / f"a.{kind}").write_bytes(whole[: int(cut * len(whole)) if isinstance(cut, float) else cut])
    with refused(f"a.{kind}' {CANNOT}"):
        taken(tmp_path)


@pytest.mark.parametrize("kind", SAVED)
def test_a_picture_without_its_last_byte_is_itself_or_refused(tmp_path, kind):
    whole = content(Image.fromarray(HALVES), kind)
    (tmp_path / f"a.{kind}").write_bytes(whole[:-1])
    try:
        np.testing.assert_allclose(taken(tmp_path)[0], HALVES / 127.5 - 1, atol=0.04)
    except InputError as error:
        one_line(error)


@pytest.mark.parametrize("kind", SAVED)
@pytest.mark.parametrize("bytes_", [b"just some text\n" * 40, bytes(4000), b"\xff" * 4000], ids=["text", "0", "255"])
def test_other_content_under_a_pictures_name_is_refused(tmp_path, kind, bytes_):
    (tmp_path / f"a.{kind}").write_bytes(bytes_)
    with refused(f"a.{kind}' {CANNOT}"):
        taken(tmp_path)


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in SAVED for n in SAVED if k != n])
def test_a_picture_under_another_pictures_name_gives_its_pixels(tmp_path, kind, name):
    (tmp_path / f"a.{name}").write_bytes(content(Image.fromarray(HALVES), kind))
    np.testing.assert_allclose(taken(tmp_path)[0], HALVES / 127.5 - 1, atol=0.04)


def png(width, height, depth=8, color=2, data=None, extra=b"", interlace=0):
    """A PNG whose header says what it likes."""
    size = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(bytes(1000)) if data is None else data), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + packed[0] + extra + packed[1] + packed[2]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif(width, height):
    whole = bytearray(content(Image.fromarray(HALVES), "gif"))
    whole[6:10] = struct.pack("<HH", width, height)
    return bytes(whole)


def tiff_of(pixels):
    return content(Image.fromarray(pixels), "tif")


def exif_of(data):
    return content(Image.fromarray(HALVES), "png", exif=data)


NAN, GREY = float("nan"), Image.fromarray(HALVES).convert("L")
UNUSUAL = {
    "turned by 180": ("a.png", turned(3), HALVES),
    "turned to the right": ("a.png", turned(6), HALVES),
    "turned to the left": ("a.png", turned(8), HALVES),
    "turned to nowhere": ("a.png", turned(77), HALVES),
    "an animated gif": ("a.gif", frames("gif"), HALVES),
    "an animated webp": ("a.webp", frames("webp", lossless=True), HALVES),
    "an animated png": ("a.png", frames("png"), HALVES),
    "a tiff of pages": ("a.tif", frames("tif"), HALVES),
    "a gif with a clear color": (
        "a.gif",
        content(Image.new("P", (8, 8)), "gif", transparency=0),
        np.full_like(HALVES, 255),
    ),
    "upper case": ("A.PNG", content(Image.fromarray(HALVES), "png"), HALVES),
    "a name with a newline": ("a\nb.png", content(Image.fromarray(HALVES), "png"), HALVES),
    "a name that is no UTF-8": (os.fsdecode(b"a\xff.png"), content(Image.fromarray(HALVES), "png"), HALVES),
    "a bad file with a newline in its name": ("a\nb.png", b"", CANNOT),
    "progressive": ("a.jpg", content(Image.fromarray(HALVES), "jpg", progressive=True), HALVES),
    "a camera's jpeg of two pictures": ("a.jpg", frames("mpo", quality=100, subsampling=0), HALVES),
    "bytes after the end": ("a.png", content(Image.fromarray(HALVES), "png") + b"more", HALVES),
    "EXIF that is noise": ("a.png", exif_of(NOISE.tobytes()[:200]), CANNOT),
    "EXIF of one byte": ("a.png", exif_of(b"E"), CANNOT),
    "EXIF cut short": ("a.png", exif_of(b"Exif\0\0II*\0\x08\0\0\0\xff\xff"), HALVES),
    "a bomb of 900 megapixels": ("a.png", png(30000, 30000), f"{CANNOT}.*900000000 pixels"),
    "a bomb of 90 megapixels": ("a.png", png(10000, 9000), f"{CANNOT}.*10000x9000 pixels are more than 89,478,485"),
    "a bomb as tall as can be": ("a.png", png(1, 2**31 - 1), f"{CANNOT}.*2147483647 pixels"),
    "a bomb in a gif": ("a.gif", gif(65535, 65535), f"{CANNOT}.*pixels"),
    "a bomb of text": ("a.png", png(8, 8, extra=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**7)))), CANNOT),
    "a profile that expands": (
        "a.png",
        png(8, 8, extra=chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(10**7)))),
        CANNOT,
    ),
    "no pixels": ("a.png", png(8, 8, data=b""), CANNOT),
    "too few pixels": ("a.png", png(40, 40), CANNOT),
    "pixels that do not inflate": ("a.png", png(8, 8, data=b"\x78\x9c" + b"\xff" * 50), CANNOT),
    "a width of 0": ("a.png", png(0, 8), CANNOT),
    "a height of 0": ("a.png", png(8, 0), CANNOT),
    "a color type that is none": ("a.png", png(8, 8, color=5), CANNOT),
    "a depth that is none": ("a.png", png(8, 8, depth=3), CANNOT),
    "a wrong checksum": ("a.png", content(Image.fromarray(HALVES), "png").replace(b"IDAT", b"IDAU"), CANNOT),
    "floating point": ("a.tif", tiff_of(np.ones((8, 8), np.float32)), f"{CANNOT}.*floating point"),
    "NaN": ("a.tif", tiff_of(np.full((8, 8), NAN, np.float32)), f"{CANNOT}.*floating point"),
    "32 bits": ("a.tif", tiff_of(np.full((8, 8), 70000, np.int32)), f"{CANNOT}.*16 bits"),
    "negative": ("a.tif", tiff_of(np.full((8, 8), -1, np.int32)), f"{CANNOT}.*16 bits"),
    "32 bits of which 16 are used": ("a.tif", tiff_of(np.asarray(GREY).astype(np.int32) << 8), np.asarray(GREY)),
    "big-endian 16 bits": ("a.tif", tiff_of((np.asarray(GREY).astype(">u2") << 8).astype(">u2")), np.asarray(GREY)),
    "one pixel": ("a.png", content(Image.new("RGB", (1, 1), (9, 8, 7)), "png"), np.full((8, 8, 3), (9, 8, 7))),
    "one pixel wide": ("a.png", content(Image.new("RGB", (1, 5000), (9, 8, 7)), "png"), np.full((8, 8, 3), (9, 8, 7))),
    "one pixel high": ("a.png", content(Image.new("RGB", (5000, 1), (9, 8, 7)), "png"), np.full((8, 8, 3), (9, 8, 7))),
    "PostScript, which is a program": (
        "a.png",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n",
        CANNOT,
    ),
    "a PPM": ("a.png", content(Image.fromarray(HALVES), "ppm"), CANNOT),
    "an icon": ("a.png", content(Image.new("RGB", (32, 32)), "ico"), CANNOT),
    "a NumPy file": ("a.png", b"\x93NUMPY\x01\x00v\x00{'descr': '|u1'}", CANNOT),
    "a zip": ("a.jpg", b"PK\x03\x04" + bytes(60), CANNOT),
    "a jpeg's first marker alone": ("a.jpg", b"\xff\xd8\xff\xe0", CANNOT),
    "a jpeg of no size": (
        "a.jpg",
        content(Image.fromarray(HALVES), "jpg").replace(b"\x08\0\x08\0\x08\x03", b"\x08\0\0\0\0\x03"),
        CANNOT,
    ),
    "a tiff whose directory is itself": ("a.tif", b"II*\0\x04\0\0\0" + bytes(40), CANNOT),
    "a tiff whose directory is elsewhere": ("a.tif", b"II*\0\xff\xff\xff\x7f" + bytes(40), CANNOT),
    "a webp that says it is longer": ("a.webp", b"RIFF\xff\xff\xff\x7fWEBPVP8 ", CANNOT),
    "a bmp of a huge palette": (
        "a.bmp",
        b"BM" + bytes(8) + struct.pack("<IIiiHHIIiiII", 54, 40, 8, 8, 1, 8, 0, 0, 0, 0, 2**31, 0),
        CANNOT,
    ),
}


@cases(UNUSUAL)
def test_an_unusual_picture(tmp_path, case):
    name, bytes_, expected = case
    (tmp_path / name).write_bytes(bytes_)
    if isinstance(expected, str):
        with refused(expected):
            taken(tmp_path)
    else:
        expected = expected[..., None] if expected.ndim == 2 else expected
        np.testing.assert_allclose(taken(tmp_path)[0], expected / 127.5 - 1 + np.zeros((8, 8, 3)), atol=0.04)


@pytest.mark.parametrize("bits", [8, 16])
def test_transparent_greys_are_white_at_any_depth(tmp_path, bits):
    """A PNG names one grey that is transparent; half of this picture has it."""
    scale, kind = (1, np.uint8) if bits == 8 else (257, np.uint16)
    greys = (np.repeat([[40] * 4 + [200] * 4], 8, 0) * scale).astype(kind)
    (tmp_path / "a.png").write_bytes(content(Image.fromarray(greys), "png", transparency=40 * scale))
    expected = np.repeat([[1.0] * 4 + [200 / 127.5 - 1] * 4], 8, 0)
    np.testing.assert_allclose(taken(tmp_path, 1)[0, ..., 0], expected, atol=0.01)
