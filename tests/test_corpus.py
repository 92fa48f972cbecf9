"""Bad input, case by case and at random: each ends in one clear error or in the right result, and in nothing else."""

import dataclasses
import importlib
import io
import json
import math
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import jaxdiff
from jaxdiff.config import build
from jaxdiff.config import record as run_record
from jaxdiff.config.ranges import RANGES
from jaxdiff.config.schema import check_fields
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import arrays, folder
from jaxdiff.nets import UNet
from jaxdiff.pipelines import experiment
from jaxdiff.training import feed, sharding, stop
from jaxdiff.training.checkpoints import rollback
from jaxdiff.training.checkpoints.checkpoint import Checkpoints
from jaxdiff.training.checkpoints.seal import CHECKSUMS, seal
from jaxdiff.training.step import init_state
from jaxdiff.types import Condition
from tests.test_experiment import get_config

# What Pillow and NumPy warn of, they then read or refuse.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("quick_compilation")]


@contextmanager
def refused(message=""):
    """One line, which matches."""
    with pytest.raises(InputError, match=f"(?s){message}") as caught:
        yield
    text = str(caught.value)
    assert text.strip()
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 2000


def one_line(error):
    assert "\n" not in str(error)


def case(*values, name, slow=False):
    return pytest.param(*values, id=name, marks=[pytest.mark.slow] if slow else [])


def cases(table, every=1):
    """One parameter for each entry; all but one of `every` are slow."""
    listed = [case(value, name=name, slow=i % every > 0) for i, (name, value) in enumerate(table.items())]
    return pytest.mark.parametrize("case", listed)


# ---------------------------------------------------------------------------------------------------------- pictures

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
MODES = {
    "png": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "jpg": ["L", "RGB", "CMYK", "YCbCr"],
    "webp": ["L", "RGB", "RGBA"],
    "bmp": ["1", "L", "P", "RGB"],
    "gif": ["1", "L", "P", "RGB", "RGBA"],
    "tif": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"],
}


def taken(path, channels=3, size=8, **options):
    source = folder(str(path), size=size, channels=channels, **options)
    return source.take(np.arange(source.size)).x_0


def content(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()), **{**SAVED.get(kind, {}), **options})
    return file.getvalue()


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


def png(width, height, depth=8, colour=2, data=None, extra=b"", interlace=0):
    """A PNG whose header says what it likes."""
    size = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(bytes(1000)) if data is None else data), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + packed[0] + extra + packed[1] + packed[2]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif(width, height):
    whole = bytearray(content(Image.fromarray(HALVES), "gif"))
    whole[6:10] = struct.pack("<HH", width, height)
    return bytes(whole)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = {3: 2, 6: 1, 8: 3}.get(orientation, 0)  # quarters to the left, to be turned back
    return content(Image.fromarray(np.rot90(HALVES, turn)), "png", exif=exif)


def frames(kind, **options):
    rest = [Image.new("RGB", (8, 8), colour) for colour in ("black", "white")]
    return content(Image.fromarray(HALVES), kind, save_all=True, append_images=rest, **options)


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
    "a gif with a clear colour": (
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
    "a bomb as tall as can be": ("a.png", png(1, 2**31 - 1), f"{CANNOT}.*2147483647 pixels"),
    "a bomb in a gif": ("a.gif", gif(65535, 65535), f"{CANNOT}.*pixels"),
    "a bomb of text": ("a.png", png(8, 8, extra=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**8)))), CANNOT),
    "a profile that expands": (
        "a.png",
        png(8, 8, extra=chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(10**8)))),
        CANNOT,
    ),
    "no pixels": ("a.png", png(8, 8, data=b""), CANNOT),
    "too few pixels": ("a.png", png(40, 40), CANNOT),
    "pixels that do not inflate": ("a.png", png(8, 8, data=b"\x78\x9c" + b"\xff" * 50), CANNOT),
    "a width of 0": ("a.png", png(0, 8), CANNOT),
    "a height of 0": ("a.png", png(8, 0), CANNOT),
    "a colour type that is none": ("a.png", png(8, 8, colour=5), CANNOT),
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


def one_picture(root):
    root.mkdir(exist_ok=True)
    (root / "a.png").write_bytes(content(Image.fromarray(HALVES), "png"))


def link(name, target, inside="outside"):
    """A link below the folder `data`, beside which there are the folders `outside` and `data-too`."""

    def make(root):
        for place in (root / "data", root / "data" / "sub", root / "outside", root / "data-too"):
            one_picture(place)
        (root / "data" / name).symlink_to(target)

    return make


def chain(root):
    link("b.png", "c.link")(root)
    (root / "data" / "c.link").symlink_to("../outside/a.png")


def loop_of_two(root):
    link("b.png", "c.png")(root)
    (root / "data" / "c.png").symlink_to("b.png")


def linked_root(root):
    one_picture(root / "outside")
    (root / "data").symlink_to("outside")


def pipe(root):
    one_picture(root / "data")
    os.mkfifo(root / "data" / "b.png")


def empty_class(root):
    for name in ("cats", "dogs"):
        (root / "data" / name).mkdir(parents=True)
    one_picture(root / "data" / "cats")


def file(root):
    (root / "data").write_bytes(b"")


FOLDERS = {
    "a link to a picture outside": (link("b.png", "../outside/a.png"), "b.png' is a link .*outside"),
    "an absolute link outside": (link("b.png", "/etc/hostname"), "b.png' is a link .*outside"),
    "a link to a folder outside": (link("more", "../outside"), "more' is a link .*outside"),
    "a link to the folder above": (link("up", ".."), "up' is a link .*outside"),
    "a link to a folder whose name begins alike": (link("more", "../data-too"), "more' is a link .*outside"),
    "a link to a link outside": (chain, "is a link .*outside"),
    "a link to nothing": (link("b.png", "nothing.png"), "b.png' is a link .*nothing"),
    "a link to itself": (link("b.png", "b.png"), "b.png' is a link .*nothing"),
    "two links to each other": (loop_of_two, "b.png' is a link .*nothing"),
    "a link to a device": (link("b.png", "/dev/zero"), "b.png' is a link .*outside"),
    "a link to a picture inside": (link("b.png", "sub/a.png"), 3),
    "a link to a folder inside": (link("more", "sub"), 2),
    "a link to the folder itself": (link("more", "."), 2),
    "a link outside that is no picture": (link("notes.txt", "/etc/hostname"), 2),
    "a folder that is a link": (linked_root, 1),
    "a pipe under a picture's name": (pipe, 1),
    "a folder under a picture's name": (
        lambda root: one_picture(root / "data") or (root / "data" / "b.png").mkdir(),
        1,
    ),
    "a class without pictures": (empty_class, 1),
    "a file": (file, "is not a folder"),
    "nothing": (lambda root: None, "is not a folder"),
    "an empty folder": (lambda root: (root / "data").mkdir(), "no picture below"),
}


