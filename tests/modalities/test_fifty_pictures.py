"""Pictures as cameras, browsers and paint programs write them, against pixels that no library decoded.

PNG, BMP and TIFF files are written here, byte by byte, from the numbers that they are to hold; what a viewer shows of
them is worked out in NumPy. Of the formats that only Pillow writes, what went in is compared with what comes out.
"""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxdiff.errors import InputError
from jaxdiff.modalities.images import folder
from jaxdiff.modalities.images.masks import read_mask

H, W = 6, 9
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (H, W, 3), np.uint8)
ALPHA = RNG.choice(np.uint8([0, 128, 255]), (H, W))
DEEP = RNG.integers(0, 2**16, (H, W, 3)).astype(np.uint16)
PALETTE = RNG.integers(0, 256, (16, 3), np.uint8)
PLACES = RNG.integers(0, 16, (H, W), np.uint8)
SMOOTH = np.stack(np.broadcast_arrays(*np.ogrid[40 : 200 : H * 1j, 30 : 220 : W * 1j], 120.0), -1).astype(np.uint8)


def on_white(color, alpha):
    """A color with an alpha, both of 8 bits, seen on white paper."""
    share = alpha[..., None] / 255
    return color * share + 255 * (1 - share)


def packed(values, bits):
    """Rows of whole numbers of so many bits, each row filled up to a byte; 16 bits with the high byte first."""
    if bits == 16:
        return [row.astype(">u2").tobytes() for row in values.reshape(len(values), -1)]
    rows = np.unpackbits(values.reshape(len(values), -1, 1).astype(np.uint8), axis=2)[:, :, 8 - bits :]
    return [bytes(row) for row in np.packbits(rows.reshape(len(values), -1), axis=1)]


def png(values, bits, color, *chunks):
    """PNG of a color type, with rows filtered in the five ways in turn."""
    rows, unit = packed(values, bits), max(1, bits * (values.size // (H * W)) // 8)
    data, above = b"", bytes(len(rows[0]))
    for y, row in enumerate(rows):
        kind = y % 5
        left, corner = bytes(unit) + row[:-unit], bytes(unit) + above[:-unit]
        data += bytes([kind]) + bytes(
            (x - (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]) % 256
            for x, a, b, c in zip(row, left, above, corner, strict=True)
        )
        above = row
    size = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, color, 0, 0, 0)
    every = [(b"IHDR", size), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in every
    )


def paeth(a, b, c):
    """The one of left, above and corner that is nearest to left + above - corner."""
    return min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]


def bmp(values, bits, palette=b"", flip=True):
    """BMP, whose rows go upward, in blue, green, red, each filled up to 4 bytes."""
    rows = packed(values[..., ::-1] if values.ndim == 3 else values, bits if values.ndim == 2 else 8)
    rows = [row + bytes(-len(row) % 4) for row in (rows[::-1] if flip else rows)]
    start, data = 54 + len(palette), b"".join(rows)
    size = struct.pack("<IiiHHIIiiII", 40, W, H if flip else -H, 1, bits, 0, len(data), 0, 0, len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + size + palette + data


def tiff(values, bits, meaning, order="<", orientation=1, planes=False, extra=(), colors=None):
    """Uncompressed TIFF, in one strip or one a plane."""
    samples = values.shape[2] if values.ndim == 3 else 1
    parts = [values[..., i] for i in range(samples)] if planes else [values]
    join = lambda part: part.astype(f"{order}u2").tobytes() if bits == 16 else b"".join(packed(part, bits))
    strips = [join(part) for part in parts]
    height, width = values.shape[:2]
    tags = {256: (3, [width]), 257: (3, [height]), 258: (3, [bits] * samples), 259: (3, [1]), 262: (3, [meaning])}
    tags |= {274: (3, [orientation]), 277: (3, [samples]), 278: (3, [height]), 284: (3, [1 + planes])}
    tags |= {273: (4, []), 279: (4, [len(s) for s in strips])}
    if extra:
        tags[338] = (3, list(extra))
    if colors is not None:
        tags[320] = (3, (colors.T.astype(int) * 257).ravel().tolist())
    body, where = b"", 8 + 2 + 12 * len(tags) + 4
    tags[273] = (4, [where + sum(map(len, strips[:i])) for i in range(len(strips))])
    body = b"".join(strips)
    entries = b""
    for tag, (kind, numbers) in sorted(tags.items()):
        data = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if len(data) > 4:
            body += bytes(len(body) % 2)
            data, body = struct.pack(f"{order}I", where + len(body)), body + data
        entries += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + data.ljust(4, b"\0")
    first = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return first + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + body


def exif(orientation):
    """What a camera adds: one tag."""
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 274, 3, 1, orientation, 0) + bytes(4)


