"""Molecules drawn for a property that was asked for, beside those of the same network that was told none.

    python train.py --config=configs/molecules.py:npz=qm7_molecules.npz,property=energy_kcal_mol --workdir=runs/energy
    python benchmarks/molecule_property.py --workdir runs/energy --num 64 --json OUT.json

Requests are the properties of held-out molecules, and each molecule that is drawn has as many atoms as the one whose
property it is asked for, so that what follows the request beyond their number is seen. How near it came is said by two
judges, least squares on the numbers of the elements, and on these and the numbers of bonds of each kind and order
(`bonds.orders`), which is wrong where bonds are, fitted to the molecules of training. Their own errors on held-out
molecules stand beside. Of both, "followed" is the correlation of what is judged with the request, each less the mean of
the molecules of training with as many atoms: 0 for what knows no more than their number.

    number of atoms alone    the mean of the property of the molecules of training with as many atoms, nothing drawn
    none told                the network that is told the number of atoms alone
    told                     and the property, also with classifier-free guidance
    another of as many atoms a random molecule of training with as many atoms in the place of one that is drawn
"""

import argparse
import itertools
import time
from pathlib import Path

import jax
import numpy as np
from measure import record

import jaxdiff
from jaxdiff.modalities.molecules import chemistry
from jaxdiff.modalities.molecules.bonds import orders
from jaxdiff.modalities.molecules.source import read, split_of
from jaxdiff.pipelines.options import finite
from jaxdiff.training import log


def elements_of(molecules, elements):
    """How many atoms of each element molecules (n, atoms, 4) have, and a 1: (n, elements + 1)."""
    counts = (molecules[..., :1] == elements).sum(1).astype(float)
    return np.concatenate([counts, np.ones((len(counts), 1))], 1)


def features_of(molecules, elements):
    """The same, and how many bonds of each kind and order."""
    order, number, columns = np.triu(orders(molecules[..., 0], molecules[..., 1:])), molecules[..., 0], []
    for a, b in itertools.combinations_with_replacement(elements, 2):
        pair = (number[:, :, None] == a) & (number[:, None] == b) | (number[:, :, None] == b) & (number[:, None] == a)
        columns += [((order == k) & pair).sum((1, 2)) for k in (1, 2, 3)]
    return np.concatenate([elements_of(molecules, elements), np.stack(columns, 1)], 1)


def fitted(features, values):
    """The weights of least squares with a small ridge, in the property's own units."""
    square = features.T @ features + 1e-3 * np.eye(features.shape[1])
    return np.linalg.solve(square, features.T @ values)


def row(name, judged, requests, means, molecules=None, **further):
    """How near judged properties, by the name of the judge, come to the requests; means are those of as many atoms."""
    made = {"name": name}
    for judge, values in judged.items():
        error = np.abs(values - requests)
        made |= {f"error, {judge}": float(error.mean()), f"± {judge}": float(error.std(ddof=1) / len(error) ** 0.5)}
        made[f"bias, {judge}"] = float((values - requests).mean())
        if (values != means).any():
            made[f"followed, {judge}"] = float(np.corrcoef(values - means, requests - means)[0, 1])
    made |= {} if molecules is None else chemistry.figures(molecules)
    made |= further
    print({k: round(v, 3) if isinstance(v, float) else v for k, v in made.items()}, flush=True)
    return made


def main():
    """Draw, judge, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--num", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--guidance", type=float, nargs="*", default=[2.0])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    model = jaxdiff.load(given.workdir)
    data, elements = (model.config or {})["data"], np.array(model.spec.details["elements"])
    numbers, place, extra = read(data["path"])
    every = np.concatenate([numbers[..., None], place], -1)
    train, test = split_of(len(every), "test")
    values = np.asarray(extra[data["property"]], np.float64)
    by_elements = fitted(elements_of(every[train], elements), values[train])
    weights = fitted(features_of(every[train], elements), values[train])
    judge = lambda molecules: {
        "elements": elements_of(molecules, elements) @ by_elements,
        "bonds": features_of(molecules, elements) @ weights,
    }
    chosen = np.random.default_rng(0).permutation(test)[: given.num]
    requests, atoms, sizes = values[chosen], (numbers[chosen] > 0).sum(1), (numbers[train] > 0).sum(1)
    alike = [train[sizes == count] for count in atoms]
    means = np.array([values[some].mean() for some in alike])
    others = np.array([np.random.default_rng([1, i]).choice(some) for i, some in enumerate(alike)])
    rows = [
        row("the judges, on the held-out molecules", judge(every[chosen]), requests, means),
        row("number of atoms alone", {"elements": means}, requests, means),
        row("another of as many atoms", judge(every[others]), requests, means),
    ]
    arms = [("none told", {}, None), ("told", {"property": requests}, None)]
    arms += [(f"told, guidance {scale:g}", {"property": requests}, {"guidance": scale}) for scale in given.guidance]
    for name, told, options in arms:
        begin = time.perf_counter()
        told |= {"atoms": atoms}
        drawn = model.sample(jax.random.key(0), given.num, given.steps, condition=told, **(options or {}))
        drawn = finite(np.asarray(drawn))
        rows.append(row(name, judge(drawn), requests, means, drawn, seconds=time.perf_counter() - begin))
    told = {"weights": model.weights, "steps": given.steps, "molecules": given.num, "property": data["property"]}
    record(given.json, rows, **told, training=log.read(Path(given.workdir))[-1])


if __name__ == "__main__":
    main()
