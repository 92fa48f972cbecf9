"""Quality against steps on the digits: a teacher with the best of several solvers, and every student of it.

    python benchmarks/few_steps.py --folder runs/few --steps 900 --json benchmarks/results/few_steps_cpu.json

The teacher is configs/flow.py, trained for `--steps`; students of it are trained for as many again, and those without a
teacher for twice as many, so that all have seen as many images. A student that differentiates its teacher by the time
is trained from two: this one, and one alike but for a smooth clock (parameterization.time_scale=20). What is there in
the folder is not trained again, and what has rows in the record is not judged again: so a run that was cut goes on. In
many steps the teacher draws with dpmpp_2m. The judge is that of benchmarks/digits_quality.py: five times 718 images;
the share of the rarest class stands beside the distance, since what draws few classes may draw them well. Seconds are
those of 718 images.
"""

import argparse
import json
import re
from pathlib import Path

import jax
import numpy as np
from digits_quality import FIGURES, Judge
from measure import surroundings

import jaxdiff
from jaxdiff.cli.train import train
from jaxdiff.configs import ddgan, distill, flow, mean_flow, moment_matching, shortcut
from jaxdiff.errors import InputError
from jaxdiff.training.sharding import use_cpu_devices

SOLVERS = ("ddim", "heun", "dpmpp_2m", "unipc")
STEPS = (1, 2, 4)
LONG = 50
SMOOTH = ("continuous", "mean_flow")
"""Students that differentiate a network by the time."""
STUDENTS = (
    "progressive",
    "progressive,steps=4",
    "consistency",
    "easy_consistency",
    "continuous",
    "dmd",
    "judged_dmd",
    "mean_flow",
)
ALONE = {"mean_flow": mean_flow, "shortcut": shortcut, "moment_matching": moment_matching, "ddgan": ddgan}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/few"))
    parser.add_argument("--steps", type=int, default=900, help="of the teacher, and of each student again")
    parser.add_argument("--only", default="", help="students, with commas, progressive-4 among them; all by default")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument("--picture", type=Path, help="draw the curves of distance by steps here")
    arguments = parser.parse_args()
    use_cpu_devices(1)

    folder, only = arguments.folder, arguments.only.split(",") if arguments.only else []
    judge, teacher, smooth = Judge(), folder / "teacher", folder / "smooth_teacher"
    run(teacher, flow.get_config(), arguments.steps)
    rows = json.loads(arguments.json.read_text())["rows"] if arguments.json and arguments.json.is_file() else []

    def add(name, make):
        """Add the rows of a name, unless they are there, and write all."""
        if not any(row["name"].partition(", ")[0] == name or row["name"] == name for row in rows):
            rows.extend(make())
        if arguments.json:
            arguments.json.write_text(json.dumps(surroundings() | {"rows": rows}, indent=2) + "\n")

    add("real digits", judge.floors)
    add("teacher", lambda: teacher_rows(judge, jaxdiff.load(teacher)))
    if not only or set(only) & set(SMOOTH):
        of_smooth = flow.get_config()
        of_smooth.parameterization.time_scale = 20.0
        run(smooth, of_smooth, arguments.steps)
        add("smooth teacher", lambda: [long_row(judge, "smooth teacher", jaxdiff.load(smooth))])
    for name in STUDENTS:
        if not only or name.replace(",steps=", "-") in only:
            pairs = [(smooth, name), (teacher, f"{name} of a fast clock")] if name in SMOOTH else [(teacher, name)]
            for its, told in pairs:
                place, config = folder / re.sub("[,= ]", "-", told), f"{name},teacher={its}"
                rows_of = lambda: student_rows(judge, told, place, distill.get_config(config), arguments.steps)  # noqa: B023
                add(told, rows_of)
    for name, config in ALONE.items():
        if not only or f"{name} alone" in only:
            place, told = folder / f"{name}-alone", f"{name} alone"
            add(told, lambda: student_rows(judge, told, place, config.get_config(), 2 * arguments.steps))  # noqa: B023

    for row in rows:
        figures = "  ".join(f"{row[f]['mean']:7.3f} ± {row[f]['spread']:.3f}" for f in FIGURES)
        print(f"{row['name']:32}  {row.get('steps', 0):4}  {figures}  {row['sampling_s']:8.2f}")
    if arguments.picture:
        draw_curves(arguments.picture, rows)


def run(place: Path, config, steps: int) -> None:
    """Train a run, unless it is there."""
    config.train.update(steps=steps, sample_every=steps, checkpoint_every=steps, log_every=min(steps, 50))
    if code := train(config.to_dict(), place):
        raise SystemExit(code)  # stopped by a signal, say


def teacher_rows(judge: Judge, model) -> list[dict]:
    """At each few steps the best of the solvers, and one in many steps."""
    rows = []
    for steps in STEPS:
        tried = [row_of(judge, f"teacher, {solver}", model, steps, sampler=solver) for solver in SOLVERS]
        rows.append(min((row for row in tried if row), key=lambda row: row["frechet"]["mean"]))
    return [*rows, long_row(judge, "teacher", model)]


def long_row(judge: Judge, name: str, model) -> dict:
    """One in many steps."""
    row = row_of(judge, f"{name}, dpmpp_2m", model, LONG, sampler="dpmpp_2m")
    assert row is not None
    return row


def student_rows(judge: Judge, name: str, place: Path, config, steps: int) -> list[dict]:
    """A student, in each number of steps that it draws in."""
    run(place, config, steps)
    model = jaxdiff.load(place)
    return [row for n in STEPS if (row := row_of(judge, name, model, n))]


def row_of(judge: Judge, name: str, model, steps: int, **options) -> dict | None:
    """A row; none where the model refuses these steps."""
    try:
        model.sample(jax.random.key(0), judge.n, steps, **options)  # and compile
    except InputError:
        return None
    draw = lambda seed: np.asarray(model.sample(jax.random.key(seed), judge.n, steps, **options))
    return judge.row(name, draw) | {"steps": steps}


def draw_curves(file: Path, rows: list[dict]) -> None:
    """The distance by the steps, and the floor of real digits."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    names = dict.fromkeys(row["name"] for row in rows if "steps" in row and "teacher" not in row["name"])
    for name in [*names, "teacher"]:
        chosen = [row for row in rows if "steps" in row and name in (row["name"], row["name"].partition(", ")[0])]
        axes.plot(*zip(*((row["steps"], row["frechet"]["mean"]) for row in chosen), strict=True), "o-", label=name)
    axes.axhline(rows[0]["frechet"]["mean"], color="gray", linestyle=":", label="real digits")
    axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="Fréchet distance")
    axes.set_xticks([*STEPS, LONG], [*map(str, STEPS), str(LONG)], minor=False)
    axes.tick_params(axis="x", which="minor", labelbottom=False)
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
