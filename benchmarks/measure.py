"""What the benchmarks share: contenders measured in turn, the machine's own speed, and a table.

Every contender lives in a process of its own, so that neither threads nor memory of one disturb another. All start,
compile and warm up; then they take turns, one call each a round, so that a slow moment of the machine meets all alike.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

MARK = "#measure "


class Ready(NamedTuple):
    """A contender that has compiled and warmed up.

    Attributes:
      run: one call, finished when it returns.
      images: that a call handles.
    """

    run: Callable[[], object]
    images: int


Contender = Callable[[argparse.Namespace], Ready]


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=7, help="calls of each contender; the first one is not counted")
    made.add_argument("--only", nargs="+", help="names of contenders")
    made.add_argument("--json", type=Path, help="write the rows here too")
    made.add_argument("--worker", help=argparse.SUPPRESS)
    return made


def compete(
    contenders: Mapping[str, Contender], arguments: argparse.Namespace, argv: Sequence[str], flops: float
) -> list[dict]:
    """One row per contender; the ratios are to the first.

    Args:
      argv: further command-line arguments, for the workers.
      flops: of the network's arithmetic for one image.
    """
    chosen = [name for name in contenders if not arguments.only or name in arguments.only]
    workers = [Worker(name, argv) for name in chosen]
    times: dict[str, list[float]] = {name: [] for name in chosen}
    for i in range(arguments.rounds):
        for worker in workers:
            took = worker.call()
            if i:
                times[worker.name].append(took)
    rate = matrix_rate()
    rows = []
    for worker in workers:
        took, about = times[worker.name], worker.end()
        each = [s / about["images"] for s in took]
        median = statistics.median(each)
        rows.append(
            {
                "name": worker.name,
                "ms_per_image": 1000 * median,
                "spread": (max(each) - min(each)) / median,
                "images_per_s": 1 / median,
                "utilisation": flops / median / rate,
                "peak_mib": about["peak_mib"],
                "matrix_gflops": rate / 1e9,
            }
        )
    return [row | {"ratio": row["images_per_s"] / rows[0]["images_per_s"]} for row in rows]


class Worker:
    """A contender in its own process."""

    def __init__(self, name: str, argv: Sequence[str]):
        self.name = name
        command = [sys.executable, sys.argv[0], *argv, "--worker", name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self._answer()

    def _answer(self):
        for line in self.process.stdout or ():
            if line.startswith(MARK):
                return json.loads(line[len(MARK) :])
        raise SystemExit(f"{self.name}: ended with code {self.process.wait()}")

    def _ask(self, what: str):
        assert self.process.stdin
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self._answer()

    def call(self) -> float:
        """Seconds of one call."""
        return self._ask("call")

    def end(self) -> dict:
        """What `Ready` said, and the memory at its peak."""
        peak = self._ask("end")
        self.process.wait()
        return self.about | {"peak_mib": peak}


def warm(run: Callable[[], object], images: int) -> Ready:
    """After a first call, which compiles; from then on a call repeats `run` for a quarter of a second at least."""
    run()
    repeats = max(1, round(0.25 / seconds(run)))
    return Ready(lambda: [run() for _ in range(repeats)], images * repeats)


def serve(ready: Ready, clock: Callable[[], float] = time.perf_counter) -> None:
    """Be a worker: answer on the standard output what is asked on the standard input, in seconds of a clock."""
    print(MARK + json.dumps({"images": ready.images}), flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            print(MARK + json.dumps(peak_memory()), flush=True)
            return
        print(MARK + json.dumps(seconds(ready.run, clock)), flush=True)


def seconds(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """That one call takes."""
    start = clock()
    run()
    return clock() - start


def peak_memory() -> float:
    """MiB at the peak: of the accelerator, where there is one, and otherwise of this process."""
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        return sys.modules["torch"].cuda.max_memory_allocated() / 2**20
    if "torch" not in sys.modules and jax.default_backend() != "cpu":
        return max(d.memory_stats()["peak_bytes_in_use"] for d in jax.local_devices()) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def matrix_rate() -> float:
    """FLOP/s of a large matrix product, now, on one device: float32 on CPU, bfloat16 elsewhere."""
    cpu = jax.default_backend() == "cpu"
    n, dtype = (2048, jnp.float32) if cpu else (8192, jnp.bfloat16)
    a = jnp.ones((n, n), dtype)
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(a))
    return 2 * n**3 / min(seconds(lambda: jax.block_until_ready(product(a))) for _ in range(10))


def show(rows: Sequence[dict]) -> None:
    """Print the table."""
    print(f"{'':44} {'images/s':>9} {'ms/image':>9} {'spread':>7} {'ratio':>6} {'of matmul':>9} {'peak MiB':>9}")
    for row in rows:
        print(
            f"{row['name']:44} {row['images_per_s']:9.1f} {row['ms_per_image']:9.2f} {row['spread']:7.0%} "
            f"{row['ratio']:6.2f} {row['utilisation']:9.0%} {row['peak_mib']:9.0f}"
        )


def record(path: Path | None, rows: Sequence[dict], **more) -> None:
    """Write the rows with their surroundings, if there is a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(surroundings() | more | {"rows": list(rows)}, indent=2) + "\n")


def surroundings() -> dict:
    """The command, the machine and the versions that a figure belongs to."""
    packages = ("jax", "flax", "optax", "scikit-learn", "torch", "diffusers", "denoising-diffusion-pytorch")
    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    return {
        "command": " ".join(["python", *sys.argv]),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {processor()}, {jax.devices()[0].device_kind}",
        "python": platform.python_version(),
        "versions": {name: installed[name] for name in packages if name in installed},
    }


def processor() -> str:
    """The processor's name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
