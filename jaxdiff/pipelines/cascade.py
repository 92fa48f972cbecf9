"""Cascade: one model draws small images, others upscale them, each in its turn (Ho et al. 2022)."""

import itertools
from collections.abc import Sequence

import jax
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.upscale import check_noise, enlarge
from jaxdiff.types import Array, Key


def cascade(
    models: Sequence[Model],
    key: Key,
    n: int,
    noise: float | None = None,
    labels: np.ndarray | None = None,
    first: int = 0,
    **options,
) -> list[Array]:
    """Images of each stage, the small ones first, each (n, height, width, channels).

    Args:
      models: the first draws; each other one enlarges what the one before it gives.
      noise: that is added to each stage's images before they are enlarged (`edit.enlarge`); by default 0.1, or the
        most that the model which enlarges them was trained with.
      labels: classes, (n,), for the models that have them; all in turn by default.
      first: the number of the first image, see `Model.sample`.

    Raises:
      InputError: sizes of two stages that do not fit, and what `Model.sample` refuses.
    """
    for i, (small, large) in enumerate(itertools.pairwise(models), 1):
        wanted = tuple(side // large.enlarges for side in large.shape[:2]) + large.shape[2:]
        if large.enlarges == 1 or small.shape != wanted:
            takes = f"enlarges images of {wanted}" if large.enlarges > 1 else "does not enlarge"
            raise InputError(f"cascade: model {i} draws images of {small.shape}, and model {i + 1} {takes}")
        check_noise(large, 0.0, 0.0 if noise is None else noise)
    keys = jax.random.split(key, len(models))
    classes = max(model.num_classes for model in models)
    if labels is not None and not classes:
        raise InputError("labels: these models were trained without classes; leave them out")
    labels = (first + np.arange(n)) % classes if labels is None and classes else labels
    options["first"] = first
    known = lambda model: labels if model.num_classes else None
    stages = [models[0].sample(keys[0], n, condition=known(models[0]), **options)]
    for model, k in zip(models[1:], keys[1:], strict=True):
        small, added = np.clip(stages[-1], -1, 1), min(0.1, model.enlarge_noise) if noise is None else noise
        stages.append(enlarge(model, k, small, added=added, condition=known(model), **options))
    return stages
