"""Statistics: of a reference set, computed once, cached by its content, and as a file that one can share.

A STATS.npz holds no pickle:

    told                  JSON: the examples (name, fingerprint, size), the rounding, the features and their checksum
    NAME.mean, NAME.scatter, count     moments of the features NAME, float64
    NAME.features, NAME.logits         at most 10,000 rows, evenly spread, float32, for all that moments do not tell

Files of other programs with `mu` and `sigma` are read, too; of what they are, only their size tells.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.evaluation.features import Features
from jaxdiff.evaluation.measures import moments_of, some
from jaxdiff.evaluation.moments import Moments
from jaxdiff.training.files import replacing

__all__ = ["Statistics", "load", "of_rows", "save"]

ROWS = 10_000


class Statistics(NamedTuple):
    """What is known of a reference set in one kind of features.

    Attributes:
      moments: of the features.
      rows: "features" (m, d), and "logits"; empty where the moments alone are known.
      told: what they are of.
    """

    moments: Moments
    rows: Mapping[str, np.ndarray]
    told: Mapping[str, Any]


def of_rows(rows: Mapping[str, np.ndarray], told: Mapping[str, Any]) -> Statistics:
    """The statistics of rows of all examples."""
    return Statistics(moments_of(rows["features"]), rows, told)


def save(path: str | Path, known: Mapping[str, Statistics], features: Sequence[Features]) -> None:
    """Write the statistics by the names of features.

    Raises:
      InputError: the file cannot be written.
    """
    told = {"features": {f.name: dict(f.told) for f in features}, "of": dict(next(iter(known.values())).told)}
    arrays: dict[str, np.ndarray] = {"told": np.array(json.dumps(told))}
    for name, one in known.items():
        arrays |= {"count": np.array(one.moments.count), f"{name}.mean": one.moments.mean}
        arrays[f"{name}.scatter"] = one.moments.scatter
        arrays |= {f"{name}.{part}": np.asarray(some(rows, ROWS), np.float32) for part, rows in one.rows.items()}
    try:
        with replacing(Path(path)) as part, open(part, "wb") as out:
            np.savez(out, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def load(path: str | Path, features: Sequence[Features], rounding: str) -> dict[str, Statistics]:
    """The statistics of a file for these features.

    Raises:
      InputError: it cannot be read, or is of other features or of another rounding.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = dict(content)
        told = json.loads(str(arrays.pop("told", "{}")))
    except Exception as error:  # of a damaged file, NumPy and zipfile raise all kinds
        raise InputError(f"statistics {str(path)!r} cannot be read: {' '.join(str(error).split())}") from error
    if {"mu", "sigma"} <= arrays.keys() and not told:
        if len(features) != 1:
            raise InputError(f"statistics {str(path)!r} are of one kind of features: name it with --features")
        return {features[0].name: _of_others(Path(path), arrays)}
    known = {}
    for one in features:
        its = told.get("features", {}).get(one.name)
        if its is None or f"{one.name}.mean" not in arrays:
            there = ", ".join(told.get("features", {})) or "none"
            raise InputError(f"statistics {str(path)!r} are of the features {there}, not of {one.name!r}: take those")
        if its != json.loads(json.dumps(dict(one.told))):
            raise InputError(
                f"statistics {str(path)!r} are of other {one.name!r} features, {its}, than these, {dict(one.told)}: "
                "compute both with the same"
            )
        if told["of"]["rounding"] != rounding:
            raise InputError(f"statistics {str(path)!r} were rounded with {told['of']['rounding']!r}, not {rounding!r}")
        moments = Moments(int(arrays["count"]), arrays[f"{one.name}.mean"], arrays[f"{one.name}.scatter"])
        rows = {part: arrays[k] for part in ("features", "logits") if (k := f"{one.name}.{part}") in arrays}
        known[one.name] = Statistics(moments, rows, told["of"])
    return known


def _of_others(path: Path, arrays: Mapping[str, np.ndarray]) -> Statistics:
    """Moments whose count is not known: the covariance is taken as it is."""
    mean, covariance = np.asarray(arrays["mu"], np.float64), np.asarray(arrays["sigma"], np.float64)
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise InputError(f"statistics {str(path)!r}: mu {mean.shape} and sigma {covariance.shape} do not fit")
    return Statistics(Moments(2, mean, covariance), {}, {"name": path.name, "size": None})