TURNS = {  # by EXIF orientation: from what is stored to what is seen
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x.swapaxes(0, 1)[::-1],
}
STORED = {  # what is stored of an upright picture: the inverse, which is itself but for the quarter turns
    **TURNS,
    6: TURNS[8],
    8: TURNS[6],
}


def by_pillow(array, kind, mode=None, **options):
    file = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(array)) if not isinstance(array, Image.Image) else array
    (picture.convert(mode) if mode else picture).save(file, kind, **options)
    return file.getvalue()


def animation(kind, **options):
    return by_pillow(RGB, kind, save_all=True, append_images=[Image.new("RGB", (W, H), "red")], **options)


GREY = RGB[..., 0]
GREYS = {bits: GREY >> (8 - bits) for bits in (1, 2, 4, 8)}
SHOWN = {bits: GREYS[bits] * (255 / (2**bits - 1)) for bits in GREYS}
PLTE = (b"PLTE", PALETTE.tobytes())
CMYK = RNG.integers(0, 256, (H, W, 4), np.uint8)
CLEAR = np.where(np.arange(16) == 3, 0, 255)[PLACES]
PICTURES = {  # the file's name, its bytes, what is seen, and how far that may be off, in 255ths
    **{f"PNG grey {b}": ("a.png", png(GREYS[b], b, 0), SHOWN[b], 0.5) for b in GREYS},
    "PNG grey 16": ("a.png", png(DEEP[..., 0], 16, 0), DEEP[..., 0] / 257, 1),
    **{
        f"PNG palette {b}": ("a.png", png(PLACES.astype(int) % 2**b, b, 3, PLTE), PALETTE[PLACES.astype(int) % 2**b], 0)
        for b in (1, 2, 4, 8)
    },
    "PNG color 8": ("a.png", png(RGB, 8, 2), RGB, 0),
    "PNG color 16": ("a.png", png(DEEP, 16, 2), DEEP / 257, 1),
    "PNG grey and alpha 8": (
        "a.png",
        png(np.stack([GREY, ALPHA], -1), 8, 4),
        on_white(GREY[..., None], ALPHA)[..., 0],
        1,
    ),
    "PNG grey and alpha 16": (
        "a.png",
        png(np.stack([DEEP[..., 0], ALPHA * np.uint16(257)], -1), 16, 4),
        on_white(DEEP[..., :1] / 257, ALPHA)[..., 0],
        1.5,
    ),
    "PNG color and alpha 8": ("a.png", png(np.dstack([RGB, ALPHA]), 8, 6), on_white(RGB, ALPHA), 1),
    "PNG color and alpha 16": (
        "a.png",
        png(np.dstack([DEEP, ALPHA * np.uint16(257)]), 16, 6),
        on_white(DEEP / 257, ALPHA),
        1.5,
    ),
    "PNG palette with a clear place": (
        "a.png",
        png(PLACES, 4, 3, PLTE, (b"tRNS", b"\xff\xff\xff\0")),
        on_white(PALETTE[PLACES], CLEAR),
        0,
    ),
    "PNG grey with a clear value": (
        "a.png",
        png(GREYS[4], 4, 0, (b"tRNS", b"\0\x05")),
        np.where(GREYS[4] == 5, 255, SHOWN[4]),
        0.5,
    ),
    "PNG 16 bits with a clear value": (
        "a.png",
        png(DEEP[..., 0], 16, 0, (b"tRNS", struct.pack(">H", int(DEEP[2, 3, 0])))),
        np.where(DEEP[..., 0] == DEEP[2, 3, 0], 255, DEEP[..., 0] / 257),
        1,
    ),
    "PNG color with a clear value": (
        "a.png",
        png(RGB, 8, 2, (b"tRNS", struct.pack(">HHH", *map(int, RGB[1, 1])))),
        np.where((RGB[1, 1] == RGB).all(-1, keepdims=True), 255, RGB),
        0,
    ),
    "PNG animated": ("a.png", animation("PNG"), RGB, 0),
    **{f"PNG EXIF {turn}": ("a.png", png(STORED[turn](RGB), 8, 2, (b"eXIf", exif(turn))), RGB, 0) for turn in TURNS},
    "BMP 1": ("a.bmp", bmp(GREYS[1], 1, b"\0\0\0\0\xff\xff\xff\0"), SHOWN[1], 0),
    "BMP 4": ("a.bmp", bmp(PLACES, 4, b"".join(bytes(c[::-1]) + b"\0" for c in PALETTE)), PALETTE[PLACES], 0),
    "BMP 8": ("a.bmp", bmp(PLACES, 8, b"".join(bytes(c[::-1]) + b"\0" for c in PALETTE)), PALETTE[PLACES], 0),
    "BMP 24": ("a.bmp", bmp(RGB, 24), RGB, 0),
    "BMP 24 downward": ("a.bmp", bmp(RGB, 24, flip=False), RGB, 0),
    "TIFF 1": ("a.tif", tiff(GREYS[1], 1, 1), SHOWN[1], 0),
    "TIFF 1, 0 is white": ("a.tif", tiff(GREYS[1], 1, 0), 255 - SHOWN[1], 0),
    "TIFF grey": ("a.tiff", tiff(GREY, 8, 1), GREY, 0),
    "TIFF grey, 0 is white": ("a.tif", tiff(GREY, 8, 0), 255 - GREY, 0),
    "TIFF 16": ("a.tif", tiff(DEEP[..., 0], 16, 1), DEEP[..., 0] / 257, 1),
    "TIFF 16, high byte first": ("a.tif", tiff(DEEP[..., 0], 16, 1, ">"), DEEP[..., 0] / 257, 1),
    "TIFF color": ("a.tif", tiff(RGB, 8, 2), RGB, 0),
    "TIFF color, high byte first": ("a.tif", tiff(RGB, 8, 2, ">"), RGB, 0),
    "TIFF color in planes": ("a.tif", tiff(RGB, 8, 2, planes=True), RGB, 0),
    "TIFF color 16": ("a.tif", tiff(DEEP, 16, 2), DEEP / 257, 1),
    "TIFF color and alpha": ("a.tif", tiff(np.dstack([RGB, ALPHA]), 8, 2, extra=[2]), on_white(RGB, ALPHA), 1),
    "TIFF palette": (
        "a.tif",
        tiff(PLACES, 8, 3, colors=np.vstack([PALETTE, np.zeros((240, 3), np.uint8)])),
        PALETTE[PLACES],
        0,
    ),
    "TIFF CMYK": (
        "a.tif",
        tiff(CMYK, 8, 5),
        (255 - CMYK[..., :3].astype(float)) * (255 - CMYK[..., 3:].astype(float)) / 255,
        1,
    ),
    **{f"TIFF EXIF {turn}": ("a.tif", tiff(STORED[turn](RGB), 8, 2, orientation=turn), RGB, 0) for turn in (3, 6, 8)},
    "JPEG": ("a.jpg", by_pillow(SMOOTH, "JPEG", quality=100, subsampling=0), SMOOTH, 3),
    "JPEG progressive": ("a.jpeg", by_pillow(SMOOTH, "JPEG", quality=100, subsampling=0, progressive=True), SMOOTH, 3),
    "JPEG of a browser": ("a.jfif", by_pillow(SMOOTH, "JPEG", quality=100, subsampling=0), SMOOTH, 3),
    "JPEG grey": ("a.jpg", by_pillow(SMOOTH[..., 0], "JPEG", quality=100), SMOOTH[..., 0], 3),
    "JPEG CMYK": ("a.jpg", by_pillow(SMOOTH, "JPEG", "CMYK", quality=100, subsampling=0), SMOOTH, 4),
    **{
        f"JPEG EXIF {turn}": (
            "a.jpg",
            by_pillow(
                np.ascontiguousarray(STORED[turn](SMOOTH)),
                "JPEG",
                quality=100,
                subsampling=0,
                exif=b"Exif\0\0" + exif(turn),
            ),
            SMOOTH,
            3,
        )
        for turn in (3, 6, 8)
    },
    "WebP": ("a.webp", by_pillow(RGB, "WEBP", lossless=True), RGB, 0),
    "WebP lossy": ("a.webp", by_pillow(SMOOTH, "WEBP", quality=100), SMOOTH, 20),
    "WebP and alpha": (
        "a.webp",
        by_pillow(np.dstack([RGB, ALPHA]), "WEBP", lossless=True, exact=True),
        on_white(RGB, ALPHA),
        1,
    ),
    "WebP animated": ("a.webp", animation("WEBP", lossless=True), RGB, 0),
    "GIF": ("a.gif", by_pillow(GREY, "GIF"), GREY, 0),
    "GIF animated": ("a.gif", by_pillow(GREY, "GIF", save_all=True, append_images=[Image.new("L", (W, H))]), GREY, 0),
    "GIF with a clear place": (
        "a.gif",
        by_pillow(Image.fromarray(PLACES, "L"), "GIF", transparency=3),
        np.where(PLACES == 3, 255, PLACES),
        0,
    ),
}


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_is_what_is_seen(tmp_path, kind, channels):
    name, content, seen, off = PICTURES[kind]
    (tmp_path / name).write_bytes(content)
    (x_0,) = folder(str(tmp_path), H, W, channels).take(np.array([0])).x_0
    seen = np.broadcast_to(seen[..., None] if np.ndim(seen) == 2 else seen, (H, W, 3)).astype(float)
    if channels == 1:  # the luma of ITU-R 601
        seen, off = seen @ np.array([[0.299], [0.587], [0.114]]), off + 1
    np.testing.assert_allclose((x_0 + 1) * 127.5, seen, atol=off + 1e-4)


