"""Pedestrians: eight positions seen, twelve to come, of a scene that was left out of training; best of 20 draws.

    python benchmarks/pedestrians.py --data eth_ucy_trajectories.npz --json benchmarks/results/pedestrians_cpu.json

The file holds `windows` (n, 20, 2), meters 0.4 seconds apart, `window_scene` (n,) and `scene_names`. A walk is seen in
the walker's own frame: the last position seen is the origin, and the way since the first lies along x. Side by side
on the same windows: constant velocity; a linear-Gaussian predictor, the regression of what comes on what was seen and
the covariance of what that leaves; and diffusion of what it leaves, made white by that covariance, in a network that is
shown the positions seen, free of noise. Of each ADE and FDE, the best of 20 draws, and the energy score of the 20. Of a
scene with over 2,000 windows, which overlap, every fourth is measured.
"""

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measure import surroundings

from jaxdiff import samplers
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.grids import uniform
from jaxdiff.gaussian.parameterization import v
from jaxdiff.gaussian.process import prior
from jaxdiff.gaussian.schedules import cosine
from jaxdiff.guidance import held
from jaxdiff.losses import held_loss
from jaxdiff.losses.times import stratified
from jaxdiff.losses.weights import simple
from jaxdiff.modalities.trajectories.measured import best_of, energy_score
from jaxdiff.nets import MLP
from jaxdiff.types import Batch

SEEN, DRAWS, EMA, MOST = 8, 20, 0.998, 2000
SCENES = {
    "eth": ["biwi_eth"],
    "hotel": ["biwi_hotel"],
    "univ": ["students001", "students003", "uni_examples"],
    "zara1": ["crowds_zara01"],
    "zara2": ["crowds_zara02"],
}
PROCESS, MEANING = cosine(), v()


class Gaussian(NamedTuple):
    """What comes, (12, 2) as a row, is `seen @ slope + root z` of what was seen, and z is white."""

    slope: np.ndarray
    root: np.ndarray


def own_frame(windows):
    """Windows in the walkers' own frames."""
    x = windows - windows[:, SEEN - 1 : SEEN]
    way = -x[:, 0]
    angle = np.arctan2(way[:, 1], way[:, 0])
    turn = np.stack([np.stack([np.cos(angle), np.sin(angle)]), np.stack([-np.sin(angle), np.cos(angle)])])
    return np.einsum("ijn,nsj->nsi", turn, x)


def features(x):
    return np.concatenate([x[:, : SEEN - 1].reshape(len(x), -1), np.ones((len(x), 1))], axis=1)


def fit(x):
    """The predictor of windows in their own frames, and of their mirror images."""
    both = np.concatenate([x, x * [1, -1]])
    seen, future = features(both), both[:, SEEN:].reshape(len(both), -1)
    slope = np.linalg.lstsq(seen, future, rcond=None)[0]
    return Gaussian(slope, np.linalg.cholesky(np.cov((future - seen @ slope).T)))


def network(params, x, t, condition=None, key=None):
    """A residual MLP of all positions in a row."""
    rngs = None if key is None else {"dropout": key}
    return NET.apply({"params": params}, x.reshape(len(x), -1), t, None, key is not None, rngs=rngs).reshape(x.shape)


NET = MLP(widths=(192, 384, 192), blocks=2, embedding=64, dropout=0.1, dropout_out=0.0)
LOSS = held_loss(PROCESS, MEANING, network, simple(), stratified(1e-3), first=SEEN, last=0)


def rows_of(gaussian, x, scale):
    """What the network sees, (n, 20, 2): the positions seen, scaled, and what comes, white."""
    rest = x[:, SEEN:].reshape(len(x), -1) - features(x) @ gaussian.slope
    white = np.linalg.solve(gaussian.root, rest.T).T.reshape(len(x), -1, 2)
    return np.float32(np.concatenate([x[:, :SEEN] / scale, white], axis=1))


