"""Doctor: what JAX finds on this machine, how fast that is, what is wrong, and how to mend it."""

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from jaxdiff.cli.parser import Parser

__all__ = ["complaints", "facts", "main", "make_parser", "on_bus", "throughput"]

EXAMPLES = """Examples:
  jaxdiff doctor
  jaxdiff doctor --seconds 0 --json                  facts alone, for a program"""
PLUGINS = {"12": "jax-cuda12-plugin", "13": "jax-cuda13-plugin"}
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", *PLUGINS.values(), "libtpu")
DRIVERS = {"12": 525, "13": 580}
"""The oldest NVIDIA driver for CUDA of this major version."""
GPUS = {"vendor": ("0x10de",), "class": ("0x0300", "0x0302")}
TPUS = {"vendor": ("0x1ae0",), "device": ("0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076")}
"""What devices on the PCI bus say of themselves: NVIDIA's displays, and Google's by number, as JAX knows them."""
CHECK_S = 120
CHECK = "import json, jax; d = jax.devices(); print(json.dumps([jax.default_backend(), len(d), d[0].device_kind]))"


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser("jaxdiff doctor", description=EXAMPLES)
    parser.add_argument("--seconds", type=float, default=5, help="how long to measure the speed; 0 for not at all (5)")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    return parser


def main(arguments: list[str]) -> int:
    """Run the command line: 0 if all is well, 1 if something is wrong."""
    given = make_parser().parse_args(arguments)
    found = facts()
    wrong = complaints(found)
    if given.seconds > 0 and found["backend"]:
        found["speed"] = throughput(given.seconds)
    if given.json:
        print(json.dumps(found | {"wrong": wrong}))
        return int(bool(wrong))
    for name, value in found.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        shown = f"{shown:.1f}" if isinstance(shown, float) else shown
        if shown not in ("", False):
            print(f"{name.replace('_', ' '):<14} {shown}")
    for line in wrong:
        print(f"wrong: {line}")
    print("all is well" if not wrong else f"{len(wrong)} thing(s) to mend")
    return int(bool(wrong))


def facts() -> dict[str, Any]:
    """What there is, by name; of JAX as a process of its own finds it, so that what breaks there is only reported."""
    backend, count, kind, error = _devices()
    cache = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or _cache())
    return {
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "backend": backend,
        "devices": f"{count} of {kind}" if count else "none",
        "error": error,
        "platforms_set": os.environ.get("JAX_PLATFORMS", ""),
        "nvidia": _nvidia(),
        "nvidia_on_bus": on_bus(GPUS),
        "tpu": any(Path("/dev").glob("accel*")) or os.environ.get("TPU_NAME", "") != "" or on_bus(TPUS),
        "cores": os.cpu_count() or 1,
        "memory_gb": _memory(),
        "cache": str(cache),
        "cache_mb": sum(f.stat().st_size for f in cache.rglob("*") if f.is_file()) / 1e6 if cache.is_dir() else 0.0,
        "cache_writable": os.access(next(p for p in [cache, *cache.parents] if p.exists()), os.W_OK),
        "disk_free_gb": shutil.disk_usage(".").free / 1e9,
    }


