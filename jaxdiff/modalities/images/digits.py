"""The embedded data: 1,797 handwritten digits of 8x8 pixels and 17 greys, scans that come with scikit-learn."""

from typing import Any

import numpy as np

from jaxdiff.data.source import Source, labeled, to_unit_range
from jaxdiff.errors import unknown
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch

__all__ = ["digits"]


def digits(split: str = "all") -> Source:
    """scikit-learn's digits (Alpaydin and Kaynak 1998, the test half of the UCI set), with their ten classes.

    Args:
      split: "all"; "test", every fifth (360); or "train", the others (1,437).
    """
    from sklearn.datasets import load_digits  # most of a second

    data: Any = load_digits()
    fifth = np.arange(len(data.images)) % 5 == 0
    splits = {"all": fifth | True, "test": fifth, "train": ~fifth}
    if split not in splits:
        raise unknown("split of the digits", split, splits)
    images = to_unit_range(data.images[splits[split]], 0, 16)[..., None]
    labels = data.target[splits[split]].astype(np.int32)
    return labeled(Source(len(images), image_spec((8, 8, 1), 17), lambda i: Batch(images[i])), labels, 10)
