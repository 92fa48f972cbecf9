"""Anomalies in tables: ten sets of ADBench, the DDPM of "On Diffusion Modeling for Anomaly Detection", and k-NN.

    python benchmarks/tables.py --data adbench_12.npz --out benchmarks/results/tables_cpu.json

The protocol and the recipe are those of the paper's code (Livernoche et al. 2024, https://github.com/vicliv/DTE): train
on the first half of the normal rows in file order, test on the rest and all anomalies, scaled by the mean and standard
deviation of the training half. A residual MLP finds eps on a chain of 1000 steps, beta from 1e-4 to 0.01; Adam at 1e-4
with weight decay 5e-4, batches of 64, up to 400 epochs: it ends when, after 50, the loss is above that of 39 epochs
before. The figure is the ROC-AUC, times 100, of a score:

    reverse                squared distance to what 250 reverse steps make of the row: of x as it is, without noise, and
                           without noise in the steps, which is what the paper's code does
    noised, reverse        the same of x noised to step 250, with the noise of ancestral sampling in the steps
    denoising error, 250   `jaxdiff.pipelines.anomaly.denoising_error` at ten levels up to step 250, four draws each
    denoising error, 1000  the same at ten levels of the whole chain
    k-NN                   distance to the fifth nearest row of training

Different from the paper's code: how layers start, and the order of the frequencies in the embedding of time.
"""

import argparse
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measure import record
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from jaxdiff import samplers
from jaxdiff.gaussian import betas, parameterization, schedules
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.process import perturb
from jaxdiff.losses.times import uniform
from jaxdiff.nets import MLP
from jaxdiff.pipelines.anomaly import denoising_error
from jaxdiff.training.step import in_calls, init_state, make_train_step
from jaxdiff.types import Batch, StatefulLoss

PUBLISHED = {  # the paper's DDPM and k-NN, semi-supervised
    "thyroid": (97.95, 98.68),
    "annthyroid": (88.82, 92.81),
    "cardio": (86.94, 92.00),
    "vowels": (86.38, 82.21),
    "Wilt": (71.66, 63.66),
    "mammography": (81.01, 87.58),
    "pendigits": (98.11, 99.87),
    "optdigits": (90.76, 93.72),
    "satimage-2": (99.62, 99.71),
    "satellite": (77.70, 82.24),
}
STEPS, BACK, BATCH, NEIGHBOURS = 1000, 250, 64, 5
CHAIN = schedules.ddpm(betas.linear(STEPS, 1e-4, 0.01))
EPS = parameterization.eps()


def split(X, y):
    """(train, test, whether each row of test is an anomaly)."""
    normal = X[y == 0].astype(np.float64)
    half = round(len(normal) / 2)
    train, test = normal[:half], np.concatenate([normal[half:], X[y == 1]])
    scaler = StandardScaler().fit(train)
    strange = np.arange(len(test)) >= len(normal) - half
    return scaler.transform(train).astype(np.float32), scaler.transform(test).astype(np.float32), strange


def make_loss(module, statistics):
    """The mean squared error of eps; what it remembers are the statistics of the norms."""

    def loss_fn(params, memory, key, batch):
        key_t, key_eps, key_net = jax.random.split(key, 3)
        t = uniform(steps=STEPS)(CHAIN, key_t, len(batch.x_0))
        x_t, eps = perturb(CHAIN, key_eps, batch.x_0, t)
        out, changed = module.apply(
            {"params": params, **memory},
            x_t,
            EPS.time_input(CHAIN, t),
            train=True,
            rngs={"dropout": key_net},
            mutable=list(memory),
        )
        return jnp.mean((out - eps) ** 2), ({}, dict(changed))

    return StatefulLoss(lambda: statistics, loss_fn)


