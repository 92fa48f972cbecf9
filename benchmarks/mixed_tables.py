"""Synthetic tables of mixed columns beside what is fitted in ten lines, and real rows in their place.

    python train.py --config=configs/tables.py:csv=adult.csv.gz --config.seed=0 --workdir=runs/adult/0     and 1, 2
    python benchmarks/mixed_tables.py --workdir runs/adult --target income --json benchmarks/results/adult_cpu.json

Each run below --workdir is drawn from, as many rows as it was trained on, and judged on the fifth of the rows that was
held out by `jaxdiff.modalities.tables.report`. Beside them, fitted to the same rows, three seeds each:

    real        half of the training rows: the floor (its utility is that of all of them)
    copula      a Gaussian copula: normal scores of each column, their covariance, and back by the quantiles
    smote       a row between a row and one of its five nearest neighbors (Chawla et al. 2002); its categories are those
                of either: the baseline that copies
"""

import argparse
import json
from pathlib import Path

import jax
import numpy as np
import scipy.stats
from measure import surroundings
from sklearn.neighbors import NearestNeighbors

import jaxdiff
from jaxdiff.config import build
from jaxdiff.config.record import read_record
from jaxdiff.modalities import make_codec
from jaxdiff.modalities.tables import report
from jaxdiff.modalities.tables.spec import mixed_columns

SEEDS = 3
BATCH = 8192


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--workdir", type=Path, required=True, help="a folder of runs of one table")
    options.add_argument("--target", required=True, help="the column to learn")
    options.add_argument("--json", type=Path, help="write the rows here")
    arguments = options.parse_args()
    found: dict[str, list[dict]] = {}
    for file in sorted(arguments.workdir.glob("*/config.json")):
        model, config = jaxdiff.load(file.parent), read_record(file.parent).config
        columns, decode = mixed_columns(model.spec), make_codec(model.spec).decode
        train, test = (rows_of(build.source({**config, "data": config[part]}), decode) for part in ("data", "held_out"))
        if not found:
            for seed in range(SEEDS):
                rng = np.random.default_rng(seed)
                others = {
                    "real": train[rng.permutation(len(train))[: len(train) // 2]],
                    "copula": copula(columns, train, rng),
                    "smote": smote(columns, train, rng),
                }
                for name, drawn in others.items():
                    add(found, name, columns, train, test, drawn, arguments.target)
        stream = model.stream(jax.random.key(0), len(train), BATCH)
        add(found, "jaxdiff", columns, train, test, np.concatenate(list(stream)), arguments.target)
    rows = [{"name": name, **spread(each)} for name, each in found.items()]
    if arguments.json:
        arguments.json.write_text(
            json.dumps(surroundings() | {"target": arguments.target, "rows": rows}, indent=2) + "\n"
        )


def add(found, name, columns, train, test, drawn, target) -> None:
    """Judge rows, and print their figures."""
    figures = report.figures(columns, train, test, np.asarray(drawn, np.float64), target)
    if name == "real":
        figures["utility"] = report.utility(columns, train, test, target)
        figures["dcr"] = 0.5  # of rows that are themselves among the training ones it says nothing
    found.setdefault(name, []).append(figures)
    print(json.dumps({"name": name, **{k: round(v, 4) for k, v in figures.items()}}), flush=True)


def spread(each: list[dict]) -> dict:
    """Mean and standard deviation of each figure over seeds."""
    values = {name: [figures[name] for figures in each] for name in each[0]}
    return {name: {"mean": np.mean(v), "spread": np.std(v, ddof=1) if len(v) > 1 else 0} for name, v in values.items()}


def rows_of(source, decode) -> np.ndarray:
    return np.asarray(decode(source.take(np.arange(source.size)).x_0), np.float64)


def copula(columns, train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of a Gaussian copula; what is missing counts as the least, and categories in the order of their number."""
    table = np.where(np.isfinite(train), train, np.nanmin(train, axis=0) - 1)
    scores = scipy.stats.norm.ppf((scipy.stats.rankdata(table, axis=0) - 0.5) / len(train))
    drawn = rng.multivariate_normal(np.zeros(len(columns)), np.corrcoef(scores.T), len(train))
    shares = np.floor(scipy.stats.norm.cdf(drawn) * len(train)).astype(int).clip(0, len(train) - 1)
    made = np.take_along_axis(np.sort(table, axis=0), shares, axis=0)
    return np.where(made < np.nanmin(train, axis=0), np.nan, made)


def smote(columns, train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows between neighbors."""
    features = report.features(columns, train, train)
    near = NearestNeighbors(n_neighbors=6).fit(features).kneighbors(features, return_distance=False)[:, 1:]
    other = train[near[np.arange(len(train)), rng.integers(5, size=len(train))]]
    share = rng.random((len(train), 1))
    numbers = np.array([column.kind == "number" for column in columns])
    between = np.where(np.isfinite(train) & np.isfinite(other), train + share * (other - train), train)
    decimals = [10.0 ** max(column.decimals, 0) for column in columns]
    between = np.round(between * decimals) / decimals
    return np.where(numbers, between, np.where(rng.random(train.shape) < 0.5, train, other))


if __name__ == "__main__":
    main()
