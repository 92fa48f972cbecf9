import importlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest

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


def test_names_of_classes(tmp_path):
    path = str(tmp_path / "a.npz")
    np.savez(path, x=IMAGES, y=np.array([0, 1, 2, 0, 1, 2]))
    assert arrays(path, "x", "y", classes="cat, dog,bird").spec.details["classes"] == ["cat", "dog", "bird"]
    assert "classes" not in arrays(path, "x", "y").spec.details
    with pytest.raises(InputError, match="data.classes has 2 names: .* has 3 classes by its data.label_key"):
        arrays(path, "x", "y", classes="cat,dog")


def test_bad_files_are_refused(tmp_path):
    path = str(tmp_path / "a.npz")
    with pytest.raises(InputError, match="not a .npy or .npz file"):
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
    assert importlib.import_module("jaxdiff.modalities.images.arrays")._memory() == math.inf