def fit(module, train, seed, epochs):
    """(variables, epochs until it ended)."""
    key_init, key = jax.random.split(jax.random.key(seed))
    statistics = dict(module.init(key_init, train[:1], jnp.zeros(1)))
    params = statistics.pop("params")
    optimizer = optax.chain(optax.add_decayed_weights(5e-4), optax.adam(1e-4))
    loss_fn = make_loss(module, statistics)
    state = init_state(params, optimizer, (), loss_fn)
    step = make_train_step(loss_fn, optimizer, {}, key)
    run = jax.jit(in_calls(step, lambda rows, chosen: Batch(rows[chosen])), donate_argnums=0)
    rng, rows, losses = np.random.default_rng(seed), jnp.asarray(train), []
    while len(losses) < epochs and not (len(losses) > 51 and losses[-1] > losses[-40]):
        order = rng.permutation(len(train))[: len(train) // BATCH * BATCH].reshape(-1, BATCH)
        state, metrics = run(state, rows, jnp.asarray(order))
        losses.append(float(metrics["loss"].mean()))
    return {"params": state.params, **state.memory}, len(losses)


def scorers(module):
    """`name -> (variables, key, x) -> (rows,)`."""

    def denoiser(variables):
        # All rows are at one time, which is embedded once.
        network = lambda variables, x, t, *_: module.apply(variables, x, t[:1])
        return make_denoiser(CHAIN, EPS, network, variables)

    down = np.arange(BACK, -1, -1) / STEPS

    def reverse(variables, key, x):
        chain = samplers.ancestral(CHAIN, denoiser(variables), temperature=0.0)
        return jnp.mean((samplers.sample(chain, key, x, down) - x) ** 2, 1)

    def noised(variables, key, x):
        key_eps, key = jax.random.split(key)
        x_t, _ = perturb(CHAIN, key_eps, x, jnp.asarray(BACK / STEPS))
        chain = samplers.ancestral(CHAIN, denoiser(variables))
        return jnp.mean((samplers.sample(chain, key, x_t, down) - x) ** 2, 1)

    def error(last):
        times = jnp.tile(jnp.linspace(last / 10, last, 10) / STEPS, 4)
        return lambda variables, key, x: denoising_error(CHAIN, denoiser(variables), key, x, times)[1].mean(1)

    found = {"reverse": reverse, "noised, reverse": noised}
    return found | {f"denoising error, {last}": error(last) for last in (BACK, STEPS)}


def nearest(train, test):
    return NearestNeighbors(n_neighbors=NEIGHBOURS).fit(train).kneighbors(test)[0][:, -1]


def measure(name, X, y, module, asked):
    """One row of the record."""
    train, test, strange = split(X, y)
    auc = lambda score: 100 * float(roc_auc_score(strange, score))
    row = {"set": name, "features": X.shape[1], "train": len(train), "test": len(test), "anomalies": int(strange.sum())}
    score = {method: jax.jit(run) for method, run in scorers(module).items()}
    aucs, seconds = {method: [] for method in score}, dict.fromkeys(("fit", *score), 0.0)
    ended = []
    for seed in range(asked.seeds):
        begin = time.perf_counter()
        variables, epochs = fit(module, train, seed, asked.epochs)
        seconds["fit"] += time.perf_counter() - begin
        ended.append(epochs)
        for method, run in score.items():
            begin = time.perf_counter()
            aucs[method].append(auc(np.asarray(run(variables, jax.random.key(1000 + seed), test))))
            seconds[method] += time.perf_counter() - begin
    found = {
        method: {"mean": float(np.mean(a)), "std": float(np.std(a, ddof=1)) if len(a) > 1 else 0.0, "seeds": a}
        for method, a in aucs.items()
    }
    paper = dict(zip(("ddpm", "k-NN"), PUBLISHED[name], strict=True))
    return row | {
        "epochs": ended,
        "auc": found | {"k-NN": {"mean": auc(nearest(train, test))}},
        "published": paper,
        "seconds": seconds,
    }


def show(row):
    epochs = f", epochs {row['epochs']}" if "epochs" in row else ""
    print(f"{row['set']}{epochs}")
    for method, a in row["auc"].items():
        spread = f" ± {a['std']:.2f}" if "std" in a else ""
        print(f"    {method:22} {a['mean']:6.2f}{spread}")
    print("    " + ", ".join(f"published {method} {a:.2f}" for method, a in row["published"].items()), flush=True)


def average(rows):
    mean = lambda values: float(np.mean(list(values)))
    return {
        "set": "mean",
        "auc": {method: {"mean": mean(row["auc"][method]["mean"] for row in rows)} for method in rows[0]["auc"]},
        "published": {method: mean(row["published"][method] for row in rows) for method in rows[0]["published"]},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="npz of ADBench's sets: '<set>/X' and '<set>/y', 1 an anomaly"
    )
    parser.add_argument("--sets", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    parser.add_argument("--norm", default="batch", help="of the network: batch (the paper's), layer or none")
    parser.add_argument("--epochs", type=int, default=400, help="at most")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows, begin = [], time.perf_counter()
    with np.load(asked.data) as tables:
        for name in asked.sets:
            rows.append(measure(name, tables[f"{name}/X"], tables[f"{name}/y"], MLP(norm=asked.norm), asked))
            show(rows[-1])
    rows.append(average(rows))
    show(rows[-1])
    more = {"norm": asked.norm, "epochs_at_most": asked.epochs, "seconds": time.perf_counter() - begin}
    record(asked.out, rows, **more, cores_used=len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    main()