def make_train(steps, size, rate):
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(rate, steps, 0.02)))

    @jax.jit
    def some(carry, key, data, count):
        def step(carry, key):
            params, state, average = carry
            key_rows, key_loss = jax.random.split(key)
            rows = data[jax.random.randint(key_rows, (size,), 0, count)]
            (loss, _), grads = jax.value_and_grad(LOSS, has_aux=True)(params, key_loss, Batch(rows))
            updates, state = optimizer.update(grads, state)
            params = optax.apply_updates(params, updates)
            return (params, state, optax.incremental_update(params, average, 1 - EMA)), loss

        return jax.lax.scan(step, carry, jax.random.split(key, 200))

    def train(data, seed):
        params = jax.jit(NET.init)(jax.random.key(seed), jnp.zeros((1, 40)), jnp.zeros(1))["params"]
        padded = jnp.asarray(np.resize(data, (20_000, 20, 2)))
        carry, losses = (params, optimizer.init(params), params), []
        for i in range(steps // 200):
            carry, loss = some(carry, jax.random.key(1000 * seed + i), padded, len(data))
            losses.append(float(loss.mean()))
        return carry[2], losses

    return train


@jax.jit
def drawn(params, key, rows):
    """What comes, white, of rows (n, 20, 2) of which the first eight positions are known."""
    mask = jnp.broadcast_to((jnp.arange(20) < SEEN).astype(float)[:, None], rows.shape)
    denoiser = held(make_denoiser(PROCESS, MEANING, network, params), rows, mask)
    x_1 = prior(PROCESS, key, rows)
    return samplers.sample(samplers.dpmpp_2m(PROCESS, denoiser), key, x_1, uniform(12))[:, SEEN:]


def predictions(gaussian, params, x, scale, seed, size=4000):
    """(n, 20, 12, 2) in the walkers' own frames, of the network."""
    rows, parts = np.repeat(rows_of(gaussian, x, scale), DRAWS, axis=0), []
    for i in range(0, len(rows), size):
        some = np.resize(rows[i : i + size], (size, 20, 2))
        parts.append(np.asarray(drawn(params, jax.random.key(seed + i), jnp.asarray(some)))[: len(rows) - i])
    return placed(gaussian, x, np.concatenate(parts).reshape(len(x), DRAWS, -1))


def placed(gaussian, x, white):
    """What comes, (n, draws, 12, 2), of white z (n, draws, 24)."""
    return ((features(x) @ gaussian.slope)[:, None] + white @ gaussian.root.T).reshape(*white.shape[:2], -1, 2)


def figures(predicted, x):
    ade, fde = best_of(predicted, x[:, SEEN:])
    found = {"ade": ade, "fde": fde}
    return found | ({"energy": energy_score(predicted, x[:, SEEN:])} if predicted.shape[1] > 1 else {})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1200, help="of training, for each scene")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    content = np.load(arguments.data)
    names, x = content["scene_names"].tolist(), own_frame(np.asarray(content["windows"], np.float64))
    rng, train = np.random.default_rng(arguments.seed), make_train(arguments.steps, arguments.batch, arguments.rate)
    out: dict = {"steps": arguments.steps, "batch": arguments.batch, "seed": arguments.seed, "scenes": {}}
    for scene, parts in SCENES.items():
        begin = time.perf_counter()
        test = np.isin(content["window_scene"], [names.index(part) for part in parts])
        gaussian, scale = fit(x[~test]), x[~test][:, :SEEN].std()
        train_rows, held_out = x[~test], x[test][:: 1 + test.sum() // MOST]
        step = (held_out[:, SEEN - 1] - held_out[:, SEEN - 2])[:, None]
        still = np.arange(1, 13)[None, :, None] * step
        data = np.concatenate([rows_of(gaussian, y, scale) for y in (train_rows, train_rows * [1, -1])])
        params, losses = train(data, arguments.seed)
        white = rng.normal(size=(len(held_out), DRAWS, 24))
        ours = predictions(gaussian, params, held_out, scale, arguments.seed)
        out["scenes"][scene] = {
            "windows": len(held_out),
            "constant velocity": figures(still[:, None], held_out),
            "linear-Gaussian": figures(placed(gaussian, held_out, white), held_out),
            "diffusion": figures(ours, held_out),
            "loss": losses[:: max(1, len(losses) // 8)],
            "seconds": time.perf_counter() - begin,
        }
        print(scene, json.dumps(out["scenes"][scene]), flush=True)
    kinds = ("constant velocity", "linear-Gaussian", "diffusion")
    mean = lambda kind, name: float(np.mean([row[kind][name] for row in out["scenes"].values()]))
    out["mean"] = {k: {n: mean(k, n) for n in ("ade", "fde", *(["energy"] if k != kinds[0] else []))} for k in kinds}
    print(json.dumps(out["mean"], indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(surroundings() | out, indent=2) + "\n")


if __name__ == "__main__":
    main()