@cases(FOLDERS)
def test_an_unusual_folder(tmp_path, case):
    make, expected = case
    make(tmp_path)
    if isinstance(expected, str):
        with refused(expected):
            taken(tmp_path / "data")
    else:
        np.testing.assert_allclose(taken(tmp_path / "data"), np.stack([HALVES / 127.5 - 1] * expected), atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ""}, "is not a folder|no picture"),
        ({"path": "a\0b"}, "is not a folder"),
        ({"path": "x" * 300}, "is not a folder"),
        ({"size": 0}, "size"),
        ({"size": -8}, "size"),
        ({"size": 10**9}, "size"),
        ({"channels": 0}, "channels"),
        ({"channels": 4}, "channels"),
    ],
)
def test_what_a_folder_cannot_be_asked(tmp_path, monkeypatch, options, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    one_picture(tmp_path)
    with refused(message):
        folder(**{"path": str(tmp_path), **options})


# ------------------------------------------------------------------------------------------------------------ arrays

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 5), np.uint8)
UNIT = PIXELS / 127.5 - 1
LABELS = np.array([0, 1, 2, 0, 1, 2])


class Trap:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def header(text, version=b"\x01\x00", length=None, data=bytes(120)):
    text = text.encode("latin1") + b"\n"
    size = struct.pack("<H" if version[:1] == b"\x01" else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + version + size + text + data


def npz(compress=zipfile.ZIP_DEFLATED, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compress) as archive:
        for name, value in members.items():
            archive.writestr(name, value)
    return file.getvalue()


def savez(**members):
    file = io.BytesIO()
    np.savez_compressed(file, **members)
    return file.getvalue()


def patched(whole, old, new, count=-1):
    assert old in whole
    return whole.replace(old, new, count)


BIG = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"
WHOLE, ZIPPED = npy(PIXELS), savez(x=PIXELS, y=LABELS)
HOLDS, CANNOT_ARRAY, SHAPE = "holds {}: images are uint8", "cannot be read as a NumPy file", "holds an array of shape"
LABEL = "'y' in .* must hold one label"
ARRAYS = {
    "uint8": (WHOLE, {}, UNIT),
    "float64": (npy(UNIT), {}, UNIT),
    "float32": (npy(UNIT.astype("<f4")), {}, UNIT),
    "float16": (npy(UNIT.astype("<f2")), {}, UNIT),
    "long double": (npy(UNIT.astype(np.longdouble)), {}, UNIT),
    "big-endian float32": (npy(UNIT.astype(">f4")), {}, UNIT),
    "big-endian float64": (npy(UNIT.astype(">f8")), {}, UNIT),
    "big-endian float16": (npy(UNIT.astype(">f2")), {}, UNIT),
    "Fortran order": (npy(np.asfortranarray(UNIT)), {}, UNIT),
    "Fortran order of bytes": (npy(np.asfortranarray(PIXELS)), {}, UNIT),
    "a range of its own": (npy(PIXELS / 255), {"low": 0.0, "high": 1.0}, UNIT),
    "a header of version 2": (header(BIG.format("|u1", (6, 4, 5)), b"\x02\x00", data=PIXELS.tobytes()), {}, UNIT),
    "a header of version 3": (header(BIG.format("|u1", (6, 4, 5)), b"\x03\x00", data=PIXELS.tobytes()), {}, UNIT),
    "bytes after the end": (WHOLE + b"more", {}, UNIT),
    "a zip of one array": (savez(x=PIXELS), {}, UNIT),
    "a zip of two, by name": (ZIPPED, {"key": "x"}, UNIT),
    "a zip with labels": (ZIPPED, {"key": "x", "label_key": "y"}, UNIT),
    "big-endian labels": (savez(x=PIXELS, y=LABELS.astype(">i8")), {"key": "x", "label_key": "y"}, UNIT),
    "labels in one byte": (savez(x=PIXELS, y=LABELS.astype(np.uint8)), {"key": "x", "label_key": "y"}, UNIT),
    "an array that leads out of the zip": (npz(**{"../x.npy": WHOLE}), {"key": "../x"}, UNIT),
    "an absolute name in the zip": (npz(**{"/etc/x.npy": WHOLE}), {"key": "/etc/x"}, UNIT),
    "a zip stored as it is": (npz(zipfile.ZIP_STORED, **{"x.npy": WHOLE}), {}, UNIT),
    "a zip by bzip2": (npz(zipfile.ZIP_BZIP2, **{"x.npy": WHOLE}), {}, UNIT),
    "a zip by lzma": (npz(zipfile.ZIP_LZMA, **{"x.npy": WHOLE}), {}, UNIT),
    "a zip that is a .npy": (WHOLE, {"suffix": ".npz"}, UNIT),
    "a .npy that is a zip": (savez(x=PIXELS), {"suffix": ".npy"}, UNIT),
    "NaN": (npy(np.full((2, 4, 4), NAN)), {}, "values from nan to nan, outside the range"),
    "one NaN": (npy(np.where(PIXELS[0, 0, 0] == PIXELS, NAN, UNIT)), {}, "outside the range"),
    "infinite": (npy(np.full((2, 4, 4), np.inf)), {}, "outside the range"),
    "minus infinite": (npy(np.full((2, 4, 4), -np.inf)), {}, "outside the range"),
    "beyond the range": (npy(UNIT * 1.5), {}, "outside the range -1.0 to 1.0"),
    "a range that is empty": (npy(np.zeros((2, 4, 4))), {"low": 0.0, "high": 0.0}, "low.*high"),
    "a range upside down": (npy(UNIT), {"low": 1.0, "high": -1.0}, "low.*high"),
    "a range of NaN": (npy(UNIT), {"low": NAN}, "low.*high"),
    "an infinite range": (npy(UNIT), {"high": np.inf}, "low.*high"),
    "rank 0": (npy(np.uint8(3)), {}, SHAPE),
    "rank 1": (npy(PIXELS[0, 0]), {}, SHAPE),
    "rank 2": (npy(PIXELS[0]), {}, SHAPE),
    "rank 5": (npy(PIXELS[None, None]), {}, SHAPE),
    "rank 32": (npy(np.zeros((1,) * 32, np.uint8)), {}, SHAPE),
    "no images": (npy(PIXELS[:0]), {}, SHAPE),
    "images of no height": (npy(PIXELS[:, :0]), {}, SHAPE),
    "images of no width": (npy(PIXELS[:, :, :0]), {}, SHAPE),
    "images of no channels": (npy(np.zeros((6, 4, 5, 0), np.uint8)), {}, SHAPE),
    "images of no channels, floating": (npy(np.zeros((6, 4, 5, 0))), {}, SHAPE),
    "no images in a zip": (savez(x=PIXELS[:0]), {}, SHAPE),
    "objects": (npy(np.array([Trap()] * 2, object), allow_pickle=True), {}, CANNOT_ARRAY),
    "objects in a zip": (npz(**{"x.npy": npy(np.array([Trap()], object), allow_pickle=True)}), {}, CANNOT_ARRAY),
    "a pickle": (b"\x80\x04cos\nmkdir\n(S'executed'\ntR.", {}, CANNOT_ARRAY),
    "objects as labels": (
        savez(x=PIXELS, y=np.array(["a", None, 1, 2, 3, 4], object)),
        {"key": "x", "label_key": "y"},
        CANNOT_ARRAY,
    ),
    "int64": (npy(PIXELS.astype(np.int64)), {}, HOLDS.format("int64")),
    "int8": (npy(PIXELS.astype(np.int8)), {}, HOLDS.format("int8")),
    "uint16": (npy(PIXELS.astype(np.uint16)), {}, HOLDS.format("uint16")),
    "big-endian uint16": (npy(PIXELS.astype(">u2")), {}, HOLDS.format(">u2")),
    "bool": (npy(PIXELS > 99), {}, HOLDS.format("bool")),
    "complex": (npy(UNIT + 1j), {}, HOLDS.format("complex128")),
    "text": (npy(PIXELS.astype(str)), {}, HOLDS.format("<U3")),
    "bytes": (npy(PIXELS.astype("S3")), {}, HOLDS.format(r"\|S3")),
    "dates": (npy(PIXELS.astype("M8[s]")), {}, HOLDS.format("datetime64.*")),
    "records": (npy(np.zeros((6, 4, 5), [("r", "u1"), ("g", "u1")])), {}, r"holds \[\('r'"),
    "opaque": (npy(np.zeros((6, 4, 5), "V3")), {}, HOLDS.format(r"\|V3")),
    "zero bytes": (b"", {}, CANNOT_ARRAY),
    "text in place of an array": (b"not an array", {}, CANNOT_ARRAY),
    "the magic alone": (b"\x93NUMPY", {}, CANNOT_ARRAY),
    "an unknown version": (header(BIG.format("|u1", (6, 4, 5)), b"\x09\x00"), {}, CANNOT_ARRAY),
    "a header that is longer than the file": (header(BIG.format("|u1", (6, 4, 5)), length=60000), {}, CANNOT_ARRAY),
    "a header of 4 GB": (header("", b"\x02\x00", length=2**32 - 1), {}, CANNOT_ARRAY),
    "a header without a type": (header("{'shape': (6, 4, 5), 'fortran_order': False}"), {}, CANNOT_ARRAY),
    "a header that is no dictionary": (header("[1, 2, 3]"), {}, CANNOT_ARRAY),
    "a header that is code": (header("__import__('os').mkdir('executed')"), {}, CANNOT_ARRAY),
    "a header of open brackets": (header("(" * 5000), {}, CANNOT_ARRAY),
    "a header with an open string": (header("{'descr': '|u1"), {}, CANNOT_ARRAY),
    "a header of nothing": (header(""), {}, CANNOT_ARRAY),
    "a header of zeros": (header("\0" * 100), {}, CANNOT_ARRAY),
    "an indented header": (header("{'descr':\n   '|u1'\n  ,\n 1 :"), {}, CANNOT_ARRAY),
    "an unknown type": (header(BIG.format("u99", (6, 4, 5))), {}, CANNOT_ARRAY),
    "a type of endless width": (header(BIG.format("V99999999999", (6, 4, 5))), {}, CANNOT_ARRAY),
    "a negative shape": (header(BIG.format("|u1", (-6, 4, -5))), {}, CANNOT_ARRAY),
    "a negative length": (header(BIG.format("|u1", (-1, 4, 5))), {}, CANNOT_ARRAY),
    "a fractional shape": (header(BIG.format("|u1", (6.0, 4, 5))), {}, CANNOT_ARRAY),
    "a shape of booleans": (header(BIG.format("|u1", (True, True, True)), data=b"\x80"), {}, f"{CANNOT_ARRAY}|.*"),
    "a shape larger than the file": (header(BIG.format("|u1", (600, 400, 500))), {}, CANNOT_ARRAY),
    "a shape larger than any disk": (header(BIG.format("|u1", (2**40, 2**20, 3))), {}, CANNOT_ARRAY),
    "a shape beyond integers": (header(BIG.format("|u1", (2**70, 4, 5))), {}, CANNOT_ARRAY),
    "a shape in a zip larger than memory": (
        npz(**{"x.npy": header(BIG.format("|u1", (2**40, 2**10, 3)))}),
        {},
        CANNOT_ARRAY,
    ),
    "a shape in a zip larger than its file": (
        npz(**{"x.npy": header(BIG.format("|u1", (2**20, 2**9, 3)))}),
        {},
        CANNOT_ARRAY,
    ),
    "a zip that is none": (b"PK not a zip", {"suffix": ".npz"}, CANNOT_ARRAY),
    "a zip of nothing": (npz(), {"suffix": ".npz"}, "unknown array"),
    "a zip's end alone": (b"PK\x05\x06" + bytes(18), {"suffix": ".npz"}, "unknown array"),
    "a zip without its directory": (ZIPPED[: ZIPPED.rindex(b"PK\x01\x02")], {"suffix": ".npz"}, CANNOT_ARRAY),
    "a zip whose content changed": (
        patched(npz(zipfile.ZIP_STORED, **{"x.npy": WHOLE}), PIXELS.tobytes()[:50], bytes(50)),
        {},
        CANNOT_ARRAY,
    ),
    "a zip by an unknown method": (
        patched(npz(**{"x.npy": WHOLE}), b"\x14\0\0\0\x08", b"\x14\0\0\0\x63"),
        {},
        CANNOT_ARRAY,
    ),
    "a zip with a password": (
        patched(npz(**{"x.npy": WHOLE}), b"\x14\0\0\0\x08", b"\x14\0\x01\0\x08"),
        {},
        CANNOT_ARRAY,
    ),
    "a text in the zip": (npz(**{"readme.txt": b"hello"}), {}, CANNOT_ARRAY),
    "a text in the zip by name": (npz(**{"readme.txt": b"hello", "x.npy": WHOLE}), {"key": "readme.txt"}, CANNOT_ARRAY),
    "a text as labels": (npz(**{"y": b"hello", "x.npy": WHOLE}), {"key": "x", "label_key": "y"}, CANNOT_ARRAY),
    "an array in the zip that is none": (npz(**{"x.npy": b"hello"}), {}, CANNOT_ARRAY),
    "an array in the zip that is empty": (npz(**{"x.npy": b""}), {}, CANNOT_ARRAY),
    "an array in the zip that is cut": (npz(**{"x.npy": WHOLE[:150]}), {}, CANNOT_ARRAY),
    "two arrays and no name": (ZIPPED, {}, "unknown array .* allowed are x, y"),
    "a name that is not there": (ZIPPED, {"key": "X"}, "unknown array .*'X'.*allowed are x, y"),
    "labels that are not there": (ZIPPED, {"key": "x", "label_key": "z"}, "unknown array .*'z'.*allowed are x, y"),
    "a name for a .npy": (WHOLE, {"key": "x"}, "x.npy.*data.key"),
    "labels for a .npy": (WHOLE, {"label_key": "y"}, "x.npy.*data.label_key"),
    "labels, one too few": (savez(x=PIXELS, y=LABELS[1:]), {"key": "x", "label_key": "y"}, LABEL),
    "labels, one too many": (savez(x=PIXELS, y=np.append(LABELS, 0)), {"key": "x", "label_key": "y"}, LABEL),
    "labels in a column": (savez(x=PIXELS, y=LABELS[:, None]), {"key": "x", "label_key": "y"}, LABEL),
    "one label": (savez(x=PIXELS, y=np.int64(1)), {"key": "x", "label_key": "y"}, LABEL),
    "no labels": (savez(x=PIXELS, y=LABELS[:0]), {"key": "x", "label_key": "y"}, LABEL),
    "labels that are negative": (savez(x=PIXELS, y=LABELS - 1), {"key": "x", "label_key": "y"}, LABEL),
    "labels that are fractions": (savez(x=PIXELS, y=LABELS / 2), {"key": "x", "label_key": "y"}, LABEL),
    "labels that are NaN": (savez(x=PIXELS, y=LABELS * NAN), {"key": "x", "label_key": "y"}, LABEL),
    "labels that are booleans": (savez(x=PIXELS, y=LABELS > 0), {"key": "x", "label_key": "y"}, LABEL),
    "labels that are text": (savez(x=PIXELS, y=LABELS.astype(str)), {"key": "x", "label_key": "y"}, LABEL),
    "labels beyond 32 bits": (savez(x=PIXELS, y=LABELS + 2**40), {"key": "x", "label_key": "y"}, LABEL),
    "labels beyond 63 bits": (
        savez(x=PIXELS, y=LABELS.astype(np.uint64) + 2**63),
        {"key": "x", "label_key": "y"},
        LABEL,
    ),
    "the images as labels": (ZIPPED, {"key": "x", "label_key": "x"}, "'x' in .* must hold one label"),
    "another suffix": (WHOLE, {"suffix": ".npx"}, "is not a .npy or .npz file"),
    "no suffix": (WHOLE, {"suffix": ""}, "is not a .npy or .npz file"),
}


@cases(ARRAYS)
def test_an_unusual_array(tmp_path, monkeypatch, case):
    bytes_, options, expected = case
    monkeypatch.chdir(tmp_path)
    options = dict(options)
    file = tmp_path / f"x{options.pop('suffix', '.npz' if bytes_[:2] == b'PK' else '.npy')}"
    file.write_bytes(bytes_)
    file.chmod(0o400)
    if isinstance(expected, str):
        with refused(expected):
            arrays(str(file), **options)
    else:
        source = arrays(str(file), **options)
        batch = source.take(np.array([5, 0, 3]))
        np.testing.assert_allclose(batch.x_0[..., 0], expected[[5, 0, 3]], atol=2e-3)
        assert batch.x_0.dtype == np.float32
        if "label_key" in options:
            np.testing.assert_array_equal(batch.condition.label, LABELS[[5, 0, 3]])
            assert source.num_classes == 3
    assert os.listdir(tmp_path) == [file.name]


@pytest.mark.parametrize("part", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("whole", [WHOLE, npy(UNIT), ZIPPED], ids=["npy", "float", "npz"])
def test_an_array_cut_short_is_refused(tmp_path, whole, part):
    file = tmp_path / ("x.npz" if whole is ZIPPED else "x.npy")
    file.write_bytes(whole[: int(part * len(whole))])
    with refused(CANNOT_ARRAY):
        arrays(str(file), key="x" if whole is ZIPPED else "")


def test_a_zip_bomb_is_refused_by_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("jaxdiff.modalities.images.arrays"), "MEMORY", 10**6)
    (tmp_path / "x.npz").write_bytes(savez(x=np.zeros((2000, 32, 32), np.uint8)))
    assert (tmp_path / "x.npz").stat().st_size < 10**4
    with refused("x.npz.*2.0 MB.*memory.*npy"):
        arrays(str(tmp_path / "x.npz"))


@pytest.mark.parametrize("path", ["", "x.npy", "no/such.npz", "a\0.npy", "x" * 300 + ".npy", "folder.npy", "loop.npz"])
def test_what_is_no_file_is_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    Path("folder.npy").mkdir()
    Path("loop.npz").symlink_to("loop.npz")
    with refused("is not a .npy or .npz file"):
        arrays(path)


def test_a_read_only_memory_map_serves_as_images(tmp_path):
    np.save(tmp_path / "x.npy", UNIT)
    batch = arrays(str(tmp_path / "x.npy")).take(np.arange(6))
    batch.x_0[:] = 0  # a copy
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), UNIT)


