"""How good is every sampler on data whose denoiser is exact?

    python benchmarks/solvers.py --json benchmarks/results/solvers_cpu.json

Data: a mixture of three stretched Gaussians in the plane. For deterministic samplers, measured orders of convergence
(160 to 320 steps) in the middle of the path, away from its singular ends, and on the whole of it (from t = 1, or 0.999,
to the data). For stochastic ones, the sliced Wasserstein-2 distance to the mixture of 100,000 points in 10 to 1000
steps, beside the distance of two exact sets of as many points. Annealed Langevin dynamics is biased by design: its last
lines are that.
"""

import argparse
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from measure import surroundings

sys.path.insert(0, str(Path(__file__).parent.parent))
from jaxdiff import samplers
from jaxdiff.gaussian import grids, schedules
from jaxdiff.samplers import sample
from tests.helpers import oracle
from tests.samplers import test_orders, test_weak_orders

PATHS = ("vp", "edm", "flow")
STEPS = (10, 30, 100, 300, 1000)
WHOLE = {"vp": (1.0, 0.0), "edm": (1.0, 0.0), "flow": (0.999, 0.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    rows = []

    def add(row):
        rows.append(row)
        print(json.dumps(row), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(surroundings() | {"rows": rows}, indent=2) + "\n")

    floor = test_weak_orders.noise_floor(arguments.points)
    add({"name": "two exact sets of points", "points": arguments.points, "distance": floor})
    for path in PATHS:
        for name, (make, _) in test_weak_orders.ALL.items():
            add(distances(name, make, path, arguments.points))
        for name, make in test_weak_orders.CORRECTED.items():
            add(distances(name, make, path, arguments.points))
    for repeats in (5, 20, 100):
        add(langevin_bias(repeats, arguments.points))
    with jax.enable_x64(True):
        for path in PATHS:
            for name, (make, order) in test_orders.ORDERS.items():
                middle = test_orders.measured_order(make, path, (160, 320))
                add({"name": name, "path": path, "order": order, "middle": middle, "whole": whole_order(make, path)})


def distances(name, make, path, points) -> dict:
    values = {n: test_weak_orders.distance(make, path, n, points) for n in STEPS}
    return {"name": name, "path": path, "distance": values}


def langevin_bias(repeats, points) -> dict:
    chain = schedules.ncsn(32, 0.02, 10.0)
    sampler = samplers.annealed_langevin(chain, oracle.denoiser(chain, oracle.PLANE), 0.2, repeats)
    x_1 = oracle.noised(chain, 2, oracle.PLANE, points, 1.0)
    x_0 = jax.jit(lambda x: sample(sampler, jax.random.key(0), x, grids.trailing(32, 32)))(x_1)
    bias = oracle.sliced_wasserstein(x_0, oracle.draw(1, oracle.PLANE, points))
    return {"name": f"annealed_langevin, 32 levels of {repeats}", "path": "ncsn", "distance": {32 * repeats: bias}}


def whole_order(make, path) -> float:
    """On the whole path: even steps in t, for edm Karras's."""
    chain = oracle.PROCESSES[path]()
    denoiser, (high, low) = oracle.denoiser(chain, oracle.PLANE), WHOLE[path]
    x = oracle.noised(chain, 0, oracle.PLANE, 64, high, jnp.float64)

    def end(sampler, n):
        times = grids.karras(chain, n).astype(np.float64) if path == "edm" else np.linspace(high, low, n + 1)
        return test_orders.run(sampler, x, times)

    reference = end(samplers.unipc(chain, denoiser, 3), 5000)
    errors = [float(jnp.sqrt(jnp.mean((end(make(chain, denoiser), n) - reference) ** 2))) for n in (160, 320)]
    return float(np.log2(errors[0] / errors[1]))


if __name__ == "__main__":
    main()
