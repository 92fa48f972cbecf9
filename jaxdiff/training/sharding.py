"""Sharding: how the batch, the parameters and the optimizer are laid over a mesh of devices.

A mesh has three axes. Over `data` and `fsdp` the batch is cut; over `fsdp` each parameter is cut too, with its average
and its optimizer's moments, and gathered layer by layer where it is used (Rajbhandari et al. 2020, ZeRO stage 3); over
`tensor` the channels inside a block are cut (Shoeybi et al. 2019), as the network's own rule says. XLA derives the rest
from these placements, so that no formula of the library knows of the mesh, and the results are those of one device.
"""

import ctypes
import math
import os
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxdiff.errors import InputError

__all__ = [
    "BATCH",
    "TensorAxis",
    "batch_shards",
    "check_batch",
    "drawing_mesh",
    "make_mesh",
    "on_mesh",
    "replicated",
    "shard",
    "split",
    "use_compilation_cache",
    "use_cpu_devices",
]

BATCH = ("data", "fsdp")

TensorAxis = Callable[[tuple[str, ...], tuple[int, ...]], int | None]
"""`(names, shape) -> axis`: the axis of a parameter that `tensor` cuts, or None. Names end in layer and parameter."""


def use_cpu_devices(count: int) -> None:
    """Let JAX on CPU run as `count` devices (no more than there are cores): faster than one device with many threads.

    Does nothing on an accelerator, or where XLA_FLAGS names a number. Call it before anything asks JAX for a device.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" not in flags:
        jax.config.update("jax_num_cpu_devices", min(count, os.cpu_count() or 1))
    if "ynn_fusion" not in flags and jax.__version__.startswith("0.10."):
        # In these versions YNNPACK is quicker than XLA's own code at sums, and up to 4 times slower at the gradients of
        # 3x3 convolutions. A flag that XLA does not know ends the process, hence the versions.
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_experimental_ynn_fusion_type=reduce"
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        # XLA on CPU allocates every intermediate anew; let glibc keep freed memory rather than fault it in again.
        mmap_threshold, trim_threshold, top_pad = -3, -1, -2
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, (1 << 31) - 1)
        libc.mallopt(top_pad, 1 << 27)


def use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, ~/.cache/jaxdiff, unless JAX was told another place."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        jax.config.update("jax_compilation_cache_dir", os.path.join(root, "jaxdiff"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def make_mesh(data: int = -1, fsdp: int = 1, tensor: int = 1) -> Mesh:
    """All devices, of all hosts, as a mesh of these sizes; one of them may be -1, for what the others leave.

    Raises:
      InputError: the sizes do not multiply to the number of devices.
    """
    sizes, count = {"data": data, "fsdp": fsdp, "tensor": tensor}, jax.device_count()
    given = ", ".join(f"{name}={size}" for name, size in sizes.items())
    open_ = [name for name, size in sizes.items() if size == -1]
    rest = math.prod(size for size in sizes.values() if size != -1)
    if len(open_) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
        raise InputError(f"mesh {given}: sizes are positive, and at most one is -1, for what the others leave")
    if count % rest or (not open_ and rest != count):
        raise InputError(
            f"mesh {given}: {rest} does not {'divide' if open_ else 'equal'} the {count} {jax.default_backend()} "
            "device(s) there are: give sizes whose product is that number, or -1 for one of them"
        )
    sizes |= dict.fromkeys(open_, count // rest)
    return jax.make_mesh(tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Auto,) * 3)


def drawing_mesh(mesh: Mesh | None = None) -> Mesh:
    """The devices that draw: those of a mesh, or all; of several simulated devices of one CPU the first alone.

    Under the flag that `use_cpu_devices` sets, loops of 15 or more network calls are wrong on several of these (jax
    0.10.2): the first example of each device's part comes out as noise; docs/support.md. One device
    with all threads draws as fast. Training, which has no such loop, uses them all.
    """
    mesh = mesh or make_mesh()
    first = mesh.devices.flat[0]
    if first.platform != "cpu" or jax.process_count() > 1:
        return mesh
    return Mesh(np.array([first]).reshape(1, 1, 1), mesh.axis_names, axis_types=(AxisType.Auto,) * 3)


def on_mesh(mesh: Mesh, tree: Any) -> Any:
    """A tree whose arrays on other devices than those of the mesh are copied to it, whole on each; others stay."""
    there = set(mesh.devices.flat)

    def put(leaf):
        known = isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer)
        return jax.device_put(leaf, replicated(mesh)) if known and leaf.devices() - there else leaf

    return jax.tree.map(put, tree)


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, leading: int = 0) -> NamedSharding:
    """An array of examples cut over the devices along its first axis, or after `leading` others that stay whole."""
    return NamedSharding(mesh, PartitionSpec(*(None,) * leading, BATCH))


def batch_shards(mesh: Mesh) -> int:
    """Into how many parts `split` cuts."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def shard(mesh: Mesh, tree: Any, tensor_axis: TensorAxis) -> Any:
    """A sharding for each array of a tree of parameters, or of anything shaped like them: average, moments.

    `tensor` cuts the axis that the network's rule names; `fsdp` the longest other axis that it divides, the last of
    these where several are as long. What nothing cuts is replicated.

    Raises:
      InputError: `tensor` does not divide an axis that the rule names.
    """
    tensor, fsdp = mesh.shape["tensor"], mesh.shape["fsdp"]

    def place(path, leaf):
        names = tuple(str(getattr(part, "key", part)) for part in path)
        axes: list[str | None] = [None] * leaf.ndim
        axis = tensor_axis(names, leaf.shape) if tensor > 1 else None
        if axis is not None:
            if leaf.shape[axis] % tensor:
                raise InputError(
                    f"mesh tensor={tensor} does not divide the {leaf.shape[axis]} channels of {'/'.join(names[-3:])}: "
                    "choose net.channels divisible by it, or a smaller tensor axis"
                )
            axes[axis] = "tensor"
        whole = [i for i in range(leaf.ndim) if axes[i] is None and leaf.shape[i] % fsdp == 0]
        if fsdp > 1 and whole:
            axes[max(whole, key=lambda i: (leaf.shape[i], i))] = "fsdp"
        return NamedSharding(mesh, PartitionSpec(*axes))

    return jax.tree_util.tree_map_with_path(place, tree)


def check_batch(batch_size: int, accumulate: int, shards: int) -> None:
    """Refuse a batch that the devices and the parts of an accumulated step do not divide."""
    if batch_size < 1 or accumulate < 1 or batch_size % (shards * accumulate):
        raise InputError(
            f"batch_size={batch_size} cannot be split over {shards} device(s) and accumulate={accumulate} part(s): "
            f"use a multiple of {shards * max(accumulate, 1)}"
        )
