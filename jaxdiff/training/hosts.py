"""Hosts: several processes, usually on as many machines, that run the same program on one mesh of all their devices.

JAX ends a process, with a page of addresses, if the others do not come in time. So where the address of process 0 is
given, all processes first meet there on a socket of ours, which can say who is missing, and then let JAX start.
"""

import importlib.util
import os
import re
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxdiff.errors import InputError
from jaxdiff.training.errors import explained

LAUNCHERS = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")


def start(coordinator: str | None, processes: int | None, process: int | None, timeout_s: int) -> None:
    """Join the other processes, if there are any; call it before anything asks JAX for a device.

    With no coordinator, JAX finds the others by itself on TPU pods, and under Slurm and Open MPI; elsewhere this
    process is alone.

    Args:
      coordinator: address of process 0, "HOST:PORT", as all others reach it.
      processes: how many there are.
      process: which of them this is, from 0.
      timeout_s: how long to wait for the others.

    Raises:
      InputError: incomplete arguments, or not all processes came in time.
    """
    if coordinator is None:
        if processes is not None or process is not None:
            raise InputError(f"--processes={processes} --process={process} need --coordinator=HOST:PORT of process 0")
        if _launched():
            try:
                jax.distributed.initialize(initialization_timeout=timeout_s)
            except ValueError:
                return  # for all the signs of a cluster, JAX finds none
        return
    if not re.fullmatch(r".+:[0-9]{1,5}", coordinator):
        raise InputError(f"--coordinator={coordinator}: must be HOST:PORT, an address of process 0")
    if processes is None or process is None or not 0 <= process < processes:
        raise InputError(
            f"--coordinator={coordinator} needs --processes, how many there are (now {processes}), and --process, "
            f"which of them this is, from 0 (now {process})"
        )
    (_receive if process == 0 else _report)(coordinator, processes, process, time.monotonic() + timeout_s, timeout_s)
    jax.distributed.initialize(coordinator, processes, process, initialization_timeout=timeout_s)


def is_writer() -> bool:
    """Tell whether this process is the one that writes log, pictures and the run's record."""
    return jax.process_index() == 0


def of_writer(number: int | None) -> int | None:
    """Broadcast a value of the writing process, so that all go on from the same checkpoint, whatever each sees."""
    if jax.process_count() == 1:
        return number
    told = int(multihost_utils.broadcast_one_to_all(np.int32(-1 if number is None else number)))
    return None if told < 0 else told


def of_any(number: int) -> int:
    """The number that is not 0 in one of the processes, in all of them; each has to ask."""
    if jax.process_count() == 1:
        return number
    every = multihost_utils.process_allgather(np.int32(number))
    return int(every[np.argmax(np.abs(every))])


@contextmanager
def together(lower: str) -> Iterator[None]:
    """Explain what fails in the body, and where this process is one of several, end it at once.

    An orderly end would wait for the others, who wait for this one. For `lower` see `jaxdiff.training.errors`.
    """
    try:
        with explained(lower):
            yield
    except Exception as error:
        if not jax.distributed.is_initialized():
            raise
        if isinstance(error, InputError):
            print(f"error: {error}", file=sys.stderr)
        else:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(2 if isinstance(error, InputError) else 1)


def _receive(coordinator: str, processes: int, _: int, deadline: float, timeout_s: int) -> None:
    """Wait until each of the others has told its number, and then tell all of them to go on."""
    host, port = coordinator.rsplit(":", 1)
    came: dict[int, socket.socket] = {}
    try:
        server = socket.create_server(("", int(port)))
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--coordinator={coordinator}: cannot listen on port {port} of this machine: {error}"
        ) from error
    with server:
        while len(came) < processes - 1:
            server.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                peer, _ = server.accept()
                peer.settimeout(max(deadline - time.monotonic(), 0.001))
                came[int(peer.recv(16).decode() or -1)] = peer
            except (OSError, ValueError) as error:
                if time.monotonic() < deadline:
                    continue
                missing = ", ".join(str(i) for i in range(1, processes) if i not in came)
                raise InputError(
                    f"waited {timeout_s} s at {coordinator}: of {processes} processes these did not come: {missing}; "
                    f"start them with the same --coordinator, and check that they reach {host}"
                ) from error
    for peer in came.values():
        peer.sendall(b"go")
        peer.recv(1)  # they close first, so that the port is free at once
        peer.close()


def _report(coordinator: str, _: int, process: int, deadline: float, timeout_s: int) -> None:
    """Tell process 0 that this one is there, and wait until it says that all are."""
    host, port = coordinator.rsplit(":", 1)
    while True:
        try:
            with socket.create_connection((host, int(port)), max(deadline - time.monotonic(), 0.001)) as peer:
                peer.sendall(str(process).encode())
                if peer.recv(2) == b"go":
                    return
        except OSError as error:
            if isinstance(error, TimeoutError) or time.monotonic() >= deadline:
                raise InputError(
                    f"process {process} waited {timeout_s} s for process 0 at {coordinator} and the others: "
                    "start the missing ones, and check the address"
                ) from error
        time.sleep(0.2)


def _launched() -> bool:
    """Tell whether a launcher of several processes left its mark, or this may be a host of a TPU pod."""
    several = any(os.environ.get(name, "1") not in ("", "1") for name in LAUNCHERS)
    return several or importlib.util.find_spec("libtpu") is not None
