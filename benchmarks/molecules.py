"""Molecules drawn by a run, beside what as many real ones have, and beside noise.

    python benchmarks/molecules.py --workdir runs/molecules --num 500 --seeds 0 1 2 --json OUT.json

    data, training     the molecules of training: what the figures make of real molecules
    data, held out     those held out, whose share of novel ones is what a model that learned by heart does not have
    noise              elements as often as in the data, coordinates normal with its deviation
    drawn              by the run, a row a seed

Bond lengths: the Wasserstein distance, in Angstrom, of the lengths of all bonds of a kind to those of the molecules of
training; the row of the held-out data is its floor. The bound is that of `jaxdiff sample --likelihood`.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np
from measure import record
from scipy.stats import wasserstein_distance

import jaxdiff
from jaxdiff.config import build
from jaxdiff.evaluation import held_out
from jaxdiff.modalities.molecules import chemistry
from jaxdiff.modalities.molecules.bonds import orders
from jaxdiff.modalities.molecules.spec import SYMBOLS
from jaxdiff.pipelines.options import finite
from jaxdiff.training import log

PAIRS = ("CC", "CH", "CN", "CO", "HN", "HO")


def lengths(molecules):
    """The lengths of all bonds, by kind: {"CC": (n,)}."""
    order = np.triu(orders(molecules[..., 0], molecules[..., 1:]))
    found = {pair: [] for pair in PAIRS}
    for i, a, b in np.argwhere(order):
        pair = "".join(sorted(SYMBOLS[int(molecules[i, j, 0])] for j in (a, b)))
        if pair in found:
            found[pair].append(np.linalg.norm(molecules[i, a, 1:] - molecules[i, b, 1:]))
    return found


def row(name, molecules, known, real, **further):
    """The figures of molecules (n, atoms, 4)."""
    mine = lengths(molecules)
    apart = {pair: float(wasserstein_distance(mine[pair], real[pair])) if mine[pair] else None for pair in PAIRS}
    made = {"name": name, **chemistry.figures(molecules, known), "bond_lengths_w1": apart, **further}
    print(name, {k: round(v, 4) for k, v in made.items() if isinstance(v, float)}, flush=True)
    return made


def noise(molecules, rng):
    """Molecules as large, of elements as often, at random places."""
    there = molecules[..., 0] > 0
    place = rng.normal(size=molecules[..., 1:].shape) * molecules[there][:, 1:].std()
    numbers = rng.choice(molecules[there][:, 0], there.shape)
    return np.concatenate([numbers[..., None], place], -1) * there[..., None]


def main():
    """Draw, measure, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--num", type=int, default=500)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--likelihood", type=int, default=0, metavar="N", help="held-out molecules of the bound")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    model = jaxdiff.load(given.workdir)
    config = model.config or {}
    sets = {"training": build.source(config), "held out": build.held_out(config, model.spec)}
    data = {name: model.codec.decode(one.take(np.arange(one.size)).x_0) for name, one in sets.items()}
    known = {one.smiles for one in chemistry.read_all(data["training"]) if one.smiles}
    real = lengths(data["training"])
    rows = [row(f"data, {name}", x, None if name == "training" else known, real) for name, x in data.items()]
    rows.append(row("noise", noise(data["held out"], np.random.default_rng(0)), known, real))
    for seed in given.seeds:
        begin = time.perf_counter()
        drawn = finite(np.concatenate(list(model.stream(jax.random.key(seed), given.num, 128, given.steps))))
        seconds = time.perf_counter() - begin
        rows.append(row("drawn", drawn, known, real, seed=seed, seconds=seconds))
    told = {"weights": model.weights, "steps": given.steps or model.steps, "molecules": given.num}
    told |= {"valences of sulfur": "2, 4 or 6", "training": log.read(Path(given.workdir))[-1]}
    if given.likelihood:
        figures = held_out.measure(model, sets["held out"], jax.random.key(0), given.likelihood)
        told["likelihood"] = {name.strip(): figure._asdict() for name, figure in figures.items()}
        print(told["likelihood"])
    record(given.json, rows, **told)


if __name__ == "__main__":
    main()
