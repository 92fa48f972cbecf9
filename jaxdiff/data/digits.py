"""The embedded data: 1,797 handwritten digits of 8x8 pixels and 17 greys, scans that come with scikit-learn."""

from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from jaxdiff.data.source import Source, to_unit_range
from jaxdiff.types import Batch


def digits() -> Source:
    """scikit-learn's digits (Alpaydin and Kaynak 1998, the test half of the UCI set), with their ten classes."""
    data: Any = load_digits()
    images = to_unit_range(data.images, 0, 16)[..., None]
    labels = data.target.astype(np.int32)
    return Source(len(images), (8, 8, 1), 10, lambda i: Batch(images[i], labels[i]))
