"""Synthesize: a labeled data set, drawn class by class."""

from collections.abc import Sequence

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.figures import to_uint8
from jaxdiff.pipelines.common import CLASSES
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.pipeline import Argument, Outcome, Pipeline
from jaxdiff.types import Key

__all__ = ["PIPELINES", "read_counts", "synthesize"]


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


def read_counts(text: str, model: Model) -> list[int]:
    """The number of images of each class: one number for all, or one for each, with commas."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--per-class {text}: must be a number, or one for each class: 5,0,20") from error
    return counts * model.num_classes if len(counts) == 1 else counts


def _synthesize(model, key, counts=None, batch=256, **options) -> Outcome:
    counts = [10] * model.num_classes if counts is None else counts
    pixels, labels = synthesize(model, key, counts, batch, **options)
    return Outcome(pixels / 127.5 - 1, {"images": pixels, "labels": labels})


PIPELINES = {
    "synthesize": Pipeline(
        _synthesize,
        "a labeled data set, which the source `arrays` reads back",
        (
            Argument(
                "counts",
                "images of each class, or a number for each: 5,0,20",
                flag="per_class",
                read=read_counts,
                default="10",
            ),
        ),
        takes=None,
        whole=True,
    )
}
