"""Quality: jaxdiff's recipe beside the training loops of two peers, on as many images and on as many seconds.

    python benchmarks/quality.py --json benchmarks/results/quality_digits_cpu.json
    python benchmarks/quality.py --data fashion_mnist.npz --minutes 4 --seeds 1 --num 1000 --parts 2

On the digits jaxdiff trains as configs/ddpm.py says, for --steps; on a .npz with "train_images", "test_images" and
"test_labels" as `jaxdiff.train(images, fields={"train.minutes": M})` does; and once more, the network predicting v
(`--config.parameterization.name=v`). The peers (peers.py) train by two recipes each: on as many images as jaxdiff sees,
and for as many seconds as its steps take. Seconds are those of the processor (`time.process_time`), PyTorch having one
thread, so that other work on the machine counts for nobody; those of a step are measured first, all programs taking
turns, without starting and compiling. All networks have as many parameters, to a tenth. With the first seed both
recipes of a peer are tried; the one with the better distance of learned features at equal images goes on to the other
seeds. The record has all.

Each trained network draws --parts sets of --num images in 50 calls of the network by DPM-Solver++ (2M); with the first
seed also by DDIM, where a library has that alone, and with --chain and the last seed one set by the chain of 1000, at
equal images. Each set is compared with as many training images, by the measures of `jaxdiff evaluate`, on pixels and on
features learned from labels: those of the digits, or of held-out images of a .npz that are not compared. Real held-out
images, mixtures and nearest neighbors are compared in the same way.

Runs are kept below --folder: the same command goes on where it was killed. Needs the extra `parity` and
`pip install --no-deps denoising-diffusion-pytorch ema-pytorch einops`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import baselines
import measure
import numpy as np
import programs
from programs import FAST, OURS, OURS_V, PEERS, TRIED

from jaxdiff.config.budget import Speed, within
from jaxdiff.evaluation.features import find_features
from jaxdiff.modalities.images import image_spec

IMAGES, SECONDS = "equal images", "equal seconds"
LABELED, FLOORS = 5000, 5
"""Held-out images that features are learned from, at most; seeds of the baselines."""


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("--data", default="digits", help='"digits", or a .npz')
    parser.add_argument("--steps", type=int, default=1800, help="of jaxdiff, on the digits (1800)")
    parser.add_argument("--minutes", type=float, default=4, help="of jaxdiff, on a .npz (4)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--num", type=int, default=1000, help="images in a set, held-out ones at most (1000)")
    parser.add_argument("--parts", type=int, default=4, help="sets that each network draws (4)")
    baselines.fitting(parser)
    parser.add_argument("--folder", type=Path, default=Path("runs/quality"))
    parser.add_argument("--chain", action="store_true", help="draw by the chains of 1000, too, with the last seed")
    for hidden, kind in (("--train", str), ("--seed", int), ("--chain-at", int)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    parser.add_argument("--marks", type=int, nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        measure.serve(programs.timed(arguments), time.process_time)
    elif arguments.train:
        programs.train(arguments)
    else:
        lead(arguments)


def lead(arguments: argparse.Namespace) -> None:
    """Time, train and judge all programs, each in a process of its own, one at a time."""
    arguments.folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    speeds = speeds_of(arguments)
    judge = Judge(arguments)
    plan = Plan(arguments, judge.data.training, speeds)
    told = {"data": arguments.data, "images": plan.images, "seconds": plan.seconds, "speeds": speeds}
    told |= {"n": judge.n, "parts": arguments.parts, "features": judge.told, "baselines": judge.baselines(arguments)}
    rows, names = [], tried(arguments)
    for seed in range(arguments.seeds):
        for name in [OURS, OURS_V, *names]:
            for budget, file in plan.run(name, seed, judge.n):
                rows += judge.rows(name, budget, seed, file)
                measure.record(arguments.json, rows, **told)
        if seed == 0:
            names = judge.better(rows, names)
    show(judge.learned, told["baselines"], rows)


def tried(arguments: argparse.Namespace) -> list[str]:
    """The peers and their recipes, as `--only` says."""
    return [name for name in TRIED if not arguments.only or name in arguments.only]


def speeds_of(arguments: argparse.Namespace) -> dict[str, dict]:
    """Milliseconds of the processor for an image in each program's training step, in turns; kept in a file."""
    file = arguments.folder / "speeds.json"
    if not file.exists():
        argv = ["--data", arguments.data, "--minutes", str(arguments.minutes)]
        workers, took = [measure.Worker(name, argv) for name in (OURS, *tried(arguments))], {}
        for _ in range(arguments.rounds):
            for worker in workers:
                took.setdefault(worker.name, []).append(1000 * worker.call() / worker.about["images"])
        rows = {
            name: {"ms_per_image": float(np.median(ms[1:])), "least": min(ms[1:]), "most": max(ms[1:])}
            for name, ms in took.items()
        }
        rows = {worker.name: rows[worker.name] | {"peak_mib": worker.end()["peak_mib"]} for worker in workers}
        file.write_text(json.dumps(rows, indent=2))
    return json.loads(file.read_text())


