"""A data set prepared by TensorFlow Datasets itself, as array_record and without TensorFlow, read back by name."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.modalities.images import tfds
from jaxdiff.modalities.images.prepare import prepare
from jaxdiff.modalities.images.tfds import open_prepared
from tests.helpers.array_files import classes_of

PREPARE = """
import io, struct, sys, zlib
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

class TinyImages(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = __import__("pathlib").Path(sys.argv[1])

    def _info(self):
        image = tfds.features.Image(shape=(None, None, 3))
        features = {"image": image, "label": tfds.features.ClassLabel(num_classes=4)}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(12):
            pixels = np.full((10, 10 + i % 2, 3), 20 * i, np.uint8)
            yield i, {"image": Image.fromarray(pixels), "label": i % 4}

class Bombs(TinyImages):
    def _generate_examples(self):
        '''One picture is 20000x20000, by its header.'''
        yield 0, {"image": Image.new("RGB", (8, 8)), "label": 0}
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99)))]
        parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
        yield 1, {"image": io.BytesIO(b"\\x89PNG\\r\\n\\x1a\\n" + b"".join(parts)), "label": 1}

Bombs(data_dir=sys.argv[1], file_format="array_record").download_and_prepare()
TinyImages(data_dir=sys.argv[1], file_format="array_record").download_and_prepare()
assert "tensorflow" not in sys.modules
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    subprocess.run([sys.executable, "-c", PREPARE, str(root)], check=True, capture_output=True, text=True)
    return str(root)


def test_read_by_name_without_tensorflow(prepared):
    source = tfds("tiny_images", data_dir=prepared, size=8)
    assert (source.size, source.spec.shape, classes_of(source)) == (12, (8, 8, 3), 4)
    batch = source.take(np.array([3, 7]))
    levels = np.round((batch.x_0[:, 0, 0, 0] + 1) * 127.5)
    np.testing.assert_array_equal(batch.condition["label"], (levels / 20).astype(int) % 4)
    assert "tensorflow" not in sys.modules
    assert tfds("tiny_images:1.0.0", split="train[:50%]", data_dir=prepared, size=8).size == 6


def test_pictures_of_a_set_are_bounded_by_their_headers(prepared):
    source = tfds("bombs", data_dir=prepared, size=8)
    source.take(np.array([0]))
    with pytest.raises(InputError, match="'bombs' holds an image that cannot be read: prepare it again .*pixels"):
        source.take(np.array([0, 1]))


def test_what_is_not_there_is_named(prepared):
    with pytest.raises(
        InputError, match=r"'lsun/bedroom' is not prepared.*with TensorFlow.*`tfds build lsun/bedroom --file_"
    ):
        tfds("lsun/bedroom", data_dir=prepared)
    with pytest.raises(InputError, match=r"'cifar10' is not prepared.*once, with `jaxdiff data prepare cifar10"):
        tfds("cifar10", data_dir=prepared)
    with pytest.raises(InputError, match="version of 'tiny_images'.*allowed are 1.0.0"):
        tfds("tiny_images:2.0.0", data_dir=prepared)
    with pytest.raises(InputError, match="split 'test' of 'tiny_images': there are train"):
        tfds("tiny_images", split="test", data_dir=prepared, size=8)
    with pytest.raises(InputError, match="images of several sizes.*set data.size"):
        tfds("tiny_images", data_dir=prepared)


@pytest.mark.parametrize("template", ["../{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}", "/etc/{SPLIT}.{FILEFORMAT}"])
def test_a_set_cannot_name_files_outside_of_its_folder(prepared, tmp_path, template):
    copy = tmp_path / "tiny_images" / "1.0.0"
    shutil.copytree(Path(prepared) / "tiny_images" / "1.0.0", copy)
    info = json.loads((copy / "dataset_info.json").read_text())
    assert info["splits"][0]["filepathTemplate"] == "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    info["splits"][0]["filepathTemplate"] = template
    (copy / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match=r"the data set in '.*' names a file outside of it, '"):
        tfds("tiny_images", data_dir=str(tmp_path), size=8)


def test_a_set_stored_for_tensorflow_is_refused(prepared, tmp_path):
    for name in ("tiny_images", "mnist"):
        copy = tmp_path / name / "3.0.1"
        shutil.copytree(Path(prepared) / "tiny_images" / "1.0.0", copy)
        info = json.loads((copy / "dataset_info.json").read_text())
        (copy / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "tfrecord", "version": "3.0.1"}))
    with pytest.raises(
        InputError, match="stored as tfrecord, which needs TensorFlow to read: .*`tfds build tiny_images"
    ):
        tfds("tiny_images", data_dir=str(tmp_path), size=8)
    with pytest.raises(
        InputError, match="mnist/3.0.1' is stored as tfrecord: move it away, or give another --data-dir"
    ):
        prepare("mnist", str(tmp_path))


def test_without_tensorflow_datasets_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(InputError, match=r"pip install 'jaxdiff\[tfds\]'"):
        open_prepared(tmp_path)
    with pytest.raises(InputError, match="jaxdiff data prepare mnist"):
        tfds("mnist", data_dir=str(tmp_path))
