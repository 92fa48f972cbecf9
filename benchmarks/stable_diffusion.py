"""Stable Diffusion 1.5 with random weights: what loading and compiling cost, and a forward pass beside diffusers.

    python benchmarks/stable_diffusion.py                   full size: 4 GB on the disk, 10 GB of memory
    python benchmarks/stable_diffusion.py --shrink 10       networks a tenth as wide, to try the script

Each step is a process of its own. `build` writes a folder of the U-Net and the autoencoder; `load` reads it, and the
peak of its memory above that before is compared with the size of the files; `compile` draws a picture of 128x128 pixels
(latents of 16x16) with guidance, in so many steps of DPM-Solver++ 2M, with an empty compilation cache, and again with
the one that this left: seconds in which JAX traces, lowers and compiles or reads what is compiled. Then one pass of the
U-Net at 16x16 is timed in turn with diffusers' in eager mode, of the same folder and on as many cores, and the largest
difference of what they give is shown. Needs the extra `parity`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import measure
import numpy as np

import jaxdiff
from jaxdiff.interop.latent import Latent, read_latent, write_latent
from jaxdiff.interop.schedulers import read_scheduler
from jaxdiff.nets.autoencoder import Autoencoder
from jaxdiff.nets.conditional_unet import ConditionalUNet
from jaxdiff.pipelines import latents
from jaxdiff.types import Spec, missing

SIDE, WORDS = 16, 77
SCHEDULER = {
    "_class_name": "DPMSolverMultistepScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
DURATIONS = ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration", "backend_compile_duration")


def networks(shrink: int) -> tuple[ConditionalUNet, Autoencoder]:
    """Those of version 1.5, with so many times fewer channels."""
    net = ConditionalUNet(
        widths=tuple(width // shrink for width in (320, 640, 1280, 1280)),
        blocks=2,
        depths=(1, 1, 1, 0),
        up_depths=(0, 1, 1, 1),
        heads=(8,) * 4,
        context=768,
        outputs=4,
        groups=32 if shrink == 1 else 8,
    )
    coder = Autoencoder() if shrink == 1 else Autoencoder(widths=(32, 64, 64, 64))
    return net, coder


def inputs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Latents and the words of a caption."""
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=shape).astype(np.float32) for shape in ((1, SIDE, SIDE, 4), (1, WORDS, 768)))


def shapes(net, *given):
    """The shapes of a network's parameters."""
    return jax.eval_shape(lambda key: net.init(key, *given), jax.random.key(0))["params"]


def drawn(like) -> dict:
    """Random parameters: norms near 1, kernels that keep the size of what goes through them, nothing zero."""
    rng = np.random.default_rng(0)

    def make(path, leaf):
        x = rng.standard_normal(leaf.shape, np.float32)
        x /= np.float32(np.sqrt(np.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 20)
        return x + np.float32(path[-1].key == "scale")

    return jax.tree_util.tree_map_with_path(make, like)


def build(arguments: argparse.Namespace) -> dict:
    """Write the folder."""
    net, coder = networks(arguments.shrink)
    shape = (SIDE, SIDE, net.outputs)
    told = missing(net.condition_spec(Spec(shape, "images")), 1)
    params = drawn(shapes(net, jnp.zeros((1, *shape)), jnp.zeros(1), told))
    coded = drawn(shapes(coder, jnp.zeros((1, 8 * SIDE, 8 * SIDE, 3))))
    write_latent(arguments.folder, Latent(net, params, shape, read_scheduler(SCHEDULER), coder, coded), SCHEDULER)
    return {"parameters": sum(leaf.size for leaf in jax.tree.leaves((params, coded)))}


class Memory:
    """The most resident memory of this process while it is entered, in bytes, and that before."""

    def __enter__(self):
        self.before = self.most = self.now()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._watch.join()
        self.most = max(self.most, self.now())

    def _look(self):
        while not self._over.wait(0.005):
            self.most = max(self.most, self.now())

    @staticmethod
    def now() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def load(arguments: argparse.Namespace) -> dict:
    """Read the folder; what JAX itself takes is there before."""
    jax.block_until_ready(jnp.zeros(8) + 1)
    begin = time.perf_counter()
    with Memory() as memory:
        model = jaxdiff.load(arguments.folder)
        jax.block_until_ready(model.params)
    took = time.perf_counter() - begin
    size = sum(file.stat().st_size for file in arguments.folder.rglob("*.safetensors"))
    peak = memory.most - memory.before
    return {"load_s": took, "files_mib": size / 2**20, "peak_mib": peak / 2**20, "peak_over_files": peak / size}


def compile_(arguments: argparse.Namespace) -> dict:
    """Draw, and take the time that JAX says it traced, lowered and compiled in; one may lie within another."""
    spans: list[tuple[float, float]] = []

    def heard(event: str, seconds: float, **_) -> None:
        if event.rpartition("/")[2] in DURATIONS:
            spans.append((time.perf_counter() - seconds, time.perf_counter()))

    model = jaxdiff.load(arguments.folder)
    jax.monitoring.register_event_duration_secs_listener(heard)
    _, context = inputs()
    told, empty = {"context": context}, {"context": inputs(1)[1]}
    begin = time.perf_counter()
    options = {"guidance": 7.5, "steps": arguments.steps, "sampler": "dpmpp_2m"}
    picture = latents.generate(model, jax.random.key(0), 1, told, empty, **options)
    assert np.isfinite(np.asarray(picture)).all()
    first = time.perf_counter() - begin
    compiled, end = 0.0, 0.0
    for start, stop in sorted(spans):
        compiled += max(stop - max(start, end), 0)
        end = max(end, stop)
    begin = time.perf_counter()
    np.asarray(latents.generate(model, jax.random.key(1), 1, empty, told, **options))
    return {"compile_s": compiled, "first_s": first, "again_s": time.perf_counter() - begin}


def jax_forward(arguments: argparse.Namespace) -> Callable[[], np.ndarray]:
    parts = read_latent(arguments.folder)
    x, context = inputs()
    run = jax.jit(lambda params, x, t, told: parts.net.apply({"params": params}, x, t, told))
    return lambda: np.asarray(run(parts.params, x, jnp.full(1, 500.0), {"context": context}))


def torch_forward(arguments: argparse.Namespace) -> Callable[[], np.ndarray]:
    import torch
    from diffusers import UNet2DConditionModel

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    net = UNet2DConditionModel.from_pretrained(arguments.folder / "unet").eval()
    x, context = inputs()
    x, context = torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2))), torch.tensor(context)

    def run():
        with torch.no_grad():
            return net(x, torch.tensor([500]), context).sample.numpy().transpose(0, 2, 3, 1)

    return run


