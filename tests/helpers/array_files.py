"""Files of arrays, whole and patched."""

import io
import struct
import zipfile

import numpy as np

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 5), np.uint8)
UNIT = PIXELS / 127.5 - 1
LABELS = np.array([0, 1, 2, 0, 1, 2])


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


WHOLE, ZIPPED = npy(PIXELS), savez(x=PIXELS, y=LABELS)


def classes_of(source):
    return source.conditions["label"].values if source.conditions else 0
