"""Detect strange images among others, from the command line: scores, maps, ROC curve and threshold."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.pipelines.anomaly import METHODS, detect, threshold
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import finite
from jaxdiff.pipelines.pipeline import LABEL, Argument, Outcome, Pipeline
from jaxdiff.types import Key

__all__ = ["PIPELINES", "above_threshold", "detect_among", "how_many", "told_apart"]


def detect_among(
    model: Model,
    key: Key,
    images: np.ndarray,
    batch: int = 256,
    labels: np.ndarray | None = None,
    normal: np.ndarray | None = None,
    false_positives: float | None = None,
    method: str = "denoising_error",
    condition: int | None = None,
    levels: Sequence[float] | None = None,
    **options: Any,
) -> Outcome:
    """Scores of images, and how well they tell strange ones from the others.

    Args:
      images: (n, height, width, channels).
      batch: how many are scored at once.
      labels: (n,), 1 for strange and 0 for not: ROC-AUC and average precision are told.
      normal: images that are not strange: the threshold is told. For "msma" half of them are the reference.
      false_positives: share of the normal images above the threshold; 0.05.
      method, condition, levels, options: see `detect`; the condition is one class, of all images.
    """
    if false_positives is not None and normal is None:
        raise InputError("false_positives: is the share of the images of --normal: give these, too")
    options |= {"method": method}
    if levels is not None:
        options["levels"] = how_many(levels) if method == "likelihood" else tuple(levels)
    if method == "msma" and normal is not None:
        options |= {"normal": normal[::2], "normal_condition": condition}
        normal = normal[1::2]

    def score(images, what):
        parts = [
            detect(model, key, images[i : i + batch], first=i, condition=condition, **options)
            for i in range(0, len(images), batch)
        ]
        scores, maps = (np.concatenate(each) for each in zip(*parts, strict=True))
        return finite(scores, f"scores of {what}"), maps

    scores, maps = score(images, "images")
    lines = [f"scores from {scores.min():.4f} to {scores.max():.4f}, in images.npz"]
    curves = {}
    if labels is not None:
        told, curve = told_apart(labels != 0, scores)
        lines, curves = [*lines, told], {"found of the strange": curve}
    if normal is not None:
        share = 0.05 if false_positives is None else false_positives
        lines += above_threshold(scores, score(normal, "--normal")[0], share, labels)
    maps = maps[..., None]
    shown = np.repeat(2 * maps / max(maps.max(), 1e-30) - 1, model.shape[-1], axis=-1)
    return Outcome(shown, {"scores": scores, "maps": maps}, lines=tuple(lines), curves=curves)


def how_many(levels: Sequence[float]) -> int:
    """The number of levels that the likelihood is of."""
    if len(levels) != 1 or levels[0] != int(levels[0]):
        raise InputError(f"levels={list(levels)}: of method 'likelihood' it is how many, one whole number")
    return int(levels[0])


def told_apart(strange: np.ndarray, scores: np.ndarray) -> tuple[str, Any]:
    """ROC-AUC and average precision in words, and the points of the ROC curve."""
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    if strange.all() or not strange.any():
        raise InputError("--input: its labels are to tell strange images (1) from normal ones (0)")
    auc, precision = roc_auc_score(strange, scores), average_precision_score(strange, scores)
    told = f"{strange.sum()} of {len(scores)} are strange: ROC-AUC {auc:.3f}, average precision {precision:.3f}"
    return told, list(zip(*roc_curve(strange, scores)[:2], strict=True))


def above_threshold(scores: np.ndarray, normal: np.ndarray, share: float, labels: np.ndarray | None) -> Iterable[str]:
    """Describe which scores lie above the threshold that a share of normal images exceed."""
    bound = threshold(normal, share)
    found = scores > bound
    yield f"threshold {bound:.4f}: above are {share:.1%} of {len(normal)} normal images, {found.sum()} of the input"
    if labels is not None:
        yield f"of the strange ones {found[labels != 0].mean():.1%}, of the others {found[labels == 0].mean():.1%}"


PIPELINES = {
    "detect": Pipeline(
        detect_among,
        "how strange images are: a score and a map of each (anomaly detection)",
        (
            Argument("method", ", ".join(METHODS), default="denoising_error"),
            Argument("levels", "noise levels sigma / alpha; of likelihood, how many", float, many=True),
            Argument("normal", "images that are not strange, given like --input; they set the threshold", images=True),
            Argument("false_positives", "share of --normal that the threshold calls strange", float, default="0.05"),
            LABEL,
        ),
        whole=True,
        labeled=True,
    )
}