class Plan:
    """Who trains how long."""

    def __init__(self, arguments: argparse.Namespace, training: np.ndarray, speeds: dict[str, dict]):
        self.arguments, self.speeds = arguments, {OURS_V: speeds[OURS], **speeds}
        self.config = programs.recipe(arguments.data, training, arguments.minutes, arguments.steps)
        ms, batch, steps = speeds[OURS]["ms_per_image"], self.config["train"]["batch_size"], arguments.steps
        if arguments.data != "digits":
            steps = within(self.config, 60 * arguments.minutes, Speed(ms * batch / 1000))[0]["train"]["steps"]
        self.images, self.seconds = steps * batch, steps * batch * ms / 1000

    def steps(self, name: str) -> dict[str, int]:
        """By the budget."""
        batch = programs.batch_of(name, self.config)
        least = {IMAGES: self.images, SECONDS: 1000 * self.seconds / self.speeds[name]["ms_per_image"]}
        return {budget: max(1, round(images / batch)) for budget, images in least.items()}

    def run(self, name: str, seed: int, num: int) -> Iterator[tuple[str, Path]]:
        """Train, unless that was done, and tell for each budget where its images are."""
        marks, arguments = self.steps(name), self.arguments
        files = {budget: programs.path(arguments.folder, name, seed, mark) for budget, mark in marks.items()}
        missing = sorted({marks[budget] for budget, file in files.items() if not file.exists()})
        alone = programs.falls(name, self.config)
        for some in [[mark] for mark in missing] if alone else [missing] if missing else []:
            print(f"{name}, seed {seed}: {', '.join(map(str, some))} steps", flush=True)
            command = [sys.executable, sys.argv[0], "--train", name, "--seed", seed, "--marks", *some, "--num", num]
            command += ["--data", arguments.data, "--minutes", arguments.minutes, "--folder", arguments.folder]
            command += [
                "--parts",
                arguments.parts,
                "--chain-at",
                marks[IMAGES] if arguments.chain and seed == arguments.seeds - 1 else 0,
            ]
            subprocess.run([str(word) for word in command], check=True)
        yield from files.items()


class Judge:
    """Compares sets of images with training images."""

    def __init__(self, arguments: argparse.Namespace):
        self.data = programs.load(arguments.data)
        self.training, self.held_out = (x.reshape(len(x), -1).astype(float) for x in self.data[:2])
        self.n = min(arguments.num, baselines.size_of(self.training, self.held_out))
        self.shape = self.data.training.shape[1:]
        name = arguments.data
        if name != "digits":
            rest = slice(self.n, self.n + LABELED)
            name = str(arguments.folder / Path(name).name)
            pixels = np.uint8((self.data.held_out[rest] + 1) * 127.5 + 0.5)
            np.savez(name, images=pixels, labels=self.data.labels[rest])
        features = find_features(name, image_spec(self.shape))
        self.learned, self.told = features.name, {"name": features.name, **features.told}
        net = lambda x: np.concatenate([self.apply(features, x[i : i + 500]) for i in range(0, len(x), 500)])
        self.features = {"pixels": lambda x: x, features.name: net}

    def apply(self, features, x: np.ndarray) -> np.ndarray:
        return np.asarray(features.apply(np.float32(x).reshape(len(x), *self.shape))["features"], np.float64)

    def against(self, images: np.ndarray, seed: int) -> dict[str, float]:
        return baselines.against(images, self.training, seed, self.features)

    def baselines(self, arguments: argparse.Namespace) -> list[dict]:
        """Rows of real images and of the baselines; kept in a file."""
        file = arguments.folder / "baselines.json"
        if not file.exists():
            mixtures = baselines.mixtures_of(self.training, arguments)
            draws = baselines.baseline_draws(self.training, self.held_out[: self.n], mixtures)
            each = {name: [self.against(draw(s), s) for s in range(FLOORS)] for name, draw in draws.items()}
            file.write_text(json.dumps([{"name": k, "n": self.n, **baselines.summary(v)} for k, v in each.items()]))
        return json.loads(file.read_text())

    def rows(self, name: str, budget: str, seed: int, file: Path) -> list[dict]:
        """A row for each sampler, with the mean over its sets."""
        rows = []
        with np.load(file) as sets:
            told, steps = json.loads(str(sets["told"])), int(file.stem.rpartition("-")[2])
            for sampler in set(sets.files) - {"told"}:
                parts = [self.against(x.reshape(self.n, -1), i) for i, x in enumerate(sets[sampler])]
                figures = {key: value["mean"] for key, value in baselines.summary(parts).items()}
                row = {"name": name, "budget": budget, "sampler": sampler, "seed": seed, "steps": steps}
                rows.append(row | {"parts": len(parts), **told, "sampling_s": told["sampling_s"][sampler], **figures})
        print(
            f"{name:28} {budget:14} seed {seed}: "
            + ", ".join(f"{row['sampler']} {row[f'fd_{self.learned}']:.4g}" for row in rows),
            flush=True,
        )
        return rows

    def better(self, rows: list[dict], names: list[str]) -> list[str]:
        """Of each peer the recipe with the least distance of learned features, at equal images, in 50 calls."""
        wanted = {"budget": IMAGES, "sampler": FAST, "seed": 0}
        found = {row["name"]: row[f"fd_{self.learned}"] for row in rows if wanted.items() <= row.items()}
        recipes = ([name for name in names if name.startswith(peer)] for peer in PEERS)
        return [min(some, key=found.__getitem__) for some in recipes if some]


def show(learned: str, floors: list[dict], rows: list[dict]) -> None:
    """Print the table, as Markdown."""
    columns = ["fd_pixels", *(f"{figure}_{learned}" for figure in ("fd", "precision", "recall"))]
    print(f"| | images | sampler | seeds | {' | '.join(columns)} |\n|{'---|' * (4 + len(columns))}")
    cells = lambda row: " | ".join(f"{row[c]['mean']:.3g} ± {row[c]['spread']:.2g}" for c in columns)
    for row in floors:
        print(f"| {row['name']} | | | | {cells(row)} |")
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["budget"], row["sampler"], row["name"]), []).append(row)
    for (budget, sampler, name), some in sorted(groups.items()):
        whole = baselines.summary([{c: row[c] for c in columns} for row in some])
        print(f"| {name} | {budget} | {sampler} | {len(some)} | {cells(whole)} |")


if __name__ == "__main__":
    main()
