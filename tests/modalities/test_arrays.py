import math
import os
import subprocess
import sys

import numpy as np
import pytest

from jaxdiff.data import numpy_file
from jaxdiff.errors import InputError
from jaxdiff.modalities.images import arrays, digits
from tests.helpers.array_files import classes_of

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5), np.uint8)


def test_digits_are_scikit_learns():
    source = digits()
    assert (source.size, source.spec.shape, classes_of(source), source.flip) == (1797, (8, 8, 1), 10, False)
    batch = source.take(np.array([0, 1796]))
    assert batch.x_0.dtype == np.float32
    assert batch.x_0.min() == -1
    assert batch.x_0.max() == 1
    np.testing.assert_array_equal(batch.x_0[0, 0, :, 0] * 8 + 8, [0, 0, 5, 13, 9, 1, 0, 0])
    np.testing.assert_array_equal(batch.condition["label"], [0, 8])


def test_npy_of_bytes(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    source = arrays(str(tmp_path / "a.npy"))
    assert (source.size, source.spec.shape, classes_of(source)) == (6, (4, 5, 1), 0)
    batch = source.take(np.array([5, 0]))
    np.testing.assert_array_equal(np.round((batch.x_0[..., 0] + 1) * 127.5), IMAGES[[5, 0]])
    assert batch.condition is None


def test_npz_with_labels_and_floats(tmp_path):
    np.savez(tmp_path / "a.npz", x=IMAGES[..., None] / 255, y=np.array([0, 1, 2, 0, 1, 2]))
    source = arrays(str(tmp_path / "a.npz"), key="x", label_key="y", low=0.0, high=1.0)
    assert classes_of(source) == 3
    batch = source.take(np.array([2]))
    np.testing.assert_allclose(batch.x_0[0, ..., 0], IMAGES[2] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(batch.condition["label"], [2])


def test_bytes_have_the_range_that_is_said(tmp_path):
    np.save(tmp_path / "a.npy", np.uint8(IMAGES > 99))
    source = arrays(str(tmp_path / "a.npy"), low=0.0, high=1.0)
    np.testing.assert_array_equal(source.take(np.arange(6)).x_0[..., 0], 2.0 * (IMAGES > 99) - 1)
    assert source.spec.levels == 2
    np.save(tmp_path / "a.npy", IMAGES)
    with pytest.raises(InputError, match=r"outside the range 0.0 to 1.0"):
        arrays(str(tmp_path / "a.npy"), low=0.0, high=1.0)


def test_names_of_classes(tmp_path):
    path = str(tmp_path / "a.npz")
    np.savez(path, x=IMAGES, y=np.array([0, 1, 2, 0, 1, 2]))
    assert arrays(path, "x", "y", classes="cat, dog,bird").spec.details["classes"] == ["cat", "dog", "bird"]
    assert "classes" not in arrays(path, "x", "y").spec.details
    with pytest.raises(InputError, match="data.classes has 2 names: .* has 3 classes by its data.label_key"):
        arrays(path, "x", "y", classes="cat,dog")


def test_bad_files_are_refused(tmp_path):
    path = str(tmp_path / "a.npz")
    with pytest.raises(InputError, match="is not there: give the path of a .npy or .npz file"):
        arrays(path)
    np.savez(path, images=IMAGES, labels=np.zeros(6))
    with pytest.raises(InputError, match="unknown array .*allowed are images, labels"):
        arrays(path)
    with pytest.raises(InputError, match="did you mean 'images'"):
        arrays(path, key="image")
    with pytest.raises(InputError, match="one label, an integer"):
        arrays(path, key="images", label_key="labels")
    for content, message in [
        (IMAGES[0], r"shape \(4, 5\)"),
        (IMAGES.astype(np.int64), "holds int64"),
        (IMAGES / 255 * 3, "outside the range -1.0 to 1.0"),
        (np.full((1, 2, 2), np.nan), "outside the range"),
        (np.array([{"a": 1}], object), "plain numbers"),
    ]:
        np.save(tmp_path / "b.npy", content)
        with pytest.raises(InputError, match=message):
            arrays(str(tmp_path / "b.npy"))
    (tmp_path / "c.npy").write_bytes(b"not an array")
    (tmp_path / "d.npz").write_bytes(b"PK not a zip")
    for name in ("c.npy", "d.npz"):
        with pytest.raises(InputError, match="cannot be read"):
            arrays(str(tmp_path / name))


def test_what_some_systems_lack_is_not_needed_to_import():
    lacking = "del os.sysconf, os.getuid, os.mkfifo"
    code = f"import os, sklearn.datasets, orbax.checkpoint; {lacking}; import jaxdiff; jaxdiff.load"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("answer", [-1, ValueError("unrecognized configuration name"), OSError("not supported")])
def test_a_system_that_does_not_know_its_memory_refuses_no_array(monkeypatch, answer):
    def sysconf(name):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(os, "sysconf", sysconf)
    monkeypatch.setattr(numpy_file, "LIMITS", ())
    assert numpy_file._memory() == math.inf


HINTS = {  # what is stored, how it is read, and what is said
    "from 0 to 1, of -1 to 1": (IMAGES / 255, {}, "no value is below 0, of -1.0 to 1.0: if 0 is black, set data.low=0"),
    "from 0 to 1, of 0 to 1": (IMAGES / 255, {"low": 0.0}, None),
    "from -1 to 1": (IMAGES / 127.5 - 1, {}, None),
    "from 0 to 1, of 0 to 255": (IMAGES / 255, {"low": 0.0, "high": 255.0}, "no value is above 1, of 255"),
    "bytes of 0 and 1": (np.uint8(IMAGES > 99), {}, "no value is above 1, of 255: if 1 is white, multiply them by 255"),
    "bytes": (IMAGES, {}, None),
}


@pytest.mark.parametrize("kind", HINTS)
def test_pixels_that_use_little_of_their_range_are_said_once(tmp_path, caplog, kind):
    content, options, said = HINTS[kind]
    np.save(tmp_path / "a.npy", content)
    arrays(str(tmp_path / "a.npy"), **options).take(np.arange(3))
    assert len(caplog.messages) == (said is not None)
    assert said is None or said in caplog.messages[0]


@pytest.mark.parametrize(
    ("shape", "refused"),
    [((9, 3, 8, 8), True), ((9, 1, 8, 6), True), ((9, 4, 8, 8), True), ((9, 3, 8, 4), False), ((9, 8, 8, 3), False)],
)
def test_channels_that_come_first_are_refused_with_what_to_do(tmp_path, shape, refused):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    if not refused:
        assert arrays(str(tmp_path / "a.npy")).spec.shape == shape[1:]
        return
    with pytest.raises(InputError, match=r"whose channels come first: .* save np.transpose\(array, \(0, 2, 3, 1\)\)"):
        arrays(str(tmp_path / "a.npy"))


REWRITTEN = {  # what becomes of the file, and whether what was opened is still there
    "cut short": (lambda file: os.truncate(file, 150), False),
    "emptied": (lambda file: os.truncate(file, 0), False),
    "other pixels": (lambda file: np.save(file, 255 - IMAGES), False),
    "longer": (lambda file: os.truncate(file, 5000), False),
    "another in its place": (lambda file: os.replace(file.with_name("b.npy"), file), True),
    "removed": (lambda file: file.unlink(), True),
}


@pytest.mark.parametrize("kind", REWRITTEN)
def test_a_file_that_is_written_again_while_it_is_read_is_found(tmp_path, kind):
    file, (change, still) = tmp_path / "a.npy", REWRITTEN[kind]
    np.save(file, IMAGES)
    np.save(tmp_path / "b.npy", 255 - IMAGES)
    source = arrays(str(file))
    before = source.take(np.arange(6)).x_0
    change(file)
    if still:
        np.testing.assert_array_equal(source.take(np.arange(6)).x_0, before)
        return
    with pytest.raises(InputError, match=r"a.npy' was written again while it was in use: the same command goes on if"):
        source.take(np.arange(6))
