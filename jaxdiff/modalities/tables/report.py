"""Report: how near synthetic rows are to real ones, in what they are alike, and whether they are copies.

    shape      mean over columns of the Kolmogorov-Smirnov statistic (numbers) or the total variation (categories)
    trend      mean over pairs of columns of half the difference of their correlations (two numbers), or the total
               variation of their joint frequencies (others; numbers in ten bins of equal width)
    c2st       1 - (2 AUROC - 1) of a logistic regression that tells the two apart, 3-fold; 1 where it cannot
    utility    AUROC (R² of a number) of gradient boosting that learned a target from these rows, on real test rows
    dcr        share of synthetic rows that lie nearer to the training rows than to as many held-out ones; 0.5 is ideal

shape and trend are errors, 0 at best, as 1 minus the scores of the package sdmetrics. All of them have floors that
are not 0 or 1: those of training rows in place of synthetic ones. Tables are (n, columns)
float64, as `jaxdiff.modalities.tables.schema` has them.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.tables.schema import Column

__all__ = ["c2st", "dcr", "features", "figures", "kolmogorov_smirnov", "shape", "trend", "utility"]

BINS, NEAREST = 10, 5000


def kolmogorov_smirnov(x: np.ndarray, y: np.ndarray) -> float:
    """The largest difference of two empirical distributions; 1 where one of them is empty."""
    if not len(x) or not len(y):
        return float(len(x) != len(y))
    every = np.sort(np.concatenate([x, y]))
    upto = (np.searchsorted(np.sort(part), every, "right") / len(part) for part in (x, y))
    return float(np.abs(np.subtract(*upto)).max())


def _variation(x: np.ndarray, y: np.ndarray) -> float:
    """Half the sum of the differences of the frequencies of two arrays of whole numbers."""
    size = int(max(x.max(initial=0), y.max(initial=0))) + 1
    p, q = (np.bincount(part, minlength=size) / max(len(part), 1) for part in (x, y))
    return float(0.5 * np.abs(p - q).sum())


def _there(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def shape(columns: Sequence[Column], real: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    """The error of each column, by name."""
    errors = {}
    for column, x, y in zip(columns, real.T, drawn.T, strict=True):
        if column.kind == "number":
            errors[column.name] = kolmogorov_smirnov(_there(x), _there(y))
        else:
            errors[column.name] = _variation(x.astype(int), y.astype(int))
    return errors


def trend(columns: Sequence[Column], real: np.ndarray, drawn: np.ndarray) -> float:
    """The mean error of all pairs of columns."""
    codes = [_codes(column, x, y) for column, x, y in zip(columns, real.T, drawn.T, strict=True)]
    errors = []
    for i, j in itertools.combinations(range(len(columns)), 2):
        if columns[i].kind == columns[j].kind == "number":
            errors.append(abs(_correlation(real[:, [i, j]]) - _correlation(drawn[:, [i, j]])) / 2)
        else:
            width = 1 + max(int(part.max(initial=0)) for part in codes[j])
            errors.append(_variation(*(a * width + b for a, b in zip(codes[i], codes[j], strict=True))))
    return float(np.mean(errors)) if errors else 0.0


def _correlation(pair: np.ndarray) -> float:
    pair = pair[np.isfinite(pair).all(1)]
    if len(pair) < 2 or (pair.std(0) == 0).any():
        return 0.0
    return float(np.corrcoef(pair.T)[0, 1])


def _codes(column: Column, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The categories; of numbers the bin, one more where missing."""
    if column.kind == "category":
        return x.astype(int), y.astype(int)
    there = _there(x)
    edges = np.histogram_bin_edges(there if len(there) else np.zeros(1), BINS)[1:-1]
    cells = [np.where(np.isfinite(v), np.digitize(v, edges), BINS) for v in (x, y)]
    return cells[0], cells[1]


