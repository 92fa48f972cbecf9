"""Measures: figures of samples against a reference, by name, with intervals, and what real data have in their place.

    fd            Fréchet distance                            `jaxdiff.evaluation.frechet`
    fd_inf        the same, extrapolated to infinitely many samples, on request
    kid, mmd      kernel distances, unbiased                  `jaxdiff.evaluation.kernels`
    swd           sliced Wasserstein distance                 `jaxdiff.evaluation.sliced`
    precision, recall, density, coverage                      `jaxdiff.evaluation.manifold`
    class_score   of the logits, where features have some     `jaxdiff.evaluation.class_score`
    memorization  against training and held-out data          `jaxdiff.evaluation.memorization`

Each is a function of feature rows alone, which may be maps of files.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxdiff.evaluation.class_score import class_score, histogram
from jaxdiff.evaluation.frechet import distance, extrapolated
from jaxdiff.evaluation.intervals import of_groups
from jaxdiff.evaluation.kernels import cubic, gaussian, kid, median_distance, mmd
from jaxdiff.evaluation.manifold import manifold
from jaxdiff.evaluation.memorization import memorization
from jaxdiff.evaluation.moments import Moments, gathered, merge, root
from jaxdiff.evaluation.sliced import sliced_wasserstein

__all__ = ["NEIGHBORS", "Figures", "figures", "floor", "measured", "moments_of", "warnings"]

NEIGHBORS = 5000
"""Of each set, so many rows at most are compared one by one, evenly spread; which is written down."""
BLOCK = 4096
Figures = dict[str, float]


def moments_of(rows: np.ndarray) -> Moments:
    """The moments of rows, read a block at a time."""
    return gathered(rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK))


def some(rows: np.ndarray, most: int = NEIGHBORS) -> np.ndarray:
    """At most so many rows, evenly spread, in memory and in float64."""
    at = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
    return np.asarray(rows[at], np.float64)


def figures(samples: np.ndarray, real: np.ndarray, rng: np.random.Generator, moments: Moments | None = None) -> Figures:
    """The figures of samples (n, features) against real rows (m, features) that need nothing else.

    Args:
      moments: of the real set, where the rows are only some of it.
    """
    ours, its = some(samples), some(real)
    return {
        "fd": distance(moments_of(samples), moments_of(real) if moments is None else moments),
        "kid": mmd(ours, its, cubic),
        "mmd": mmd(ours, its, gaussian(median_distance(its))),
        "swd": sliced_wasserstein(samples, real, rng),
        **manifold(ours, its)._asdict(),
    }


def measured(
    samples: Mapping[str, np.ndarray],
    real: Mapping[str, np.ndarray],
    held_out: np.ndarray | None,
    seed: int = 0,
    groups: int = 10,
    extrapolate: bool = False,
    moments: Moments | None = None,
) -> dict[str, Any]:
    """All figures of one kind of features: `{"value", "low", "high", "error"}` each, and what else belongs to it.

    Args:
      samples, real: "features" (n, d), and "logits" where there are some; the real ones are those of training.
      held_out: features of real examples that were not trained on, for memorization.
      groups: of the jackknife; 0 for no intervals.
      extrapolate: also to infinitely many samples.
      moments: of the real set, where the rows are only some of it.
    """
    rng = np.random.default_rng(seed)
    ours, its = samples["features"], real["features"]
    reference = moments_of(its) if moments is None else moments
    found: dict[str, Any] = {k: {"value": v} for k, v in figures(ours, its, rng, reference).items()}
    if groups:
        for name, interval in _intervals(ours, its, found, groups, rng, reference).items():
            found[name] |= interval
    subsets = kid(ours, its, rng)
    found["kid"] |= {"subsets_of_1000": subsets.mean, "spread": subsets.spread}
    if "logits" in samples:
        shuffled = np.asarray(samples["logits"])[rng.permutation(len(ours))]
        found["class_score"] = dict(zip(("value", "spread"), class_score(shuffled), strict=True))
        found["classes"] = {"value": histogram(shuffled).tolist()}
        if "logits" in real:
            found["classes"]["reference"] = histogram(np.asarray(real["logits"])).tolist()
    if extrapolate:
        line = extrapolated(ours, reference, rng)
        told = {"sizes": line.sizes.tolist(), "distances": line.distances.tolist()}
        found["fd_inf"] = {"value": line.value, "biased": found["fd"]["value"], **told}
    if held_out is not None:
        found["memorization"] = memorization(some(ours), np.asarray(its), np.asarray(held_out), rng)._asdict()
    return found


def floor(
    samples: np.ndarray, real: np.ndarray, held_out: np.ndarray | None, seeds: int = 5, most: int = NEIGHBORS
) -> dict[str, Any]:
    """What real examples have in the place of samples: as many, against as many others, none in both sets.

    The others are of the training data, and those in place of samples are held out, or, without held-out data, the
    rest of the training data. The samples are measured against the same, so that both columns can be compared.

    Returns: `{"n", "seeds", "real": {name: {"mean", "spread"}}, "samples": the same}`.
    """
    n = min(len(samples), most, len(real) // 2 if held_out is None else min(len(held_out), len(real)))
    rows: dict[str, list[Figures]] = {"real": [], "samples": []}
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 1])
        order = rng.permutation(len(real))
        reference = real[np.sort(order[:n])]
        others = real[np.sort(order[n : 2 * n])] if held_out is None else held_out[_part(rng, len(held_out), n)]
        rows["real"].append(figures(others, reference, rng))
        rows["samples"].append(figures(samples[_part(rng, len(samples), n)], reference, rng))
    summary = {}
    for who, each in rows.items():
        spread = lambda values: float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        columns = {name: [row[name] for row in each] for name in each[0]}
        summary[who] = {name: {"mean": float(np.mean(v)), "spread": spread(v)} for name, v in columns.items()}
    return {"n": n, "seeds": seeds, "held_out": held_out is not None, **summary}


def warnings(n: int, m: int, width: int) -> list[str]:
    """What breaks with so few rows: n samples, m of the reference, of so many features."""
    said = []
    for what, count in (("samples", n), ("reference examples", m)):
        if count <= width:
            said.append(
                f"{count} {what} for {width} features: their covariance is singular, and the Fréchet distance mostly "
                "its own bias: take more, or --extrapolate, or look at kid"
            )
    return said


def _part(rng: np.random.Generator, size: int, n: int) -> np.ndarray:
    return np.sort(rng.choice(size, n, replace=False))


def _intervals(
    ours: np.ndarray,
    its: np.ndarray,
    found: Mapping[str, Any],
    groups: int,
    rng: np.random.Generator,
    reference: Moments,
) -> dict[str, Figures]:
    """The bounds and the error of each figure, by the jackknife over groups of samples."""
    parts = [np.sort(part) for part in np.array_split(rng.permutation(len(ours)), groups)]
    moments, root_b = [moments_of(ours[part]) for part in parts], root(reference)
    without: dict[str, list[float]] = {name: [] for name in found}
    real, some_ours = some(its), some(ours)
    width, places = median_distance(real), np.array_split(rng.permutation(len(some_ours)), groups)
    slices: Callable[[np.ndarray], float] = lambda x: sliced_wasserstein(x, its, np.random.default_rng(0))
    for i in range(groups):
        whole = functools.reduce(merge, [m for j, m in enumerate(moments) if j != i])
        kept = some_ours[np.sort(np.concatenate([p for j, p in enumerate(places) if j != i]))]
        each = {"fd": distance(whole, reference, root_b), "kid": mmd(kept, real, cubic), "swd": slices(kept)}
        each |= {"mmd": mmd(kept, real, gaussian(width)), **manifold(kept, real)._asdict()}
        for name, value in each.items():
            without[name].append(value)
    return {name: of_groups(found[name]["value"], values)._asdict() for name, values in without.items()}
