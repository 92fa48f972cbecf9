"""Arrays of every type, shape and header, damaged and hostile: their values, or one line."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jaxdiff.data import numpy_file
from jaxdiff.modalities.images import arrays
from tests.helpers.array_files import LABELS, PIXELS, UNIT, WHOLE, ZIPPED, classes_of, header, npy, npz, patched, savez
from tests.helpers.cases import cases, refused

NAN = float("nan")


class Trap:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


BIG = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"
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
    "a header of 4 GB": (header("", b"\x02\x00", length=2**32 - 1), {}, f"{CANNOT_ARRAY}.*header takes 4,294,967,295"),
    "a header of 4 GB in a zip": (
        npz(**{"x.npy": header("", b"\x03\x00", length=2**32 - 1)}),
        {},
        f"{CANNOT_ARRAY}.*header takes 4,294,967,295",
    ),
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
    "a shape larger than any disk": (header(BIG.format("|u1", (2**40, 2**20, 3))), {}, f"{CANNOT_ARRAY}.*promises"),
    "a shape beyond integers": (header(BIG.format("|u1", (2**70, 4, 5))), {}, CANNOT_ARRAY),
    "a shape in a zip larger than memory": (
        npz(**{"x.npy": header(BIG.format("|u1", (2**40, 2**10, 3)))}),
        {},
        CANNOT_ARRAY,
    ),
    "a shape in a zip larger than its file": (
        npz(**{"x.npy": header(BIG.format("|u1", (2**20, 2**9, 3)))}),
        {},
        f"{CANNOT_ARRAY}.*promises an array of shape .1048576, 512, 3., 1,610,612,736 bytes, and 120 are there",
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
            np.testing.assert_array_equal(batch.condition["label"], LABELS[[5, 0, 3]])
            assert classes_of(source) == 3
    assert os.listdir(tmp_path) == [file.name]


@pytest.mark.parametrize("part", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("whole", [WHOLE, npy(UNIT), ZIPPED], ids=["npy", "float", "npz"])
def test_an_array_cut_short_is_refused(tmp_path, whole, part):
    file = tmp_path / ("x.npz" if whole is ZIPPED else "x.npy")
    file.write_bytes(whole[: int(part * len(whole))])
    with refused(CANNOT_ARRAY):
        arrays(str(file), key="x" if whole is ZIPPED else "")


def test_a_zip_bomb_is_refused_by_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(numpy_file, "MEMORY", 10**6)
    (tmp_path / "x.npz").write_bytes(savez(x=np.zeros((2000, 32, 32), np.uint8)))
    assert (tmp_path / "x.npz").stat().st_size < 10**4
    with refused("x.npz.*2.0 MB.*memory.*npy"):
        arrays(str(tmp_path / "x.npz"))


@pytest.mark.parametrize("path", ["", "x.npy", "no/such.npz", "a\0.npy", "x" * 300 + ".npy", "folder.npy", "loop.npz"])
def test_what_is_no_file_is_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    Path("folder.npy").mkdir()
    Path("loop.npz").symlink_to("loop.npz")
    with refused("is not .* .npy or .npz file"):
        arrays(path)


def test_a_read_only_memory_map_serves_as_images(tmp_path):
    np.save(tmp_path / "x.npy", UNIT)
    batch = arrays(str(tmp_path / "x.npy")).take(np.arange(6))
    batch.x_0[:] = 0  # a copy
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), UNIT)
