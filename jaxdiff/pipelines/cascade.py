"""Cascade: one model draws small images, others upscale them, each in its turn (Ho et al. 2022)."""

import itertools
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.pipelines.load import load
from jaxdiff.pipelines.model import Given, Model
from jaxdiff.pipelines.options import is_text
from jaxdiff.pipelines.pipeline import LABEL, Argument, Outcome, Pipeline
from jaxdiff.pipelines.upscale import check_noise, upscale
from jaxdiff.types import Array, Key

__all__ = ["PIPELINES", "cascade"]


def cascade(
    model: Model,
    key: Key,
    n: int,
    then: Sequence[Model],
    noise: float | None = None,
    condition: Given = None,
    first: int = 0,
    **options,
) -> list[Array]:
    """Images of each stage, the small ones first, each (n, height, width, channels).

    Args:
      model: draws the small images.
      then: models that upscale, each what the one before it gives.
      noise: that is added to each stage's images before they are upscaled (`upscale`); by default 0.1, or the
        most that the model which upscales them was trained with.
      condition: class labels, (n,), for the models that have them; all in turn by default. A `prompt`, and a `negative`
        caption, are for those that read captions.
      first: the number of the first image, see `Model.sample`.

    Raises:
      InputError: sizes of two stages that do not fit, and what `Model.sample` refuses.
    """
    models = [model, *then]
    for i, (small, large) in enumerate(itertools.pairwise(models), 1):
        wanted = tuple(side // large.upscales for side in large.shape[:2]) + large.shape[2:]
        drawn = (small.ends.pictures or small.spec).shape
        if large.upscales == 1 or drawn != wanted:
            takes = f"upscales images of {wanted}" if large.upscales > 1 else "does not upscale"
            raise InputError(f"cascade: model {i} draws images of {drawn}, and model {i + 1} {takes}")
        check_noise(large, 0.0, 0.0 if noise is None else noise)
    if len(names := {tuple(m.spec.details.get("classes", ())) for m in models if m.num_classes} - {()}) > 1:
        told = " and ".join(", ".join(each) for each in sorted(names))
        raise InputError(f"cascade: the models know the classes {told}: take some that were trained on the same")
    keys = jax.random.split(key, len(models))
    classes = max(model.num_classes for model in models)
    if condition is not None and not classes:
        raise InputError("condition: these models were trained without classes; leave it out")
    labels = (first + np.arange(n)) % classes if condition is None and classes else condition
    options["first"] = first
    labels = labels if isinstance(labels, Mapping) else {"label": labels}  # beside which there may be a prompt
    known = lambda model: labels if model.num_classes else None
    read = any("text" in model.conditions for model in models)
    words = [name for name in ("prompt", "negative") if read and is_text(options.get(name))]
    others = lambda model: {k: v for k, v in options.items() if "text" in model.conditions or k not in words}
    stages = [models[0].sample(keys[0], n, condition=known(models[0]), **others(models[0]))]
    for model, k in zip(models[1:], keys[1:], strict=True):
        small, added = np.clip(stages[-1], -1, 1), min(0.1, model.low_res_noise) if noise is None else noise
        stages.append(upscale(model, k, small, added=added, condition=known(model), **others(model)))
    return stages


def _cascade(*given, **options) -> Outcome:
    *before, images = cascade(*given, **options)
    return Outcome(images, rows=tuple(before))


PIPELINES = {
    "cascade": Pipeline(
        _cascade,
        "draw small images, and upscale them by other runs, in turn",
        (
            Argument(
                "then",
                "the runs that upscale what this one draws",
                read=lambda runs, model: [load(run) for run in runs],
                many=True,
                required=True,
            ),
            Argument(
                "noise",
                "standard deviation of what each stage adds before it upscales",
                float,
                default="0.1 or as learned",
            ),
            LABEL._replace(help="class to draw", default="all in turn"),
        ),
        takes=None,
    )
}
