"""Synthesize: a labeled data set, drawn class by class."""

from collections.abc import Sequence

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.images.pictures import to_uint8
from jaxdiff.pipelines.common import CLASSES
from jaxdiff.pipelines.model import Model
from jaxdiff.types import Key


def synthesize(
    model: Model, key: Key, counts: Sequence[int], batch: int = 256, **options
) -> tuple[np.ndarray, np.ndarray]:
    """A labeled data set: `counts[c]` images of each class c, as uint8 (n, height, width, channels), and labels (n,).

    `jaxdiff.modalities.images.arrays` reads it back from a `.npz`.
    """
    if not model.num_classes:
        raise InputError(f"synthesize: this model knows no classes: take a run of {CLASSES}")
    if len(counts) != model.num_classes or any(c < 0 for c in counts) or not sum(counts):
        raise InputError(f"counts={list(counts)}: this model has {model.num_classes} classes: give a number for each")
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    drawn = model.stream(key, len(labels), batch, condition=labels, **options)
    return np.concatenate([to_uint8(images) for images in drawn]), labels