# ----------------------------------------------------------------------------------------------------------- configs

FILES = {
    "ddpm": "digits",
    "iddpm": "digits",
    "ncsn": "digits",
    "score_sde": "ve",
    "edm": "digits",
    "flow": "digits",
    "vdm": "digits",
}
WRONG = {
    bool: ("yes", 2, None, []),
    int: ("many", 2.5, NAN, None, [1], {}, True, -(10**30)),
    float: ("much", NAN, None, [0.5], {}, True),
    str: (3, None, [], {}, True),
    tuple: ("(1, 2)", 3, None, {}, ("a",), (1.5,), [[1]]),
    dict: ("text", 3, None, []),
}


def leaves(part, prefix=""):
    for name, value in part.items():
        yield prefix + name, value
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")


def with_field(config, field, value):
    """The configuration with another value at a dotted name; without it, if that is `...`."""
    *parents, last = field.split(".")
    part = config
    for name in parents:
        part = part[name]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return config


def small(name="ddpm"):
    """A configuration with as small a network as there is, which takes the least time to trace."""
    config = get_config(FILES[name], name)
    config["net"] |= {"multipliers": [1], "attention": [], "blocks": 1}
    return config


def begin(config):
    """What train.py does with a configuration before it computes anything, and sample.py with the held-out data."""
    check_fields(config)
    train = config["train"]
    mesh = sharding.make_mesh(**train["mesh"])
    sharding.check_batch(train["batch_size"], train["accumulate"], sharding.batch_shards(mesh))
    if config["held_out"]:
        build.source({**config, "data": config["held_out"]})
    source = build.source(config)
    parts = experiment.build(config, source.shape, mesh)
    every = {f"train.{k}": train[k] for k in ("log_every", "sample_every", "checkpoint_every")}
    feed.steps_per_call(train["steps_per_call"], every, 4 * train["batch_size"] * math.prod(source.shape))
    feed.make_feed(source, mesh, train["batch_size"], config["seed"], train["device_data"])
    rollback.check(**train["guard"])
    with stop.stopping(train["max_hours"]):
        return parts


