"""Temperature: quality against diversity of digits, for both forms of it.

    python train.py --config=configs/ddpm.py
    python benchmarks/temperature.py --workdir runs/ddpm --json benchmarks/results/temperature_cpu.json --docs docs

`temperature` is a factor on the noise of each step, `noise_scale` on all noise, x_1 included. Each point is 718 digits
drawn in --steps ancestral steps, from each of --seeds keys, judged as in digits_quality.py. --docs writes
images/temperature.png: the two curves, and a row of digits of each point.
"""

import argparse
import json
from pathlib import Path

import jax
import numpy as np
from digits_quality import Judge
from measure import surroundings

import jaxdiff
from jaxdiff.config.record import find, read_record
from jaxdiff.modalities.images import pictures
from jaxdiff.training.sharding import use_cpu_devices

VALUES = (1.0, 0.9, 0.8, 0.7, 0.6)
FORMS = ("temperature", "noise_scale")
SHOWN = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", default="runs/ddpm", help="a run that was trained on the digits")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--docs", type=Path, help="write the picture here")
    arguments = parser.parse_args()

    use_cpu_devices(read_record(find(arguments.workdir)).config["train"]["cpu_devices"])
    judge, model = Judge(), jaxdiff.load(arguments.workdir)
    rows, shown = [], []
    for form in FORMS:
        for value in VALUES:
            draw = lambda seed, form=form, value=value: np.asarray(
                model.sample(jax.random.key(seed), judge.n, arguments.steps, "ancestral", **{form: value})
            )
            drawn = [draw(seed) for seed in range(arguments.seeds)]
            each = [judge.figures(images) | {"variance": float(images.var(0).mean())} for images in drawn]
            figures = {k: [e[k] for e in each] for k in each[0]}
            means = {k: {"mean": np.mean(v), "spread": np.std(v, ddof=1)} for k, v in figures.items()}
            rows.append({"form": form, "value": value, **means})
            shown.append(drawn[0][:SHOWN])
            print(form, value, {k: f"{m['mean']:.3f} ± {m['spread']:.3f}" for k, m in means.items()}, flush=True)
    if arguments.json:
        content = surroundings() | {"steps": arguments.steps, "seeds": arguments.seeds, "rows": rows}
        arguments.json.write_text(json.dumps(content, indent=2, default=float) + "\n")
    if arguments.docs:
        picture(arguments.docs / "images" / "temperature.png", rows, shown)


def picture(path: Path, rows: list[dict], shown: list[np.ndarray]) -> None:
    """The curves of quality against diversity on the left, the digits on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="tight")
    curves, digits = figure.subplots(1, 2, width_ratios=(1, 1.5))
    for form in FORMS:
        mine = [row for row in rows if row["form"] == form]
        x, y = ([row[k]["mean"] for row in mine] for k in ("variance", "probability"))
        curves.errorbar(x, y, [row["probability"]["spread"] for row in mine], marker="o", label=form)
        for row, *place in zip(mine, x, y, strict=True):
            curves.annotate(f"{row['value']:g}", place, textcoords="offset points", xytext=(4, 4))
    curves.set(xlabel="diversity: variance of a pixel", ylabel="quality: the judge's top probability")
    curves.legend()
    digits.imshow(pictures.grid(np.concatenate(shown), columns=SHOWN)[..., 0], cmap="grey")
    side = pictures.grid(shown[0][:1]).shape[0] - 2
    digits.set_yticks([side * (i + 0.5) for i in range(len(rows))], [f"{r['form']} {r['value']:g}" for r in rows])
    digits.set_xticks([])
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
