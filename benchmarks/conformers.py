"""Conformers of molecules whose scaffolds were held out, beside ETKDG and beside distances made of the graph alone.

    python train.py --config=configs/conformers.py:npz=FILE.npz --workdir=runs/conformers
    python benchmarks/conformers.py --workdir runs/conformers --json benchmarks/results/conformers_cpu.json

For some of the held-out molecules, the same for all, each contender makes as many conformers, which
`jaxdiff.modalities.molecules.report` compares with the one in the file: those that need no training, which are those of
`jaxdiff.modalities.molecules.embedding`, and the run, with stereocenters led to their hand (`jaxdiff.guidance.hands`)
and without, by several numbers of steps. `jaxdiff evaluate` has the first row of the run beside them.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np
from measure import surroundings

import jaxdiff
from jaxdiff.config.record import read_record
from jaxdiff.evaluation.of_conformers import of_model
from jaxdiff.modalities.molecules import show_conformers
from jaxdiff.modalities.molecules.conformers import read
from jaxdiff.modalities.molecules.embedding import EMBEDDINGS
from jaxdiff.modalities.molecules.report import figures, summary


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
    contenders = dict(EMBEDDINGS)
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
            show_conformers.beside(chosen, drawn).savefig(arguments.picture, dpi=100)
        made = [(m, x) for m, x in zip(chosen, drawn, strict=True) if x is not None]
        row = summary([figures(molecule, x) for molecule, x in made])
        rows.append({"name": name, "made": len(made), **row, "seconds": seconds})
        print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()}), flush=True)
    if arguments.json:
        about = {"molecules": len(chosen), "each": arguments.each, "weights": jaxdiff.load(arguments.workdir).weights}
        arguments.json.write_text(json.dumps(surroundings() | about | {"rows": rows}, indent=2) + "\n")


def of_run(arguments, steps: int, hands: bool = True):
    """Conformers by a run, of all molecules in batches."""
    given = dict(option.split("=") for option in arguments.option)
    given = {name: float(value) for name, value in given.items()}
    model = jaxdiff.load(arguments.workdir)
    return of_model(model, jax.random.key(0), 250, hands=hands, steps=steps, **given)


if __name__ == "__main__":
    main()