RIGHT = [("loss.times.steps", None), ("ema.half_life", (1.5,))]


def wrong_types():
    seen = set()
    for name, setting in FILES.items():
        for field, right in leaves(get_config(setting, name)):
            kind = tuple if isinstance(right, list) else type(right)
            if (field, kind) in seen or field == "held_out":
                continue
            seen.add((field, kind))
            for i, wrong in enumerate(WRONG[kind]):
                if (field, wrong) not in RIGHT:
                    # Of each other file and kind of value another few values.
                    slow = name != "ddpm" and (i + len(seen)) % len(WRONG[kind]) > 0
                    yield case(name, field, wrong, name=f"{name}-{field}-{wrong!r}", slow=slow)


@pytest.mark.parametrize(("name", "field", "value"), list(wrong_types()))
def test_a_value_of_a_wrong_type_is_refused(name, field, value):
    with refused(f"{field.split('.')[-1]}|must be fields by name|unknown"):
        begin(with_field(small(name), field, value))


NEEDED = [field for field, _ in leaves(get_config()) if field not in ("held_out", "held_out.name", "held_out.split")]
DEFAULTED = ("data.split", "process.betas.", "loss.times.steps", "sample.grid.total", "sample.sampler.variance", "net.")


@pytest.mark.parametrize("field", NEEDED)
def test_a_field_that_is_missing_is_refused_or_has_its_default(field):
    config = with_field(small(), field, ...)
    if field.startswith(DEFAULTED) and not field.endswith(("name", "num_classes", "attention")):
        begin(config)
    else:
        with refused(field.split(".")[-1] + "|unknown"):
            begin(config)