def features(columns: Sequence[Column], real: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Rows for a classifier: numbers standardized as the real ones, missing ones 0 and told, categories one-hot."""
    parts = []
    for column, x, values in zip(columns, real.T, table.T, strict=True):
        if column.kind == "category":
            parts.append(np.eye(len(column.values))[values.astype(int)])
            continue
        there, lost = _there(x), ~np.isfinite(values)
        mean, std = (there.mean(), there.std() or 1.0) if len(there) else (0.0, 1.0)
        parts.append(np.stack([np.where(lost, 0, (values - mean) / std), lost], axis=1))
    return np.concatenate(parts, axis=1)


def c2st(columns: Sequence[Column], real: np.ndarray, drawn: np.ndarray) -> float:
    """1 where a logistic regression cannot tell the rows apart, 0 where it always can; of as many rows of both."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    n, rng = min(len(real), len(drawn)), np.random.default_rng(0)
    x = features(columns, real, np.concatenate([part[rng.permutation(len(part))[:n]] for part in (real, drawn)]))
    y = np.repeat([0, 1], n)
    scores = []
    for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(x, y):
        model = LogisticRegression(max_iter=500).fit(x[train], y[train])
        scores.append(max(0.5, roc_auc_score(y[test], model.predict_proba(x[test])[:, 1])))
    return float(1 - np.mean(2 * np.array(scores) - 1))


def utility(columns: Sequence[Column], rows: np.ndarray, test: np.ndarray, target: str) -> float:
    """AUROC of a category, the mean over one against the others, or R² of a number, on real test rows.

    Args:
      rows: to learn from, real or synthetic.
      target: the column that is to be told from the others.

    Raises:
      InputError: there is no such column, or the rows hold one class of it alone.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import r2_score, roc_auc_score

    names = [column.name for column in columns]
    if target not in names:
        raise InputError(f"target={target!r}: must be one of the columns {', '.join(names)}")
    place = names.index(target)
    others = [i for i in range(len(names)) if i != place]
    categories = [i for i, other in enumerate(others) if columns[other].kind == "category"]
    categories = [i for i in categories if len(columns[others[i]].values) <= 255] or None
    (x, y), (x_test, y_test) = ((t[np.isfinite(t[:, place])][:, others], _there(t[:, place])) for t in (rows, test))
    settings: dict[str, Any] = {"categorical_features": categories, "random_state": 0}
    if columns[place].kind == "number":
        model = HistGradientBoostingRegressor(**settings).fit(x, y)
        return float(r2_score(y_test, model.predict(x_test)))
    if len(np.unique(y)) < 2:
        raise InputError(f"target={target!r}: these rows hold one class of it alone")
    model = HistGradientBoostingClassifier(**settings).fit(x, y.astype(int))
    p, scores = model.predict_proba(x_test), []
    for i, c in enumerate(model.classes_):
        if 0 < (y_test == c).sum() < len(y_test) and (len(model.classes_) > 2 or i == 1):
            scores.append(roc_auc_score(y_test == c, p[:, i]))
    return float(np.mean(scores))


def dcr(columns: Sequence[Column], train: np.ndarray, held_out: np.ndarray, drawn: np.ndarray) -> float:
    """The share of synthetic rows nearer to training rows than to as many held-out ones, ties half; at most 5,000 each.

    The distance is the sum over columns of the difference, of numbers over their range, of categories 0 or 1. The rows
    of each are drawn at random, since tables are often sorted. Where there are fewer held-out rows than training rows,
    a copy of one that was not drawn goes unnoticed.
    """
    n, rng = min(len(train), len(held_out), NEAREST), np.random.default_rng(0)
    span = [
        np.ptp(_there(x)) or 1.0 if c.kind == "number" and len(_there(x)) else 1.0
        for c, x in zip(columns, train.T, strict=True)
    ]
    chosen = ((train, n), (held_out, n), (drawn, NEAREST))
    scaled = [np.nan_to_num(part[rng.permutation(len(part))[:k]] / np.array(span), nan=-1.0) for part, k in chosen]
    numbers = np.array([column.kind == "number" for column in columns])
    nearer = 0.0
    for row in scaled[2]:
        nearest = []
        for part in scaled[:2]:
            apart = np.abs(part - row)
            nearest.append(np.where(numbers, apart, apart > 0).sum(1).min())
        nearer += (nearest[0] < nearest[1]) + 0.5 * (nearest[0] == nearest[1])
    return float(nearer / len(scaled[2]))


def figures(
    columns: Sequence[Column], train: np.ndarray, test: np.ndarray, drawn: np.ndarray, target: str = ""
) -> dict[str, float]:
    """All figures of rows that were drawn by a model of the training rows.

    Args:
      target: a column to learn, for the utility; "" for none.

    With training rows in place of `drawn` they are the floors: what real rows have against other real rows.
    """
    found = {
        "shape": float(np.mean(list(shape(columns, test, drawn).values()))),
        "trend": trend(columns, test, drawn),
        "c2st": c2st(columns, test, drawn),
    }
    if target:
        found["utility"] = utility(columns, drawn, test, target)
    return found | {"dcr": dcr(columns, train, test, drawn)}
