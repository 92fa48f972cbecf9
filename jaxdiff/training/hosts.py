"""Hosts: several processes, usually on as many machines, that run the same program on one mesh of all their devices.

They meet by JAX's own service, which finds them by itself on TPU pods, under Slurm, Open MPI and Kubernetes. What must
agree is compared before the first step, and what goes wrong in one of them ends all, with one line each.
"""

import functools
import json
import logging
import os
import re
import secrets
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxdiff.errors import InputError
from jaxdiff.training.errors import explained

__all__ = [
    "ADVICE",
    "T",
    "agree",
    "as_one",
    "check_shared",
    "gather",
    "is_writer",
    "log",
    "of_any",
    "of_writer",
    "start",
    "together",
]

T = TypeVar("T")
MARGIN_S, SHARED_S = 60, 10
"""How much longer JAX may wait than we, for it ends a process with a page; and a shared disk to show a new file."""

ADVICE = "start the missing ones, with the same address of process 0, and check that all reach it and its port is free"

log = logging.getLogger(__name__)


@functools.cache
def start(coordinator: str | None, processes: int | None, process: int | None, timeout_s: int) -> None:
    """Join the other processes, if there are any; call it before anything asks JAX for a device.

    With no coordinator, JAX looks for the others; where it finds no cluster, this process is alone. The same call again
    changes nothing.

    Args:
      coordinator: address of process 0, "HOST:PORT", as all others reach it.
      processes: how many there are.
      process: which of them this is, from 0.
      timeout_s: how long to wait for the others.

    Raises:
      InputError: incomplete arguments, or JAX's service cannot start.
    """
    if coordinator is None and (processes is not None or process is not None):
        raise InputError(f"--processes={processes} --process={process} need --coordinator=HOST:PORT of process 0")
    if coordinator is not None and not re.fullmatch(r".+:[0-9]{1,5}", coordinator):
        raise InputError(f"--coordinator={coordinator}: must be HOST:PORT, an address of process 0")
    if coordinator is not None and (processes is None or process is None or not 0 <= process < processes):
        raise InputError(
            f"--coordinator={coordinator} needs --processes, how many there are (now {processes}), and --process, "
            f"which of them this is, from 0 (now {process})"
        )
    where = f"at {coordinator}, as process {process} of {processes}" if coordinator else "of this job"
    late = threading.Timer(timeout_s, _end, [f"waited {timeout_s} s for the other processes {where}: {ADVICE}"])
    late.daemon = True
    late.start()
    try:
        with warnings.catch_warnings(action="ignore"):  # of JAX, where Kubernetes is no cluster of its kind
            jax.distributed.initialize(coordinator, processes, process, initialization_timeout=timeout_s + MARGIN_S)
    except Exception as error:
        if coordinator is not None:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"--coordinator={coordinator}: JAX's service cannot start there: {reason}") from error
        if not isinstance(error, ValueError):
            log.warning("JAX cannot join the cluster that it finds (%s): this process is alone", error)
    finally:
        late.cancel()


def gather(text: str) -> list[str]:
    """What each process says, in all of them; each has to ask.

    Raises:
      InputError: they have different numbers of devices, with which JAX cannot tell.
    """
    if jax.process_count() == 1:
        return [text]
    devices = Counter(device.process_index for device in jax.devices())
    if len(set(devices.values())) > 1:
        counts = ", ".join(f"{n} in process {i}" for i, n in sorted(devices.items()))
        raise InputError(f"the processes differ in their number of devices ({counts}): give all of them as many")
    content = np.frombuffer(text.encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.int32(content.size))
    padded = np.zeros(max(int(sizes.max()), 1), np.uint8)
    padded[: content.size] = content
    rows = np.asarray(multihost_utils.process_allgather(padded))
    return [bytes(row[:size]).decode() for row, size in zip(rows, sizes, strict=True)]


def agree(what: Mapping[str, Any]) -> None:
    """Compare what must be the same in all processes, by name.

    Raises:
      InputError: in all processes, which names each difference.
    """
    told = [json.loads(text) for text in gather(json.dumps(what, default=str))]
    names = sorted({name for one in told for name in one})
    differ = [
        f"{name} ({', '.join(f'{str(one.get(name))[:80]} in process {i}' for i, one in enumerate(told))})"
        for name in names
        if any(one.get(name) != told[0].get(name) for one in told)
    ]
    if differ:
        raise InputError(
            f"the processes differ in {'; '.join(differ)}: start all of them with the same command and code"
        )


def as_one(work: Callable[[], T]) -> T:
    """What `work` returns.

    Raises:
      InputError: in all processes, where it was one in any of them.
    """
    if jax.process_count() == 1:
        return work()
    result, wrong = None, ""
    try:
        result = work()
    except InputError as error:
        wrong = str(error)
    told = gather(wrong)
    if any(told):
        raise InputError("; ".join(f"process {i}: {text}" for i, text in enumerate(told) if text))
    return result  # pyright: ignore[reportReturnType]


def check_shared(folder: Path) -> None:
    """Refuse a run's folder that not all processes see, by a file with a word that process 0 writes there.

    Raises:
      InputError: in all processes.
    """
    if jax.process_count() == 1:
        return
    word = gather(secrets.token_hex(16))[0]
    file = folder / f".shared-{word}"
    if is_writer():
        with suppress(OSError), file.open("x") as content:
            content.write(word)
    gather("")  # it is written
    end = time.monotonic() + SHARED_S
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.1)
    blind = [str(i) for i, sees in enumerate(gather("y" if file.exists() else "")) if not sees]
    if is_writer():
        file.unlink(missing_ok=True)
    if blind:
        raise InputError(
            f"process {', '.join(blind)} does not see what process 0 writes to {str(folder)!r}: give all of them a "
            "--workdir on a disk that they share"
        )


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
            _end(str(error))
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _end(message: str) -> None:
    """End this process now, with one line."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(2)
