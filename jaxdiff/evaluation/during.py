"""During training: the Fréchet distance of what an average draws, at each checkpoint."""

from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np

from jaxdiff.data.source import Source
from jaxdiff.evaluation.features import Features
from jaxdiff.evaluation.frechet import distance
from jaxdiff.evaluation.moments import gathered, root
from jaxdiff.evaluation.sets import labels_like, of_source
from jaxdiff.modalities import find
from jaxdiff.pipelines.model import Model
from jaxdiff.types import Params

__all__ = ["make_distance"]

BATCH = 256


def make_distance(model: Model, source: Source, features: Features, n: int) -> Callable[[Params], dict[str, float]]:
    """`params -> {"fd_NAME"}`: of n examples, always of the same noise, against all of a source.

    The biased distance: n is the same at every checkpoint, so that these can be compared with each other. It is NaN
    where some examples are not finite. Classes are drawn as often as they are in the source.
    """
    kind, spec = find(model.spec.modality, "measured"), model.spec
    rounded = next(iter(kind.ROUNDINGS.values()))
    made = lambda x: features.apply(rounded(x))["features"]
    reference = gathered(made(x) for x in of_source(source, "data").batches(0))
    root_b, key = root(reference), jax.random.key(0)
    labels = labels_like(source, n, 0) if "label" in model.conditions else None

    def measure(params: Params) -> dict[str, float]:
        current, rows = replace(model, params=params), []
        for first in range(0, n, BATCH):
            given = None if labels is None else {"label": labels[first : first + BATCH]}
            x = np.asarray(current.sample(key, min(BATCH, n - first), condition=given, first=first, progress=False))
            finite = np.isfinite(kind.values(spec, x)).all()
            rows.append(made(x) if finite else np.full((len(x), len(root_b)), np.nan))
        ours = gathered(rows)
        lost = not np.isfinite(ours.mean).all()
        return {f"fd_{features.name}": np.nan if lost else distance(ours, reference, root_b)}

    return measure
