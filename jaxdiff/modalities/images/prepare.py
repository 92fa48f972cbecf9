"""CIFAR-10, MNIST and Fashion-MNIST for `tfds`, prepared from their original archives without TensorFlow.

What is written is the set of the same name, version, features, keys and order as TensorFlow Datasets' own, which then
reads it too. An archive is looked into only if its SHA-256 is the one that TensorFlow Datasets has on record; its
members are read in memory, by name, and nothing is ever unpacked to the disk.
"""

import gzip
import hashlib
import os
import shutil
import tarfile
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tensorflow_datasets.core.registered import skip_registration
from tensorflow_datasets.image_classification.cifar import Cifar10
from tensorflow_datasets.image_classification.mnist import MNIST, FashionMNIST

from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.images.tfds import ORIGINALS, data_root, open_prepared

__all__ = ["STOCK", "Split", "prepare"]

STOCK: dict[str, Any] = dict(zip(ORIGINALS, (Cifar10, MNIST, FashionMNIST), strict=True))
IDX_LABELS, IDX_IMAGES = 2049, 2051
"""The magic numbers of MNIST's files."""


class Split(NamedTuple):
    """Images uint8 (n, height, width[, 3]) and labels uint8 (n,), in the order of the archive."""

    images: np.ndarray
    labels: np.ndarray


def prepare(dataset: str, data_dir: str = "", archives: str = "") -> Path:
    """Prepare a data set as array_record; one that is there already is left as it is.

    Args:
      dataset: "cifar10", "mnist" or "fashion_mnist".
      data_dir: where to; by default $TFDS_DATA_DIR or ~/tensorflow_datasets.
      archives: a folder with the original archives; by default they are downloaded into `data_dir`/downloads.

    Returns: the folder of the prepared set, which appears only once it is complete.

    Raises:
      InputError: another set; an archive that is missing, cannot be downloaded or is not the original; or the set is
        there in a format that needs TensorFlow.
    """
    if dataset not in STOCK:
        raise unknown("data set to prepare", dataset, STOCK)
    stock, root = STOCK[dataset], data_root(data_dir)
    place = root / dataset / str(stock.VERSION)
    if place.exists():
        if not (place / "dataset_info.json").is_file():
            raise InputError(f"{str(place)!r} holds no data set: move it away, or give another --data-dir")
        if (stored := open_prepared(place).info.file_format.value) != "array_record":
            raise InputError(f"{str(place)!r} is stored as {stored}: move it away, or give another --data-dir")
        return place

    files = {}
    for url, known in stock.url_infos.items():
        if archives:
            file = Path(archives) / known.filename
            if not file.is_file():
                raise InputError(f"{str(file)!r} is not there: get it from {url}")
            _check_sum(file, known.checksum, url)
        else:
            file = root / "downloads" / f"{dataset}-{known.checksum[:16]}-{known.filename}"
            _download(url, file, known.checksum)
        files[known.filename] = file
    try:
        splits, names = _cifar(files) if dataset == "cifar10" else _mnist(files)
    except (OSError, EOFError, KeyError, ValueError, tarfile.TarError, zlib.error) as error:
        raise InputError(f"the archives of {dataset!r} cannot be read: {error}") from error
    _builder(stock, splits, names)(data_dir=str(root), file_format="array_record").download_and_prepare()
    return place


def _builder(stock: Any, splits: dict[str, Split], names: list[str]) -> Any:
    """The stock builder, given its examples."""

    with skip_registration():  # the stock builder keeps its name

        class Prepared(stock):
            name = stock.name

            def _split_generators(self, dl_manager):
                if names:
                    self.info.features["label"].names = names
                return {split: self._generate_examples(split, examples) for split, examples in splits.items()}

            def _generate_examples(self, split, examples):
                for i, (image, label) in enumerate(zip(*examples, strict=True)):
                    name = {"id": f"{split}_{i:05d}"} if "id" in self.info.features else {}
                    yield i, {**name, "image": Image.fromarray(image), "label": int(label)}

    return Prepared


def _cifar(files: dict[str, Path]) -> tuple[dict[str, Split], list[str]]:
    """CIFAR-10's splits and the names of its classes: each record is a label and the red, green and blue planes."""
    parts = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    wanted = {*parts["train"], *parts["test"], "batches.meta.txt"}
    content = {}
    with tarfile.open(files["cifar-10-binary.tar.gz"], "r:gz") as tar:
        for member in tar:
            name = member.name.removeprefix("cifar-10-batches-bin/")
            if name in wanted and member.isfile() and (file := tar.extractfile(member)):  # reads, unpacks nothing
                content[name] = file.read()
    if missing := wanted - content.keys():
        raise ValueError(f"without {', '.join(sorted(missing))}")
    splits = {}
    for split, members in parts.items():
        records = np.frombuffer(b"".join(content[m] for m in members), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        splits[split] = _checked(Split(np.ascontiguousarray(images), records[:, 0]))
    return splits, content["batches.meta.txt"].decode().split()


def _mnist(files: dict[str, Path]) -> tuple[dict[str, Split], list[str]]:
    """MNIST's splits, or Fashion-MNIST's; the stock builders know the names of their classes."""
    splits = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _idx(files[f"{prefix}-images-idx3-ubyte.gz"], IDX_IMAGES)
        labels = _idx(files[f"{prefix}-labels-idx1-ubyte.gz"], IDX_LABELS)
        if images.shape[1:] != (28, 28):
            raise ValueError(f"its images are {images.shape[1:]}, not (28, 28)")
        splits[split] = _checked(Split(images, labels))
    return splits, []


def _idx(file: Path, magic: int) -> np.ndarray:
    """A file of MNIST's format: a magic number that ends with the number of axes, their lengths, and the bytes."""
    content = gzip.decompress(file.read_bytes())
    header = np.frombuffer(content[: 4 * (1 + magic % 256)], ">u4")
    if header[0] != magic:
        raise ValueError(f"{file.name} begins with {header[0]}, not {magic}")
    return np.frombuffer(content, np.uint8, offset=header.nbytes).reshape(header[1:])


def _checked(split: Split) -> Split:
    images, labels = split
    if not len(images) or len(images) != len(labels) or labels.max() > 9:
        raise ValueError(f"{len(images)} images, {len(labels)} labels up to {labels.max(initial=0)}")
    return split


def _check_sum(file: Path, known: str, url: str) -> None:
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != known:
        raise InputError(f"{str(file)!r} is not the original: its SHA-256 is {found}, not {known}: get it from {url}")


def _download(url: str, file: Path, checksum: str) -> None:
    """Download a file, unless it is there, under another name until it is known to be whole."""
    if file.is_file():
        return _check_sum(file, checksum, url)
    part = file.with_name(f"{file.name}.part-{os.getpid()}")
    print(f"downloading {url}", flush=True)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=30) as answer, part.open("wb") as out:
            shutil.copyfileobj(answer, out)
        _check_sum(part, checksum, url)
        part.replace(file)
    except (OSError, HTTPException) as error:  # URLError is an OSError
        raise InputError(
            f"{url} cannot be downloaded ({error}): get it by other means and give its folder, --archives=FOLDER"
        ) from error
    finally:
        part.unlink(missing_ok=True)
