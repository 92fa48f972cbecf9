"""How far conditional sampling is from the posterior, where that is known: a Gaussian mixture in eight dimensions.

    python benchmarks/posterior.py --n 20000 --out benchmarks/results/posterior_cpu.json

Two measurements of one point: half of its coordinates, exactly (inpainting), and three random projections with noise.
The figure is the sliced 2-Wasserstein distance of the draws to as many exact draws of the posterior; two sets of exact
draws are as far apart as the row "exact" says. A method whose figure falls to that as its steps grow is consistent; one
that stops above it is biased.
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
from jaxdiff import guidance, samplers
from jaxdiff.gaussian import schedules
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.process import prior
from jaxdiff.guidance import inpainting as inpaint
from jaxdiff.guidance.ddrm import of_operator
from tests.helpers.oracle import sliced_wasserstein

DIMENSIONS, KNOWN = 8, 4


def mixture():
    rng = np.random.default_rng(8)
    means, stds = rng.normal(size=(4, DIMENSIONS)), rng.uniform(0.2, 0.8, (4, DIMENSIONS))
    return np.array([0.1, 0.2, 0.3, 0.4]), means, stds


def exact(rng, A, y, noise, n):
    """Draws of x_0 given y = A x_0 + noise."""
    weights, means, stds = mixture()
    log_weights, draws = np.log(weights), []
    for k, (m, s) in enumerate(zip(means, stds, strict=True)):
        S, C = np.diag(s**2), A @ np.diag(s**2) @ A.T + noise**2 * np.eye(len(y))
        gain, r = S @ A.T @ np.linalg.inv(C), y - A @ m
        log_weights[k] += -0.5 * (r @ np.linalg.solve(C, r) + np.linalg.slogdet(C)[1])
        draws.append(rng.multivariate_normal(m + gain @ r, S - gain @ A @ S, n, method="eigh"))
    shares = np.exp(log_weights - log_weights.max())
    chosen = rng.choice(len(weights), n, p=shares / shares.sum())
    return np.stack(draws)[chosen, np.arange(n)]


def methods(chain, A, y, noise, n):
    """`name -> sampler`; inpainting's own where y is half of the coordinates."""
    plain = gaussian_mixture(chain, *mixture())
    y = jnp.tile(jnp.asarray(y, jnp.float32), (n, 1))
    operator = lambda x: x @ jnp.asarray(A.T, x.dtype)
    ancestral = lambda denoiser: samplers.ancestral(chain, denoiser)
    found = {
        "moment matching": ancestral(guidance.moment_matching(chain, plain, operator, y, noise, len(A))),
        "pigdm": ancestral(guidance.pigdm(chain, plain, operator, y, noise, iterations=len(A))),
        "ddnm": ancestral(guidance.ddnm(chain, plain, operator, y, noise, iterations=len(A))),
        "ddrm": guidance.ddrm(chain, plain, of_operator(operator, (DIMENSIONS,)), y, noise),
        "dps, 0.3": guidance.dps(chain, plain, ancestral(plain), operator, y, 0.3),
        "dps, 1.0": guidance.dps(chain, plain, ancestral(plain), operator, y, 1.0),
    }
    if noise:
        found["twisted"] = guidance.twisted(chain, plain, operator, y[:1], noise)
    else:
        mask = jnp.arange(DIMENSIONS) < KNOWN
        image = jnp.pad(y, ((0, 0), (0, DIMENSIONS - KNOWN)))
        found["replace"] = inpaint.replace(chain, ancestral(plain), image, mask)
        for repeats in (3, 10, 30):
            found[f"repaint, {repeats}"] = inpaint.repaint(chain, ancestral(plain), image, mask, repeats)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=50_000, help="draws")
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--methods", nargs="+", help="these alone")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rng, chain = np.random.default_rng(0), schedules.vp()
    _, means, stds = mixture()
    point = means[3] + stds[3] * rng.normal(size=DIMENSIONS)
    projections = rng.normal(size=(3, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    problems = {
        "half of the coordinates": (np.eye(DIMENSIONS)[:KNOWN], 0.0),
        "three projections with noise 0.1": (projections, 0.1),
    }
    rows = []
    for problem, (A, noise) in problems.items():
        y = A @ point + noise * rng.normal(size=len(A))
        reference, second = exact(rng, A, y, noise, asked.n), exact(rng, A, y, noise, asked.n)
        rows.append({"problem": problem, "method": "exact", "distance": sliced_wasserstein(second, reference)})
        print(f"{problem}: exact {rows[-1]['distance']:.4f}", flush=True)
        for name, sampler in methods(chain, A, y, noise, asked.n).items():
            if asked.methods and name not in asked.methods:
                continue
            run = jax.jit(lambda key, x, times, sampler=sampler: samplers.sample(sampler, key, x, times))
            for steps in asked.steps:
                times = np.linspace(1, 0.001, steps + 1, dtype=np.float32)
                x_1 = prior(chain, jax.random.key(2 * asked.seed + 1), jnp.zeros((asked.n, DIMENSIONS)))
                x_0 = np.asarray(run(jax.random.key(2 * asked.seed + 2), x_1, times), np.float64)
                distance = sliced_wasserstein(x_0, reference)
                rows.append({"problem": problem, "method": name, "steps": steps, "distance": distance})
                print(f"{name:16} {steps:5} steps {distance:.4f}", flush=True)
    if asked.out:
        asked.out.write_text(json.dumps({**surroundings(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
