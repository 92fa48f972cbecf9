"""How long until something happens: from the command to the first training step, and what compiling costs.

    python benchmarks/compile_time.py

The first table starts `train.py --config=configs/ddpm.py` in a new process and waits for the first step in its log:
with an empty compilation cache, and with the one that this left; beside it a PyTorch program of a few lines that takes
one step of diffusers' network of the same size. The second compiles, without a cache, jaxdiff's functions and the same
with Flax's usual layers. Needs the extra `parity`.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import measure
import nets
import optax

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

ROOT = Path(__file__).parent.parent
PEER = """
import torch
from diffusers import UNet2DModel
net = UNet2DModel(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(32, 64), layers_per_block=1,
    down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    attention_head_dim=None)
optimizer = torch.optim.Adam(net.parameters(), 2e-4)
eps = torch.randn(128, 1, 8, 8)
(net(eps, torch.randint(1000, (128,))).sample - eps).square().mean().backward()
optimizer.step()
"""


def first_step(cache: str) -> float:
    """Seconds from starting train.py to the first row of its log."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            str(ROOT / "train.py"),
            f"--config={ROOT}/configs/ddpm.py",
            f"--workdir={folder}/run",
        ]
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--config.train.log_every=1"],
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        log = Path(folder, "run", "metrics.jsonl")
        while not (log.exists() and log.stat().st_size):
            if process.poll() is not None:
                raise SystemExit(f"train.py ended with code {process.returncode}")
            time.sleep(0.01)
        took = time.perf_counter() - start
        process.send_signal(signal.SIGKILL)
        process.wait()
    return took


def peers_first_step() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", PEER], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def starts(rounds: int) -> list[dict]:
    """The first table."""
    with tempfile.TemporaryDirectory() as cache:
        cold = first_step(cache)
        warm, peer = [], []
        for _ in range(rounds):
            warm.append(first_step(cache))
            peer.append(peers_first_step())
    rows = [("jaxdiff, empty cache", [cold]), ("jaxdiff, warm cache", warm), ("diffusers, eager", peer)]
    return [{"name": name, "first_step_s": statistics.median(s), "all_s": s} for name, s in rows]


def functions(net: str) -> dict:
    """`{name: (function, arguments)}` to be compiled."""
    shape, module, network = nets.ours(net)
    chain, meaning = schedules.ddpm(betas.linear(1000)), parameterization.eps()
    params = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *shape)), jnp.zeros(1))["params"]
    optimizer = optax.adam(2e-4)
    loss_fn = diffusion.diffusion_loss(chain, meaning, network, loss_weights.simple(), loss_times.uniform(steps=1000))
    step = make_train_step(loss_fn, optimizer, {"average": warmed_up(0.9999)}, jax.random.key(1))
    x = jax.ShapeDtypeStruct((16, *shape), jnp.float32)

    def draw(params, key, x, times):
        denoiser = make_denoiser(chain, meaning, network, params)
        return sample(ancestral(chain, denoiser, fixed_large), key, x, times)

    return {
        "training step": (step, (jax.eval_shape(lambda p: init_state(p, optimizer, ["average"]), params), Batch(x))),
        "chain of 10 steps": (draw, (params, jax.random.key(0), x, grids.trailing(10, 1000))),
        "chain of 1000 steps": (draw, (params, jax.random.key(0), x, grids.trailing(1000, 1000))),
    }


def compilations(net: str, usual: bool) -> list[dict]:
    """The second table: seconds to trace and lower, and to compile."""
    rows = []
    with nets.usual_layers() if usual else contextlib.nullcontext():
        for name, (function, arguments) in functions(net).items():
            start = time.perf_counter()
            lowered = jax.jit(function).lower(*arguments)
            traced = time.perf_counter() - start
            compiled = lowered.compile()
            seconds = time.perf_counter() - start - traced
            memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
            layers = "usual layers" if usual else "jaxdiff"
            rows.append(
                {"name": f"{net}, {name}, {layers}", "trace_s": traced, "compile_s": seconds, "temporary_mib": memory}
            )
    return rows


def main() -> None:
    parser = measure.parser(__doc__)
    parser.set_defaults(rounds=5)
    parser.add_argument("--net", choices=nets.NETS, nargs="+", default=["digits", "small"])
    arguments = parser.parse_args()
    sharding.use_cpu_devices(1)
    begun = starts(arguments.rounds)
    for row in begun:
        print(f"{row['name']:44} first step after {row['first_step_s']:6.1f} s")
    compiled = [row for net in arguments.net for usual in (False, True) for row in compilations(net, usual)]
    for row in compiled:
        print(
            f"{row['name']:44} trace {row['trace_s']:5.1f} s, compile {row['compile_s']:5.1f} s, "
            f"temporaries {row['temporary_mib']:7.1f} MiB"
        )
    measure.record(arguments.json, begun + compiled)


if __name__ == "__main__":
    main()
