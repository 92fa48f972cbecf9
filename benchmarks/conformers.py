"""Conformers of molecules whose scaffolds were held out, beside ETKDG and beside distances made of the graph alone.

    python train.py --config=configs/conformers.py:npz=FILE.npz --workdir=runs/conformers
    python benchmarks/conformers.py --workdir runs/conformers --json benchmarks/results/conformers_cpu.json

For some of the held-out molecules, the same for all, each contender makes as many conformers, which
`jaxdiff.modalities.molecules.report` compares with the one in the file:

    etkdg    RDKit's ETKDGv3 (Wang et al. 2020), with hydrogens, which are then left out
    bounds   RDKit's distance geometry without torsions and rings known from crystals
    jaxdiff  the run, with stereocenters led to their hand (`jaxdiff.guidance.hands`), and without
    paths    lengths of the shortest paths through the bonds, each the sum of two radii, to the power 0.9, times 1 + 5 %
             of noise; three dimensions of them by classical scaling, of the hand that keeps more stereocenters
"""

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np
from measure import surroundings
from rdkit import Chem
from rdkit.Chem import AllChem

import jaxdiff
from jaxdiff.config.record import read_record
from jaxdiff.geometry import structures
from jaxdiff.geometry.rigid import align
from jaxdiff.modalities.molecules.conformers import read
from jaxdiff.modalities.molecules.graphs import make_graph
from jaxdiff.modalities.molecules.picture import draw, sheet, turned
from jaxdiff.modalities.molecules.report import figures, summary
from jaxdiff.pipelines.conformers import places

POWER, NOISE = 0.9, 0.05


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--workdir", type=Path, required=True, help="a run of configs/conformers.py")
    options.add_argument("--molecules", type=int, default=200, help="how many of those held out")
    options.add_argument("--each", type=int, default=5, help="conformers of each")
    options.add_argument("--steps", type=int, nargs="+", default=[50], help="of the sampler")
    options.add_argument("--option", action="append", default=[], help="NAME=VALUE of the sampler")
    options.add_argument("--only", nargs="+", help="names of contenders")
    options.add_argument("--picture", type=Path, help="draw some of the run's beside the known ones")
    options.add_argument("--json", type=Path, help="write the rows here")
    arguments = options.parse_args()
    data = read_record(arguments.workdir).config["held_out"]
    every = [molecule for molecule, _ in read(data["path"], "test", data["most"])]
    chosen = [every[i] for i in np.random.default_rng(0).permutation(len(every))[: arguments.molecules]]
    contenders = {"etkdg": etkdg, "bounds": bounds, "paths": paths}
    contenders |= {f"jaxdiff, {steps} steps": of_run(arguments, steps) for steps in arguments.steps}
    contenders["jaxdiff, hands not led"] = of_run(arguments, arguments.steps[0], False)
    rows = []
    for name, make in contenders.items():
        if arguments.only and name.split(",")[0] not in arguments.only:
            continue
        begin = time.perf_counter()
        drawn = make(chosen, arguments.each)
        seconds = (time.perf_counter() - begin) / (len(chosen) * arguments.each)
        if arguments.picture and name == f"jaxdiff, {arguments.steps[0]} steps":
            show(arguments.picture, chosen, drawn)
        made = [(m, x) for m, x in zip(chosen, drawn, strict=True) if x is not None]
        row = summary([figures(molecule, x) for molecule, x in made])
        rows.append({"name": name, "made": len(made), **row, "seconds": seconds})
        print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()}), flush=True)
    if arguments.json:
        about = {"molecules": len(chosen), "each": arguments.each, "weights": str(arguments.workdir)}
        arguments.json.write_text(json.dumps(surroundings() | about | {"rows": rows}, indent=2) + "\n")


def of_run(arguments, steps: int, hands: bool = True):
    """Conformers by a run, of all molecules in batches."""

    def make(molecules, each):
        model = jaxdiff.load(arguments.workdir)
        graphs = [make_graph(m) for m in molecules for _ in range(each)]
        given = dict(option.split("=") for option in arguments.option)
        given = {name: float(value) for name, value in given.items()}
        drawn = list(places(model, jax.random.key(0), graphs, 250, hands, steps=steps, **given))
        return [drawn[i : i + each] for i in range(0, len(drawn), each)]

    return make


def show(path, molecules, drawn, rows: int = 6) -> None:
    """The known conformer, first in each row, and those drawn, laid onto it: of molecules of several sizes."""
    order = np.argsort([m.GetNumAtoms() for m in molecules], kind="stable")
    chosen = order[np.linspace(0.2 * len(order), len(order) - 1, rows).astype(int)]
    figure, axes = sheet(rows, 1 + len(drawn[0]))
    for row, i in zip(axes, chosen, strict=True):
        symbols, bonds = [atom.GetSymbol() for atom in molecules[i].GetAtoms()], make_graph(molecules[i]).bonds
        known = turned(molecules[i].GetConformer().GetPositions())
        draw(row[0], known, symbols, bonds)
        for at, x in zip(row[1:], drawn[i], strict=True):
            draw(at, np.asarray(align(x, known)), symbols, bonds)
    figure.savefig(path, dpi=100)


def embedded(molecules, each, parameters):
    """Of each molecule, conformers by RDKit, or None where it finds none."""
    found = []
    for molecule in molecules:
        whole = Chem.AddHs(Chem.Mol(molecule, True))
        numbers = list(AllChem.EmbedMultipleConfs(whole, each, parameters))
        heavy = [atom.GetIdx() for atom in whole.GetAtoms() if atom.GetAtomicNum() > 1]
        found.append([whole.GetConformer(i).GetPositions()[heavy] for i in numbers] if len(numbers) == each else None)
    return found


def etkdg(molecules, each):
    parameters = AllChem.ETKDGv3()
    parameters.randomSeed = 1  # of 0 RDKit makes all alike
    return embedded(molecules, each, parameters)


def bounds(molecules, each):
    parameters = AllChem.EmbedParameters()
    parameters.randomSeed, parameters.enforceChirality = 1, True
    return embedded(molecules, each, parameters)


def paths(molecules, each):
    table, rng, found = Chem.GetPeriodicTable(), np.random.default_rng(0), []
    for molecule in molecules:
        n, graph = molecule.GetNumAtoms(), make_graph(molecule)
        radius = [table.GetRcovalent(atom.GetAtomicNum()) for atom in molecule.GetAtoms()]
        apart = np.full((n, n), np.inf)
        np.fill_diagonal(apart, 0)
        for a, b in graph.bonds:
            apart[a, b] = apart[b, a] = radius[a] + radius[b]
        for k in range(n):
            apart = np.minimum(apart, apart[:, k : k + 1] + apart[k])
        some = []
        for _ in range(each):
            noise = 1 + NOISE * rng.normal(size=(n, n))
            squares = (apart**POWER * (noise + noise.T) / 2) ** 2
            middle = np.eye(n) - 1 / n
            values, vectors = np.linalg.eigh(-0.5 * middle @ squares @ middle)
            x = vectors[:, -3:] * np.sqrt(np.maximum(values[-3:], 0))
            x = np.pad(x, ((0, 0), (0, 3 - x.shape[1])))
            kept = np.asarray(structures.volumes(x, graph.centers)) > 0
            some.append(x if kept.sum() * 2 >= kept.size else -x)
        found.append(some)
    return found


if __name__ == "__main__":
    main()
