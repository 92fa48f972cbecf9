"""Any image set of TensorFlow Datasets, by name, read without TensorFlow from a folder prepared as array_record."""

import os
import re
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from jaxdiff.data.picture import check_shape, fit, opened
from jaxdiff.data.source import Source, to_unit_range
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch, class_label

__all__ = ["ORIGINALS", "data_root", "import_tfds", "open_prepared", "tfds"]

ORIGINALS = ("cifar10", "mnist", "fashion_mnist")
"""What `jaxdiff.modalities.images.prepare` can prepare without TensorFlow."""


def tfds(
    dataset: str,
    split: str = "train",
    data_dir: str = "",
    size: int = 0,
    width: int = 0,
    channels: int = 0,
    flip: bool = False,
) -> Source:
    """A prepared data set with an "image" and, perhaps, a "label".

    Args:
      dataset: its name, "cifar10", "lsun/bedroom" or "cifar10:3.0.2"; the newest version found, unless one is named.
      split: "train", "test", "train[:90%]" ...
      data_dir: where it is prepared; by default $TFDS_DATA_DIR or ~/tensorflow_datasets.
      size, width, channels: resize and crop to this side, or height and width; 0 to keep the images as they are, which
        must then be all alike.
      flip: allow horizontal flips.

    Raises:
      InputError: not prepared (says how), not as array_record, no such split, or without images of one size.
    """
    builder, data = _opened(dataset, split, data_root(data_dir))
    features: Any = builder.info.features
    height, width, depth = features["image"].shape
    shape = (size, width or size, channels or depth or 3) if size else (height, width, depth)
    if None in shape:
        raise InputError(f"{dataset!r} has images of several sizes, {shape}: set data.size")
    if size:
        check_shape(shape)

    labeled = "label" in features and hasattr(features["label"], "num_classes")

    def pixels(encoded):
        with opened(BytesIO(encoded)) as picture:
            if size:
                return fit(picture, shape)
            if (picture.height, picture.width, len(picture.getbands())) != shape:
                raise ValueError(f"an image of {picture.height}x{picture.width} in mode {picture.mode}, not {shape}")
            return np.asarray(picture).reshape(shape)

    def take(indices):
        examples = data.__getitems__([int(i) for i in indices])
        try:
            x_0 = np.stack([pixels(e["image"]) for e in examples])
        except Exception as error:  # of a damaged file, Pillow's decoders raise all kinds
            reason = " ".join(str(error).split())
            raise InputError(f"{dataset!r} holds an image that cannot be read: prepare it again ({reason})") from error
        condition = {"label": np.array([e["label"] for e in examples], np.int32)} if labeled else None
        return Batch(to_unit_range(x_0), condition)

    def labels():
        return np.array([example["label"] for example in data], np.int32)

    conditions = {"label": class_label(features["label"].num_classes)} if labeled else {}
    spec = image_spec(shape, None if size else 256, features["label"].names if labeled else ())
    return Source(len(data), spec, take, conditions, flip, labels if labeled else None)


def _opened(dataset: str, split: str, root: Path) -> tuple[Any, Any]:
    """The builder of a prepared set that has images, and its examples."""
    builder = open_prepared(_version_folder(root, dataset))
    if builder.info.file_format.value != "array_record":
        raise InputError(
            f"{dataset!r} in {str(root)!r} is stored as {builder.info.file_format.value}, which needs TensorFlow to "
            f"read: prepare it again with {_command(dataset, root)}"
        )
    if "image" not in (builder.info.features or {}):
        raise unknown(f"feature of {dataset!r}", "image", builder.info.features or {})
    try:  # images are decoded here, so that they are bounded
        return builder, builder.as_data_source(split, decoders={"image": import_tfds().decode.SkipDecoding()})
    except (ValueError, KeyError) as error:
        raise InputError(f"split {split!r} of {dataset!r}: there are {', '.join(builder.info.splits)}") from error


def import_tfds() -> ModuleType:
    """Import TensorFlow Datasets, which takes a second, and most runs do without.

    Raises:
      InputError: it is not installed.
    """
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise InputError(f"TensorFlow Datasets is not installed ({error}): pip install 'jaxdiff[tfds]'") from error
    return tensorflow_datasets


def data_root(data_dir: str) -> Path:
    """The folder of the prepared sets: by default $TFDS_DATA_DIR or ~/tensorflow_datasets."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def open_prepared(place: Path) -> Any:
    """The TFDS builder of a prepared set, `place`/dataset_info.json, all of whose files lie in that folder.

    Raises:
      InputError: the set names a file elsewhere.
    """
    tensorflow_datasets = import_tfds()

    builder = tensorflow_datasets.builder_from_directory(str(place))
    for split in builder.info.splits.values():
        for file in split.filepaths:
            if Path(os.path.normpath(file)).parent != Path(os.path.normpath(place)):
                raise InputError(f"the data set in {str(place)!r} names a file outside of it, {str(file)!r}")
    return builder


def _version_folder(root: Path, dataset: str) -> Path:
    name, _, version = dataset.partition(":")
    places = [f.parent for f in (root / name).glob("*.*.*/dataset_info.json")]
    versions = {p.name: p for p in places if re.fullmatch(r"\d+\.\d+\.\d+", p.name)}  # not incomplete.…_3.0.2
    if version and version not in versions and versions:
        raise unknown(f"version of {name!r} in {str(root)!r}", version, versions)
    if not versions:
        raise InputError(
            f"{name!r} is not prepared in {str(root)!r}: prepare it once"
            f"{'' if name in ORIGINALS else ', on a machine with TensorFlow'}, with "
            f"{_command(name, root)}; or set data.data_dir, or give the images as a folder or a .npz file"
        )
    return versions[version or max(versions, key=lambda v: tuple(int(n) for n in v.split(".")))]


def _command(dataset: str, root: Path) -> str:
    if dataset.partition(":")[0] in ORIGINALS:
        return f"`jaxdiff data prepare {dataset.partition(':')[0]} --data-dir={root}`"
    return f"`tfds build {dataset} --file_format=array_record --data_dir={root}`"
