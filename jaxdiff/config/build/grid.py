"""Grid: the times that a sampler visits, checked against the process of training."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.config.names import Spec
from jaxdiff.config.parts import GRID
from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import check_levels
from jaxdiff.gaussian.parameterization import Parameterization, check_defined
from jaxdiff.gaussian.process import Process, log_snr, time_at

__all__ = ["make_grid"]


def make_grid(
    spec: Spec, process: Process | None, path: Process | None, parameterization: Parameterization
) -> Callable[[int], np.ndarray]:
    """`(steps) -> times` along a path, of a network that was trained on a process.

    Args:
      process: None where it is learned.
      path: None where it is that of training, which is learned.
    """

    @functools.cache
    def grid(steps):
        if path is None and GRID.takes(spec, "process"):
            raise InputError(f"grid {spec['name']!r} needs noise levels, and this process learns its own: take uniform")
        times = np.asarray(GRID.make(spec, process=path, steps=steps), np.float32)
        if process and path:
            with jax.ensure_compile_time_eval():
                there = times[:-1] if path is process else time_at(process, log_snr(path, jnp.asarray(times[:-1])))
                last = float(path.sigma(jnp.float32(times[-1])))
            if path is not process:
                check_levels("this model", process, path, times if last > 0 else times[:-1])
            check_defined(process, parameterization, np.append(there, 0))
        times.setflags(write=False)
        return times

    return grid
