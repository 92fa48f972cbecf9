"""How time per image grows with the batch, the resolution, the steps and the devices: measured, and plotted.

    python benchmarks/scaling.py --json benchmarks/results/scaling_cpu.json --plot docs/images/scaling.png

The network is a small one (32 and 64 channels, one block a level), so that every point takes seconds on a CPU. On an
accelerator --channels 128 is a better question.
"""

import argparse
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import measure
import numpy as np
import optax

from jaxdiff import nets
from jaxdiff.config.build import linen_network
from jaxdiff.gaussian import betas, grids, parameterization, schedules
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.losses import diffusion
from jaxdiff.losses import times as loss_times
from jaxdiff.losses import weights as loss_weights
from jaxdiff.samplers import ancestral, fixed_large, sample
from jaxdiff.training import sharding
from jaxdiff.training.ema import warmed_up
from jaxdiff.training.step import init_state, make_train_step
from jaxdiff.types import Batch

matplotlib.use("Agg")
from matplotlib import pyplot

BASE = {"what": "forward", "batch": 16, "size": 16, "steps": 10, "devices": 1, "attention": False}
SERIES = {
    "batch": [("forward", {"what": "forward"}), ("training step", {"what": "step"})],
    "size": [("forward", {}), ("forward, attention at half the size", {"attention": True}), ("step", {"what": "step"})],
    "steps": [("chain", {"what": "chain", "size": 8})],
    "devices": [("forward", {"batch": 64}), ("training step", {"what": "step", "batch": 64})],
}
VALUES = {"batch": [1, 8, 64], "size": [8, 16, 32], "steps": [10, 100, 1000]}
LABELS = {
    "batch": "images in a batch",
    "size": "height and width (pixels)",
    "steps": "steps of the chain",
    "devices": "devices",
}


def point(arguments: argparse.Namespace) -> measure.Ready:
    """One point of a curve: jaxdiff at this batch, size, number of steps and of devices."""
    at = BASE | json.loads(arguments.point)
    sharding.use_cpu_devices(at["devices"])
    mesh = jax.sharding.Mesh(np.array(jax.devices()[: at["devices"]]).reshape(-1, 1, 1), ("data", "fsdp", "tensor"))
    batch, size = at["batch"], at["size"]
    net = nets.UNet(
        channels=arguments.channels,
        multipliers=(1, 2),
        blocks=1,
        attention=(size // 2,) if at["attention"] else (),
        dropout=0.0,
        dtype=arguments.dtype,
    )
    network, chain, meaning = linen_network(net), schedules.ddpm(betas.linear(1000)), parameterization.eps()
    place = sharding.replicated(mesh)
    params = jax.jit(net.init, out_shardings=place)(jax.random.key(0), jnp.zeros((1, size, size, 3)), jnp.zeros(1))[
        "params"
    ]
    x = jax.device_put(np.random.default_rng(0).normal(size=(batch, size, size, 3)).astype(np.float32), place)
    x = jax.device_put(x, sharding.split(mesh)) if batch % at["devices"] == 0 else x
    key = jax.device_put(jax.random.key(1), place)

    if at["what"] == "step":
        optimizer = optax.adam(1e-4)
        loss_fn = diffusion.diffusion_loss(
            chain, meaning, network, loss_weights.simple(), loss_times.uniform(steps=1000)
        )
        step = jax.jit(make_train_step(loss_fn, optimizer, {"average": warmed_up(0.99)}, key))
        state = jax.jit(lambda p: init_state(p, optimizer, ["average"]))(params)
        return measure.warm(lambda: jax.block_until_ready(step(state, Batch(x))), batch)
    if at["what"] == "chain":

        @jax.jit
        def draw(params, key, x):
            sampler = ancestral(chain, make_denoiser(chain, meaning, network, params), fixed_large)
            return sample(sampler, key, x, grids.trailing(at["steps"], 1000))

        return measure.warm(lambda: jax.block_until_ready(draw(params, key, x)), batch)
    forward = jax.jit(network)
    t = jax.device_put(jnp.full(batch, 500.0), x.sharding if batch % at["devices"] == 0 else place)
    return measure.warm(lambda: jax.block_until_ready(forward(params, x, t)), batch)


def plot(rows: list[dict], file: Path) -> None:
    """One panel for each quantity: milliseconds per image against it."""
    figure, panels = pyplot.subplots(1, len(SERIES), figsize=(4 * len(SERIES), 3.4))
    for panel, (quantity, series) in zip(panels, SERIES.items(), strict=True):
        for name, _ in series:
            mine = [row for row in rows if row["against"] == quantity and row["series"] == name]
            panel.plot([row["value"] for row in mine], [row["ms_per_image"] for row in mine], "o-", label=name)
        panel.set(xscale="log", yscale="log", xlabel=LABELS[quantity], ylabel="ms per image")
        panel.set_xticks(ticks := sorted({row["value"] for row in rows if row["against"] == quantity}), ticks)
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--plot", type=Path, help="draw the curves here")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        measure.serve(point(arguments))
        return
    values = VALUES | {"devices": [n for n in (1, 2, 4, 8, 16) if n <= devices()]}
    rows = []
    for quantity, series in SERIES.items():
        for name, setting in series:
            for value in values[quantity]:
                argv = ["--channels", str(arguments.channels), "--dtype", arguments.dtype]
                argv += ["--point", json.dumps(setting | {quantity: value})]
                (row,) = measure.compete({"jaxdiff": point}, arguments, argv, flops=0.0)
                print(f"{quantity}={value}, {name}: {row['ms_per_image']:.3f} ms/image", flush=True)
                rows.append({"against": quantity, "series": name, "value": value, **row})
    measure.record(arguments.json, rows)
    if arguments.plot:
        plot(rows, arguments.plot)


def devices() -> int:
    """How many there are; of a CPU, how many can be made."""
    return os.cpu_count() or 1 if jax.default_backend() == "cpu" else jax.device_count()


if __name__ == "__main__":
    main()