FORWARD = {"jaxdiff, compiled": jax_forward, "diffusers, eager": torch_forward}
STEPS = {"build": build, "load": load, "compile": compile_}


def forward(arguments: argparse.Namespace) -> measure.Ready:
    """A contender, which keeps what it gives."""
    run = FORWARD[arguments.worker](arguments)
    np.save(arguments.folder / f"{[*FORWARD].index(arguments.worker)}.npy", run())
    return measure.warm(run, 1)


def step(name: str, arguments: argparse.Namespace, cache: str = "") -> dict:
    """A step in a process of its own."""
    given = ["--shrink", str(arguments.shrink), "--steps", str(arguments.steps), "--folder", str(arguments.folder)]
    settings = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    command = [sys.executable, sys.argv[0], *given, "--step", name]
    done = subprocess.run(command, env=environment | (settings if cache else {}), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: ended with code {done.returncode}")
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: " + ", ".join(f"{key} {value:,.2f}" for key, value in found.items()), flush=True)
    return found


def compared(arguments: argparse.Namespace) -> list[dict]:
    """A forward pass of both libraries, in turn, and by how much they differ."""
    net, _ = networks(arguments.shrink)
    x, context = inputs()
    told = {"context": context}
    like = shapes(net, x, jnp.zeros(1), told)
    counted = jax.jit(lambda params: net.apply({"params": params}, x, jnp.zeros(1), told)).lower(like).cost_analysis()
    argv = ["--shrink", str(arguments.shrink), "--folder", str(arguments.folder)]
    rows = measure.compete(dict.fromkeys(FORWARD, forward), arguments, argv, counted["flops"])
    found = [np.load(arguments.folder / f"{i}.npy") for i in range(len(FORWARD))]
    measure.show(rows)
    apart = float(np.abs(found[0] - found[1]).max() / found[1].std())
    print(f"largest difference: {apart:.1e} of the deviation of what diffusers gives")
    return [row | {"largest_difference": apart} for row in rows]


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("--shrink", type=int, default=1, help="how many times fewer channels")
    parser.add_argument("--steps", type=int, default=20, help="of the sampler that is compiled")
    parser.add_argument("--folder", type=Path, help="where the folder is built and left; by default it is removed")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(STEPS[arguments.step](arguments)))
        return
    if arguments.worker:
        measure.serve(forward(arguments))
        return
    with tempfile.TemporaryDirectory() as place:
        arguments.folder = arguments.folder or Path(place, "sd")
        rows = [{"name": "build", **step("build", arguments)}, {"name": "load", **step("load", arguments)}]
        cache = str(Path(place, "cache"))
        for name in ("compile, empty cache", "compile, from the cache"):
            rows.append({"name": name, **step("compile", arguments, cache)})
        rows += compared(arguments)
        measure.record(arguments.json, rows, side=SIDE, shrink=arguments.shrink, steps=arguments.steps)


if __name__ == "__main__":
    main()