def complaints(found: dict[str, Any]) -> list[str]:
    """What is wrong, and how to mend it, a line each."""
    lines, backend, versions = [], found["backend"], found["packages"]
    cuda, plugin = next(((c, versions[name]) for c, name in PLUGINS.items() if name in versions), ("12", ""))
    if found["error"]:
        lines.append(f"JAX finds no device: {found['error']}")
    if found["platforms_set"] and (found["nvidia"] or found["tpu"]) and backend in ("", "cpu"):
        lines.append(f"JAX_PLATFORMS={found['platforms_set']} hides an accelerator that is here: unset it")
    elif found["nvidia"] and backend != "gpu":
        before, driver = len(lines), re.match(r"\d+", found["nvidia"])
        if driver and int(driver[0]) < DRIVERS[cuda]:
            wanted = f"older than {DRIVERS[cuda]}, which CUDA {cuda} needs"
            lines.append(f"the NVIDIA driver {found['nvidia']} is {wanted}: update the driver")
        if not plugin:
            lines.append("an NVIDIA GPU is here, and JAX has no plugin for it: pip install 'jaxdiff[cuda]'")
        elif len(lines) == before:
            lines.append(f"an NVIDIA GPU is here, and the plugin {plugin} does not find it: see `nvidia-smi`")
    elif found["nvidia_on_bus"] and backend != "gpu":
        need = f"install one of {DRIVERS[cuda]} or later, or, in a container, start it with --gpus all"
        lines.append(f"an NVIDIA GPU is on the bus, and no driver shows it: {need}")
    if found["tpu"] and backend != "tpu" and not found["platforms_set"]:
        lines.append("a TPU is here, and JAX does not use it: pip install 'jaxdiff[tpu]', and end what else holds it")
    if plugin and versions.get("jax") and plugin.split(".")[:2] != versions["jax"].split(".")[:2]:
        lines.append(
            f"jax {versions['jax']} and its CUDA plugin {plugin} differ: install them together, jax[cuda{cuda}]"
        )
    if versions.get("jax") and versions.get("jaxlib", "").split(".")[:2] != versions["jax"].split(".")[:2]:
        lines.append(f"jax {versions['jax']} and jaxlib {versions.get('jaxlib')} differ: install them together")
    if not found["cache_writable"]:
        lines.append(f"the cache {found['cache']} cannot be written: set JAX_COMPILATION_CACHE_DIR to a place that can")
    if found["disk_free_gb"] < 1:
        lines.append(f"{found['disk_free_gb']:.2f} GB are free on this disk: checkpoints need more")
    return lines


def throughput(seconds: float) -> str:
    """How many examples of the digits a second a training step of `--config ddpm` takes."""
    import jax

    from jaxdiff.cli.setup import prepare
    from jaxdiff.configs.ddpm import get_config
    from jaxdiff.training.sharding import use_compilation_cache, use_cpu_devices

    config = get_config().to_dict()
    use_cpu_devices(config["train"]["cpu_devices"])
    use_compilation_cache()
    begin = time.perf_counter()
    setup = prepare(config)
    step = lambda state, i: jax.block_until_ready(setup.step_fn(state, setup.feed.resident, setup.feed.read(i, 1))[0])
    state = step(setup.first(), 0)
    compiled, begin, count = time.perf_counter() - begin, time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        count += 1
        state = step(state, count)
    rate = 128 * count / (time.perf_counter() - begin)
    return f"{rate:,.0f} images of 8x8 a second in training, after {compiled:.1f} s of compiling"


def on_bus(wanted: dict[str, tuple[str, ...]], root: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Tell whether a PCI device is here whose files begin with one of these texts each; False where there is no bus."""
    for device in root.glob("*"):
        with contextlib.suppress(OSError):
            if all((device / name).read_text().startswith(texts) for name, texts in wanted.items()):
                return True
    return False


def _devices() -> tuple[str, int, str, str]:
    """Backend, count and kind of JAX's devices, and what went wrong."""
    try:
        asked = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, timeout=CHECK_S)
    except subprocess.TimeoutExpired:
        return "", 0, "", f"it does not answer within {CHECK_S} s; another process may hold the accelerator"
    lines = asked.stdout.strip().splitlines()
    if asked.returncode == 0 and lines:
        return *json.loads(lines[-1]), ""
    return "", 0, "", (asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _nvidia() -> str:
    """The version of the NVIDIA driver; "unknown" where there is a GPU and no tool that says so; "" for none."""
    if shutil.which("nvidia-smi"):
        asked = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True
        )
        if asked.returncode == 0 and asked.stdout.strip():
            return asked.stdout.strip().splitlines()[0]
    return "unknown" if any(Path("/dev").glob("nvidia[0-9]*")) else ""


def _memory() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return 0.0


def _cache() -> str:
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "jaxdiff")
