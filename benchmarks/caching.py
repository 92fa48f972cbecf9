"""Step caching: what computing the deeper levels at every n-th step only saves, and what it costs.

    python benchmarks/caching.py --workdir runs/ddpm

From the same noise, digits of a trained run with and without: their root mean square difference (pixels lie in
[-1, 1]), the judge of digits_quality.py on both, and the time. n = 1 is the sampler itself.
"""

import statistics

import jax
import measure
import numpy as np
from digits_quality import Judge

import jaxdiff
from jaxdiff.config.record import find, read_record
from jaxdiff.training.sharding import use_cpu_devices

CHAINS = {"ancestral": 250, "ddim": 50, "dpmpp_2m": 20}
EVERY = (1, 2, 3, 5, 10)


def main() -> None:
    parser = measure.parser(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--workdir", default="runs/ddpm", help="a run that was trained on the digits")
    parser.add_argument("--num", type=int, default=512)
    arguments = parser.parse_args()
    use_cpu_devices(read_record(find(arguments.workdir)).config["train"]["cpu_devices"])
    model, judge, rows = jaxdiff.load(arguments.workdir), Judge(), []
    print(f"{'':34} {'difference':>10} {'probability':>11} {'Fréchet':>8} {'seconds':>8} {'speed':>6}")
    for sampler, steps in CHAINS.items():

        def draw(every, sampler=sampler, steps=steps):
            return np.asarray(model.sample(jax.random.key(0), arguments.num, steps, sampler, cache=every))

        images = {every: draw(every) for every in EVERY}
        seconds = {every: [] for every in EVERY}
        for _ in range(arguments.rounds):
            for every in EVERY:
                seconds[every].append(measure.seconds(lambda every=every: draw(every)))
        for every in EVERY:
            took = statistics.median(seconds[every])
            judged = judge.figures(images[every])
            row = {
                "name": f"{sampler}, {steps} steps, every {every}",
                "difference": float(np.sqrt(np.mean((images[every] - images[1]) ** 2))),
                "probability": judged["probability"],
                "frechet": judged["frechet"],
                "seconds": took,
                "speed": statistics.median(seconds[1]) / took,
            }
            rows.append(row)
            print(
                f"{row['name']:34} {row['difference']:10.4f} {row['probability']:11.3f} {row['frechet']:8.3f} "
                f"{row['seconds']:8.2f} {row['speed']:6.2f}",
                flush=True,
            )
    measure.record(arguments.json, rows)


if __name__ == "__main__":
    main()