IMPOSSIBLE = {
    "seed": [-1, 2**63, 10**30],
    "colour": ["red"],
    "data.name": ["", "none", "../digits"],
    "data.split": ["", "validation"],
    "data.colour": ["red"],
    "process": [
        {},
        {"name": "learned"},
        {"name": "interpolant"},
        {"name": "shifted", "process": "vp"},
        {"name": "shifted", "process": {"name": "vp"}, "factor": 0.0},
        {"name": "vp", "beta_max": 0.01},
        {"name": "ve", "sigma_min": 0.0},
        {"name": "ve", "sigma_max": 1e-3},
        {"name": "edm", "sigma_max": -1.0},
        {"name": "ncsn", "levels": 1},
        {"name": "cosine", "s": -1.0},
        {"name": "sigmoid", "tau": 0.0},
        {"name": "sigmoid", "start": 4.0},
    ],
    "process.betas": [
        [],
        [0.5, 1.0],
        [0.5, NAN],
        ["a"],
        [[0.5]],
        3,
        {"name": "linear", "beta_min": -1.0},
        {"name": "quadratic", "beta_min": -1.0},
        {"name": "cosine", "s": -1.0},
    ],
    "process.betas.steps": [0, -5, 10**12],
    "process.zero_terminal_snr": [3],
    "parameterization": [
        {"name": "edm", "sigma_data": 0.0},
        {"name": "edm", "sigma_data": -1.0},
        {"name": "x0", "unit_input": "no"},
    ],
    "net.channels": [0, -32, 33, 10**12],
    "net.multipliers": [(), (0,), (-1,), (1,) * 50, (10**9,), (1, 1.5)],
    "net.blocks": [0, -1, 10**9],
    "net.attention": [(3,), (0,), (-4,), (16,)],
    "net.dropout": [-0.1, 1.5],
    "net.num_classes": [-1, 3, 10**12],
    "net.vector": [-1, 10**12],
    "net.image": [-1, 10**12],
    "net.sequence": [-1, 10**12],
    "net.head_channels": [-1, 7, 10**12],
    "net.outputs": [1, 0],
    "net.groups": [0, -1, 64, 7],
    "net.heads": [0, -2, 7],
    "net.dtype": ["float16", "int8", ["float32"]],
    "net.attention_kernel": ["cuda", "cudnn"],
    "net.remat": ["some"],
    "net.fourier": [(2000,), (0.5,)],
    "net.parent": [None],
    "net.colour": ["red"],
    "loss": [
        {},
        {"name": "none"},
        {"weight": "simple", "times": "uniform"},
        {"name": "importance", "weight": {"name": "simple"}, "steps": 0},
        {"name": "hybrid", "levels": 1},
        {"name": "hybrid", "steps": 10**9},
    ],
    "loss.weight": [
        {},
        {"name": "min_snr", "gamma": -1.0},
        {"name": "edm", "sigma_data": 0.0},
        {"name": "p2", "k": -1.0},
        {"name": "elbo", "gamma": 1.0},
    ],
    "loss.times": [
        {},
        {"name": "uniform", "t_min": 1.0},
        {"name": "uniform", "t_min": -0.5},
        {"name": "log_normal", "std": -1.0},
        {"name": "uniform", "steps": 0},
    ],
    "optimizer.learning_rate": [-1.0, 10**40],
    "optimizer.warmup": [-1, 10**12],
    "optimizer.clip": [-1.0],
    "optimizer.b1": [1.5, -0.1, "0.9"],
    "optimizer.mu_dtype": ["float99", 3],
    "optimizer.nesterov": ["yes"],
    "optimizer.momentum": [0.9],
    "ema": [{"decay": [], "half_life": [], "power": []}, {"decay": [0.9]}],
    "ema.decay": [(-0.1,), (1.1,), (1.0,), (0.99999999, 0.9999999)],
    "ema.half_life": [(0,), (-1.0,)],
    "ema.power": [(0.0,), (0.3,), (1e-200,)],
    "ema.colour": ["red"],
    "train.colour": ["red"],
    "train.steps": [-1, 2**31],
    "train.batch_size": [0, -16, 10**12],
    "train.accumulate": [0, -1, 7],
    "train.log_every": [0, -5],
    "train.sample_every": [0],
    "train.checkpoint_every": [0],
    "train.keep": [0],
    "train.keep_every": [-1],
    "train.max_hours": [-1.0],
    "train.drop_condition": [-0.1, 1.5],
    "train.augment": [-0.1, 0.5],
    "train.readers": [0, 10**12],
    "train.held_out_examples": [-1],
    "train.guard": [
        {"patience": 0, "rollbacks": 3, "spike": 0.0},
        {"patience": 10, "rollbacks": -1, "spike": 0.0},
        {"patience": 10, "rollbacks": 3, "spike": 0.5},
        {"patience": 10},
    ],
    "train.guard.colour": ["red"],
    "train.cpu_devices": [0, -2, 10**12],
    "train.mesh": [
        {"data": 0, "fsdp": 1, "tensor": 1},
        {"data": -1, "fsdp": -1, "tensor": 1},
        {"data": 7, "fsdp": 1, "tensor": 1},
    ],
    "train.mesh.pipeline": [1],
    "train.steps_per_call": [-1, 7],
    "train.device_data": ["sometimes"],
    "debug.colour": ["red"],
    "sample.steps": [0, -1, 1001, 10**12],
    "sample.clip": [-1.0, "wide", NAN],
    "sample.colour": ["red"],
    "sample.sampler.name": ["ddimm"],
    "sample.sampler.colour": ["red"],
    "sample.sampler.variance": ["large", "learned_", [], 3],
    "sample.sampler": [
        {"name": "annealed_langevin", "repeats": 10**12},
        {"name": "ddim", "eta": 2.0},
        {"name": "ddim", "corrector": []},
    ],
    "sample.grid": [
        {},
        {"name": "trailing", "total": 0},
        {"name": "uniform", "t_max": 2.0},
        {"name": "karras", "rho": 0.0},
        {"name": "beta", "a": -1.0},
        {"name": "leading", "offset": -1},
        {"name": "table", "sigmas": []},
        {"name": "table", "sigmas": "a"},
    ],
    "sample.process": ["vp", 3, {"name": "learned"}],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        case(field, value, name=f"{field}-{value!r}", slow=i % 2 > 0)
        for field, values in IMPOSSIBLE.items()
        for i, value in enumerate(values)
    ],
)
def test_an_impossible_value_is_refused(field, value):
    with refused():
        begin(with_field(small(), field, value))


