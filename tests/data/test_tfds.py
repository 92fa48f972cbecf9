"""A data set prepared by TensorFlow Datasets itself, as array_record and without TensorFlow, read back by name."""

import subprocess
import sys

import numpy as np
import pytest

from jaxdiff.data import tfds
from jaxdiff.errors import InputError

PREPARE = """
import sys
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
    assert (source.size, source.shape, source.num_classes) == (12, (8, 8, 3), 4)
    batch = source.take(np.array([3, 7]))
    levels = np.round((batch.x_0[:, 0, 0, 0] + 1) * 127.5)
    np.testing.assert_array_equal(batch.condition, (levels / 20).astype(int) % 4)
    assert "tensorflow" not in sys.modules
    assert tfds("tiny_images:1.0.0", split="train[:50%]", data_dir=prepared, size=8).size == 6


def test_what_is_not_there_is_named(prepared):
    with pytest.raises(InputError, match=r"'cifar10' is not prepared.*tfds build cifar10 --file_format=array_record"):
        tfds("cifar10", data_dir=prepared)
    with pytest.raises(InputError, match="version of 'tiny_images'.*allowed are 1.0.0"):
        tfds("tiny_images:2.0.0", data_dir=prepared)
    with pytest.raises(InputError, match="split 'test' of 'tiny_images': there are train"):
        tfds("tiny_images", split="test", data_dir=prepared, size=8)
    with pytest.raises(InputError, match="images of several sizes.*set data.size"):
        tfds("tiny_images", data_dir=prepared)
