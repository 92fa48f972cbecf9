"""All methods side by side: the same network, as many steps, the same judge.

    python train.py --config=configs/ddpm.py        and iddpm, ncsn, vdm, edm, flow, score_sde.py:vp, :sub_vp and :ve
    python benchmarks/methods.py --workdir runs/ --json benchmarks/results/methods_cpu.json --docs docs

Every run below --workdir that was trained on the digits is drawn from five times, judged as in digits_quality.py beside
real digits and a Gaussian, and measured on held-out digits (`python sample.py --likelihood`). The sampler is the run's
own, or dpmpp_2m in 50 steps (32 where the chain has no more) where that takes more than 64 evaluations. --docs writes
the pictures, which are always drawn with the run's own, and the table of docs/methods.md.
"""

import argparse
import json
from pathlib import Path

import jax
import numpy as np
from digits_quality import FIGURES, Judge
from measure import surroundings

import jaxdiff
from jaxdiff.config import build
from jaxdiff.config.record import read_record
from jaxdiff.evaluation import held_out
from jaxdiff.modalities.images import pictures
from jaxdiff.training.sharding import use_cpu_devices

MOST, QUICK = 64, 50
EVALUATIONS = {"heun": 2, "midpoint": 2, "rk4": 4, "dpmpp_2s": 2, "srk": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", default="runs/", help="a folder of runs")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--docs", type=Path, help="write pictures and the table here")
    arguments = parser.parse_args()

    use_cpu_devices(2)
    judge = Judge()
    rows = judge.floors()
    for record in sorted(Path(arguments.workdir).glob("*/config.json")):
        row, images = measure(judge, record.parent)
        rows.append(row)
        print(json.dumps(row), flush=True)
        if arguments.docs:
            pictures.save_grid(arguments.docs / "images" / f"method_{row['name']}.png", images, columns=16)
        if arguments.json:
            arguments.json.write_text(json.dumps(surroundings() | {"rows": rows}, indent=2) + "\n")
    if arguments.docs:
        page = arguments.docs / "methods.md"
        begin, end = "<!-- table -->\n", "<!-- end of table -->"
        before, _, rest = page.read_text().partition(begin)
        page.write_text(before + begin + table(rows) + end + rest.partition(end)[2])


def measure(judge: Judge, folder: Path) -> tuple[dict, np.ndarray]:
    config = read_record(folder).config
    model = jaxdiff.load(folder)
    spec = config["sample"]["sampler"]
    each = EVALUATIONS.get(spec["name"], spec.get("repeats", 1)) + bool(spec.get("corrector"))
    quick = config["sample"]["steps"] * each > MOST
    steps = min(QUICK, config["sample"]["grid"].get("total", QUICK))
    options = {"sampler": "dpmpp_2m", "steps": steps} if quick else {}
    row = judge.row(folder.name, lambda seed: np.asarray(model.sample(jax.random.key(seed), judge.n, **options)))
    source = build.source({**config, "data": config["held_out"]})
    figures = held_out.measure(model, source, jax.random.key(0), source.size)
    own = spec["name"] + (" + " + spec["corrector"] if spec.get("corrector") else "")
    row |= {
        "sampler": options.get("sampler", own),
        "evaluations": options.get("steps", config["sample"]["steps"] * each),
        "bound": figures["variational bound"]._asdict(),
        "flow": figures["probability flow"]._asdict(),
    }
    return row, np.asarray(model.sample(jax.random.key(0), 32))


def table(rows: list[dict]) -> str:
    lines = [
        "| run | sampler | evaluations | probability | rarest class | Fréchet | bound, bits/dim | flow, bits/dim |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        quality = " | ".join(f"{row[f]['mean']:.3f} ± {row[f]['spread']:.3f}" for f in FIGURES)
        if "sampler" not in row:
            lines.append(f"| {row['name']} | | | {quality} | | |")
            continue
        bits = " | ".join(f"{row[k]['mean']:.3f} ± {row[k]['error']:.3f}" for k in ("bound", "flow"))
        lines.append(f"| {row['name']} | {row['sampler']} | {row['evaluations']:,} | {quality} | {bits} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