@pytest.mark.parametrize(
    "arguments",
    [
        "--config.train.log_every=0",
        "--config.net.multipliers=(1,'a')",
        *(
            pytest.param(argument, marks=pytest.mark.slow)
            for argument in (
                "--config.seed=-1",
                "--config.train.colour=red",
                "--config.net.multipliers=()",
                "--config.train.max_hours=nan",
                "--config.data.split=none",
                "--config=configs/nothing.py",
                "--config=README.md",
            )
        ),
    ],
)
def test_train_says_so(refuse, tmp_path, arguments):
    refuse("train.py", "--config=configs/ddpm.py", arguments, f"--workdir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


# -------------------------------------------------------------------------------------------------------------- runs


AVERAGE = "ema_0.998"


def tiny():
    config = small()
    config["process"]["betas"]["steps"] = config["loss"]["times"]["steps"] = config["sample"]["grid"]["total"] = 100
    config["sample"]["steps"] = 5
    return config


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run as train.py leaves it, with two checkpoints, and the averaged weights of the newest and of the older."""
    place, config = tmp_path_factory.mktemp("run"), tiny()
    parts = experiment.build(config, (8, 8, 1))
    params = jax.tree.map(lambda p: jax.device_put(np.ones(p.shape, p.dtype), p.sharding), parts.model.params)
    state = init_state(params, optax.identity(), parts.ema)
    run_record.write_record(place, run_record.Record(config, (8, 8, 1)))
    averages = []
    with Checkpoints(place / "checkpoints") as checkpoints:
        for step in (10, 20):
            state = state._replace(
                step=state.step * 0 + step, ema={AVERAGE: jax.tree.map(lambda x, by=step: x + by, params)}
            )
            checkpoints.save(state)
            averages.append(jax.tree.map(np.asarray, state.ema[AVERAGE]))
    return place, averages


def record(**changes):
    return json.loads(json.dumps({"format": 1, "config": tiny(), "shape": [8, 8, 1], **changes}))


def same(one, other):
    equal = jax.tree.map(np.array_equal, one, other)
    return jax.tree.structure(one) == jax.tree.structure(other) and all(jax.tree.leaves(equal))


def loaded(place, whole):
    """Load a run: its newest averaged weights or those before, and a grid that falls; or an InputError of one line."""
    model = jaxdiff.load(place)
    assert any(same(model.params, average) for average in whole[1])
    times = model.grid(model.steps)
    assert np.all(np.diff(times) < 0)
    assert model.shape == (8, 8, 1)
    return model


NO_RECORD = "is not the record of a run"
RECORDS = {
    "nothing": (b"", NO_RECORD),
    "half of it": (json.dumps(record()).encode()[:900], NO_RECORD),
    "zeros": (bytes(100), NO_RECORD),
    "no UTF-8": (b'{"format": "\xff"}', NO_RECORD),
    "a million brackets": (b"[" * 10**6, NO_RECORD),
    "a number of 10,000 digits": (b'{"format": 1' + b"0" * 10**4 + b"}", NO_RECORD),
    "a list": (b"[1, 2]", NO_RECORD),
    "a number": (b"1", NO_RECORD),
    "null": (b"null", NO_RECORD),
    "a text": (b'"run"', NO_RECORD),
    "no fields": (b"{}", NO_RECORD),
    **{
        f"without {k}": (json.dumps({n: v for n, v in record().items() if n != k}).encode(), NO_RECORD)
        for k in record()
    },
    **{
        f"format {f!r}": (json.dumps(record(format=f)).encode(), "of format")
        for f in (0, 2, -1, 1.5, "1", True, None, [1], {})
    },
    **{
        f"shape {s!r}": (json.dumps(record(shape=s)).encode(), "shape|record")
        for s in (
            [],
            [8, 8],
            [8, 8, 1, 1],
            [8, 8, 0],
            [-8, 8, 1],
            [8.0, 8, 1],
            "881",
            ["8", 8, 1],
            None,
            8,
            {"a": 8},
            [8, 8, True],
            [10**30, 8, 1],
            [2**20, 2**20, 3],
        )
    },
    "a shape of another network": (json.dumps(record(shape=[8, 8, 3])).encode(), "is of another network"),
    **{
        f"config {c!r}": (json.dumps(record(config=c)).encode(), "config")
        for c in (None, [], "text", 3, {}, {"net": {}}, {"process": []})
    },
    **{
        f"config without {k}": (json.dumps(record(config={n: v for n, v in tiny().items() if n != k})).encode(), k)
        for k in ("process", "parameterization", "net", "loss", "optimizer", "ema", "train", "sample")
    },
    **{
        f"{f} is {v!r}": (json.dumps(record(config=with_field(tiny(), f, v))).encode(), m)
        for f, v, m in [
            ("net.channels", 64, "is of another network"),
            ("net.channels", 32.0, "channels"),
            ("net.channels", "32", "channels"),
            ("net.blocks", 2, "is of another network"),
            ("net.name", None, "unknown net"),
            ("net.channels", 10**9, "channels"),
            ("net.num_classes", 10, "is of another network"),
            ("process.name", [], "unknown process"),
            ("process.betas", {}, "betas"),
            ("process.betas.steps", 10**15, "steps"),
            ("sample.steps", "5", "steps"),
            ("sample.grid", [], "grid"),
            ("sample.sampler", "ddim", "sampler"),
            ("sample.clip", None, "clip"),
            ("ema.decay", "x", "decay"),
            ("ema.decay", [], "at least one average"),
            ("ema.power", [1e-200], "power"),
            ("train", [], "train"),
            ("train.drop_condition", "often", "drop_condition"),
            ("net.vector", -1, "vector"),
            ("optimizer.clip", {}, "clip"),
            ("net.dtype", {}, "dtype"),
        ]
    },
}


@cases(RECORDS)
def test_a_damaged_record_is_refused(tmp_path, whole, case):
    content, message = case
    (tmp_path / "checkpoints").symlink_to(whole[0] / "checkpoints")
    (tmp_path / "config.json").write_bytes(content)
    with refused(message):
        loaded(tmp_path, whole)


def newest(name):
    return lambda place: place / "checkpoints" / "20" / name


def sealed_with(**names):
    """Checksums that name other files."""

    def change(place):
        record = place / "checkpoints" / "20" / CHECKSUMS
        record.write_text(json.dumps(json.loads(record.read_text()) | names.get("more", {})))

    return change


def rewrite(name, content):
    return lambda place: newest(name)(place).write_bytes(content)


def swapped(place):
    folders = [place / "checkpoints" / step for step in ("10", "20")]
    shutil.rmtree(folders[1] / AVERAGE)
    shutil.copytree(folders[0] / "rest", folders[1] / AVERAGE)
    seal(folders[1])


def only(place):
    shutil.rmtree(place / "checkpoints")


OLDER, NEWER = 0, 1
CHECKPOINTS = {
    "nothing changed": (lambda place: None, NEWER),
    "none": (only, "no checkpoint in"),
    "a file in their place": (lambda place: only(place) or (place / "checkpoints").write_text(""), "no checkpoint in"),
    "empty": (lambda place: only(place) or (place / "checkpoints").mkdir(), "no checkpoint in"),
    "the newest is an empty folder": (lambda place: (place / "checkpoints" / "30").mkdir(), NEWER),
    "the newest is a file": (lambda place: (place / "checkpoints" / "30").write_text(""), NEWER),
    "a name with a raised digit": (lambda place: (place / "checkpoints" / "3²").mkdir(), NEWER),
    "a name with zeros before": (lambda place: (place / "checkpoints" / "0030").mkdir(), NEWER),
    "a name of 200 digits": (lambda place: (place / "checkpoints" / ("9" * 200)).mkdir(), NEWER),
    "a name that is no number": (lambda place: (place / "checkpoints" / "30a").mkdir(), NEWER),
    "left half written": (
        lambda place: (place / "checkpoints" / "20").rename(place / "checkpoints" / "writing-20"),
        OLDER,
    ),
    "no checksums": (lambda place: newest(CHECKSUMS)(place).unlink(), OLDER),
    "checksums of nothing": (rewrite(CHECKSUMS, b"{}"), OLDER),
    "empty checksums": (rewrite(CHECKSUMS, b""), OLDER),
    "checksums that are a list": (rewrite(CHECKSUMS, f'["{AVERAGE}/a"]'.encode()), OLDER),
    "checksums that are a list of numbers": (rewrite(CHECKSUMS, b"[1, 2]"), OLDER),
    "checksums that are a text": (rewrite(CHECKSUMS, f'"{AVERAGE}/"'.encode()), OLDER),
    "checksums that are a number": (rewrite(CHECKSUMS, b"3"), OLDER),
    "checksums that are no UTF-8": (rewrite(CHECKSUMS, b"\xff\xfe"), OLDER),
    "checksums nested without end": (rewrite(CHECKSUMS, b"[" * 10**6), OLDER),
    "checksums of other numbers": (sealed_with(more={f"{AVERAGE}/d": 3}), OLDER),
    "checksums of an endless device": (
        sealed_with(more={f"{AVERAGE}/../../../../../../../../../../../dev/zero": "0"}),
        OLDER,
    ),
    "checksums of a name with a zero": (sealed_with(more={f"{AVERAGE}/a\0b": "0"}), OLDER),
    "checksums of a name too long": (sealed_with(more={f"{AVERAGE}/" + "x" * 5000: "0"}), OLDER),
    "no average": (lambda place: shutil.rmtree(newest(AVERAGE)(place)), OLDER),
    "no rest, which sampling does not read": (lambda place: shutil.rmtree(newest("rest")(place)), NEWER),
    "another tree, with matching sums": (swapped, "is of another network"),
    "both without checksums": (
        lambda place: [(place / "checkpoints" / s / CHECKSUMS).unlink() for s in ("10", "20")],
        "no intact one is left",
    ),
}


@cases(CHECKPOINTS, every=2)
def test_damaged_checkpoints(tmp_path, whole, case):
    change, expected = case
    shutil.copytree(whole[0], tmp_path / "run")
    change(tmp_path / "run")
    if isinstance(expected, str):
        with refused(expected):
            loaded(tmp_path / "run", whole)
    else:
        assert same(loaded(tmp_path / "run", whole).params, whole[1][expected])


@pytest.mark.parametrize("path", ["", "nothing", "a\0b", "x" * 300, "/dev/null"])
def test_what_is_no_run_is_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with refused("no run with a checkpoint"):
        jaxdiff.load(path)


# ---------------------------------------------------------------------------------------------------- sampling options


@pytest.fixture(scope="module")
def model():
    """Checks and traces, and computes nothing."""
    built = experiment.build(tiny(), (8, 8, 1)).model

    def draw(params, key, times, keep, given, traced, name, fixed, denoise, shape, inputs, task):
        hash((name, fixed, denoise, shape))
        return np.zeros(shape, np.float32), np.zeros((len(keep), *shape), np.float32)

    return replace(built, draw=draw)


ASKED = {
    "n": [0, -1, 2.5, "3", None, [], NAN, 10**30],
    "frames": [-1, 7, 1.5, "2", None, []],
    "steps": [0, -1, 101, 2.5, "5", [], NAN, 10**12],
    "sampler": ["ddimm", [], 3, {}],
    "condition": [Condition([0, 1]), Condition(image=0), [0, 1], 3, "cat", [[1], [1, 2]], {}, [0.5]],
    "eta": [-0.1, 1.1, NAN, "much", None, [], [0.5, 0.5], 1j, 10**400],
    "clip": [-1, NAN, "wide", [], None, {}],
    "threshold": [-0.1, 1.1, NAN, []],
    "temperature": [-1, NAN, "hot", []],
    "cache": [0, 1.5, "3x", None, []],
    "corrector": ["langevine", [], 3, {}],
    "order": [0, 5, 1.5, "2", []],
    "repeats": [0, 1.5, 10**12, math.inf],
    "guidance": [2.0, NAN, "much", None, []],
    "rescale": [-0.1, 1.1],
    "guide_low": [-1, NAN],
    "negative": [3, Condition(vector=np.zeros((2, 3))), {}],
    "start": [-0.1, 0, 1.1, NAN, "late", [0.5, 0.5], {}],
    "variance": ["large", [], 3, {}],
    "colour": ["red"],
}
TAKES = {
    "n": "ddim",
    "order": "deis",
    "repeats": "annealed_langevin",
    "variance": "ancestral",
    "temperature": "ancestral",
}


@pytest.mark.parametrize(("name", "value"), [pytest.param(k, v, id=f"{k}-{v!r}") for k in ASKED for v in ASKED[k]])
def test_what_cannot_be_sampled_is_refused(model, name, value):
    asked = {"n": 2, "frames": 2, "steps": 5, "sampler": TAKES.get(name, "ddim"), name: value}
    with refused():
        model.trajectory(jax.random.key(0), **asked)


def test_every_argument_of_the_network_has_a_range():
    for field in dataclasses.fields(UNet):
        if field.type in (int, float, Sequence[int]):
            assert field.name in RANGES["net"]["unet"], field.name


def test_a_whole_number_may_be_written_as_a_real_one(model):
    model = replace(model, draw=experiment.build(tiny(), (8, 8, 1)).model.draw)
    draw = lambda order: jax.eval_shape(lambda p: model.draw(p, *draw_with(order)), model.params)  # noqa: E731

    def draw_with(order):
        name, fixed, traced = model._options("deis", {"order": order})
        times = model.grid(5)
        keep = np.zeros(0, np.int32)
        return jax.random.key(0), times, keep, (None, None), traced, name, fixed, False, (2, 8, 8, 1)

    assert draw(2.0)[0].shape == draw(2)[0].shape == (2, 8, 8, 1)


# ------------------------------------------------------------------------------------------------------------ fuzzing


def fuzzed(few, many=2000):
    """A property, tried with a few examples, and with many where the slow tests are run."""

    def wrap(test):
        def settle(count):
            return settings(
                max_examples=count,
                derandomize=True,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )(test)

        def run_few(self):
            settle(few)()

        def run_many(self):
            settle(many)()

        run_many = pytest.mark.slow(run_many)
        return type(test.__name__, (), {"test_few": run_few, "test_many": run_many})

    return wrap


def damaged(draw, bytes_):
    """Bytes cut short, flipped, overwritten, put in, taken out."""
    content = bytearray(bytes_)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        some = draw(st.binary(min_size=1, max_size=8))
        match draw(st.sampled_from(["cut", "flip", "over", "in", "out"])):
            case "cut":
                del content[place:]
            case "flip" if content:
                content[place] ^= 1 << draw(st.integers(0, 7))
            case "over":
                content[place : place + len(some)] = some
            case "in":
                content[place:place] = some
            case _:
                del content[place : place + len(some)]
    return bytes(content)


@contextmanager
def a_file(name, bytes_):
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / name).write_bytes(bytes_)
        yield Path(place)


def sound(read):
    """What is read is a batch of images in [-1, 1], or there is an InputError of one line."""
    try:
        source = read()
        x_0 = source.take(np.arange(min(source.size, 3))).x_0
    except InputError as error:
        one_line(error)
        return
    assert x_0.shape[1:] == source.shape
    assert x_0.dtype == np.float32
    assert np.all(abs(x_0) <= 1 + 1e-6)


SEEDS = {
    **{f"a.{kind}": content(Image.fromarray(NOISE[:12, :12]), kind) for kind in SAVED},
    "b.png": turned(6),
    "b.gif": frames("gif"),
    "b.webp": frames("webp"),
    "b.tif": content(Image.fromarray(NOISE[:12, :12]), "tif", compression="tiff_lzw"),
    "b.jpg": content(Image.fromarray(NOISE[:12, :12]), "jpg", progressive=True),
}
ARRAY_SEEDS = {
    "a.npy": WHOLE,
    "b.npy": npy(UNIT),
    "a.npz": ZIPPED,
    "b.npz": npz(zipfile.ZIP_STORED, **{"x.npy": WHOLE}),
}


@fuzzed(50)
@given(st.data())
def TestPictures(data):
    name = data.draw(st.sampled_from(sorted(SEEDS)))
    with a_file(name, damaged(data.draw, SEEDS[name])) as place:
        sound(lambda: folder(str(place), size=8))


@fuzzed(80)
@given(st.data())
def TestArrays(data):
    name = data.draw(st.sampled_from(sorted(ARRAY_SEEDS)))
    options = {"key": "x", "label_key": "y"} if name == "a.npz" and data.draw(st.booleans()) else {}
    with a_file(name, damaged(data.draw, ARRAY_SEEDS[name])) as place:
        sound(lambda: arrays(str(place / name), **options))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@fuzzed(80)
@given(st.data())
def TestRecords(data):
    whole = record()
    if data.draw(st.booleans()):
        field = data.draw(st.sampled_from(["format", "shape", "config"]))
        bytes_ = json.dumps(whole | {field: data.draw(JSON)}).encode()
    else:
        bytes_ = damaged(data.draw, json.dumps(whole).encode())
    with a_file("config.json", bytes_) as place:
        try:
            read = run_record.read_record(place)
        except InputError as error:
            one_line(error)
        else:
            assert isinstance(read.config, dict)
            assert len(read.shape) == 3


CONFIG_FIELDS = [field for field, _ in leaves(tiny()) if not field.startswith("held_out")]


@fuzzed(12, 500)
@given(st.data())
def TestConfigs(data):
    """Any value at any field: an experiment that begins, or one line that says what is wrong."""
    config = with_field(tiny(), data.draw(st.sampled_from(CONFIG_FIELDS)), data.draw(JSON))
    try:
        begin(json.loads(json.dumps(config)))
    except InputError as error:
        one_line(error)


def changed_run(data, whole, place):
    """A copy of the run with a file damaged or deleted, or a folder."""
    shutil.copytree(whole[0], place)
    paths = sorted(place.rglob("*"))
    path = data.draw(st.sampled_from(paths))
    if path.is_dir():
        shutil.rmtree(path)
    elif data.draw(st.integers(0, 4)) == 0:
        path.unlink()
    else:
        path.write_bytes(damaged(data.draw, path.read_bytes()))


def load_any(data, whole):
    with tempfile.TemporaryDirectory() as place:
        changed_run(data, whole, Path(place) / "run")
        try:
            model = jaxdiff.load(Path(place) / "run")
        except InputError as error:
            one_line(error)
            return
        assert any(same(model.params, average) for average in whole[1])
        assert np.all(np.diff(model.grid(model.steps)) < 0)


@pytest.mark.parametrize("count", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_a_run_with_any_damage_loads_or_is_refused(whole, count):
    @settings(max_examples=count, derandomize=True, deadline=None, database=None)
    @given(st.data())
    def attempt(data):
        load_any(data, whole)

    attempt()


@pytest.mark.parametrize("count", [80, pytest.param(2000, marks=pytest.mark.slow)])
def test_any_options_are_taken_or_refused(model, count):
    @settings(max_examples=count, derandomize=True, deadline=None, database=None)
    @given(st.sampled_from(sorted(ASKED)), JSON | st.integers(-3, 3) | st.floats(-1, 2))
    def attempt(name, value):
        asked = {"n": 2, "frames": 2, "steps": 5, "sampler": TAKES.get(name, "ddim"), name: value}
        if name == "n" and type(value) is int and value > 100:
            return
        try:
            model.trajectory(jax.random.key(0), **asked)
        except InputError as error:
            one_line(error)

    attempt()
