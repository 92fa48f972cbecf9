"""Data parallelism: every device holds the parameters, and its share of each batch."""

import ctypes
import os
import sys

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxdiff.errors import InputError


def use_cpu_devices(count: int) -> None:
    """Let JAX on CPU run as `count` devices (no more than there are cores): faster than one device with many threads.

    Does nothing on an accelerator, or where XLA_FLAGS names a number. Call it before anything asks JAX for a device.
    """
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", min(count, os.cpu_count() or 1))
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        # XLA on CPU allocates every intermediate anew; let glibc keep freed memory rather than fault it in again.
        mmap_threshold, trim_threshold, top_pad = -3, -1, -2
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, (1 << 31) - 1)
        libc.mallopt(top_pad, 1 << 27)


def data_mesh() -> Mesh:
    """All devices, in one axis named "data"."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The first axis cut over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_batch(batch_size: int, accumulate: int, devices: int) -> None:
    """Refuse a batch that the devices and the parts of an accumulated step do not divide."""
    if batch_size < 1 or accumulate < 1 or batch_size % (devices * accumulate):
        raise InputError(
            f"batch_size={batch_size} cannot be split over {devices} device(s) and accumulate={accumulate} part(s): "
            f"use a multiple of {devices * max(accumulate, 1)}"
        )