def test_there_are_fifty_and_all_differ():
    assert len(PICTURES) >= 50
    assert len({content for _, content, _, _ in PICTURES.values()}) == len(PICTURES) - 1  # of a .jfif


KNOWN = RNG.random((H, W)) < 0.5
ON, OPAQUE = np.uint8(KNOWN), np.full((H, W), 255, np.uint8)
EDGES = np.uint8([[0, 0, 0], [255, 255, 255]])
ERASED = np.dstack([RGB // 2 + 9, OPAQUE * 0])  # a color of no meaning under what is transparent
MASKS = {
    **{f"PNG grey {b}": png(ON * np.uint8(2**b - 1), b, 0) for b in (1, 2, 4, 8)},
    "PNG grey 16": png(ON * np.uint16(65535), 16, 0),
    **{f"PNG palette {b}": png(ON, b, 3, (b"PLTE", EDGES.tobytes())) for b in (1, 2, 4, 8)},
    "PNG palette with a clear place": png(
        ON, 8, 3, (b"PLTE", EDGES[::-1].tobytes()[:3] + b"\xff" * 3), (b"tRNS", b"\0")
    ),
    "PNG grey with a clear value": png(ON * np.uint8(3) + np.uint8(12), 4, 0, (b"tRNS", b"\0\x0c")),
    "PNG color 16": png(ON[..., None] * np.full(3, 65535, np.uint16), 16, 2),
    "PNG grey and alpha": png(np.dstack([OPAQUE, 255 * ON]), 8, 4),
    "PNG grey and alpha 16": png(np.dstack([OPAQUE, 255 * ON]) * np.uint16(257), 16, 4),
    "PNG color and alpha": png(np.where(KNOWN[..., None], OPAQUE[..., None], ERASED), 8, 6),
    "PNG EXIF 6": png(STORED[6](255 * ON), 8, 0, (b"eXIf", exif(6))),
    "BMP 1": bmp(ON, 1, b"\0\0\0\0\xff\xff\xff\0"),
    "BMP 8": bmp(ON, 8, b"\0\0\0\0\xff\xff\xff\0" + bytes(4)),
    "BMP 24": bmp(np.repeat(255 * ON[..., None], 3, -1), 24),
    "TIFF 1, 0 is white": tiff(1 - ON, 1, 0),
    "TIFF 16, high byte first": tiff(ON * np.uint16(65535), 16, 1, ">"),
    "TIFF and alpha": tiff(np.where(KNOWN[..., None], OPAQUE[..., None], ERASED), 8, 2, extra=[2]),
    "TIFF CMYK": tiff(np.dstack([0 * ON, 0 * ON, 0 * ON, 255 - 255 * ON]), 8, 5),
    "WebP": by_pillow(255 * ON, "WEBP", "RGB", lossless=True),
    "GIF": by_pillow(255 * ON, "GIF"),
}


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_is_what_is_seen(tmp_path, kind):
    (tmp_path / "mask").write_bytes(MASKS[kind])
    np.testing.assert_array_equal(read_mask(str(tmp_path / "mask"), (H, W, 3))[0, ..., 0], KNOWN)


def test_a_bmp_that_pillow_reads_wrong_is_refused(tmp_path):
    (tmp_path / "a.bmp").write_bytes(bmp(ON, 8, b"\0\0\0\0\xff\xff\xff\0"))
    with pytest.raises(InputError, match=r"a.bmp' cannot be read .*in more than one bit, .*: save it as PNG"):
        folder(str(tmp_path), H, W)
