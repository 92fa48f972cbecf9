"""Grid: the times that a sampler visits, checked against the process of training."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.config.names import Spec
from jaxdiff.config.parts import GRID
from jaxdiff.discrete.process import Replacement
from jaxdiff.discrete.product import Product
from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import check_levels
from jaxdiff.gaussian.parameterization import check_defined
from jaxdiff.gaussian.process import log_snr, time_at

__all__ = ["make_grid"]


def make_grid(spec: Spec, process: Any, path: Any, parameterization: Any) -> Callable[[int], np.ndarray]:
    """`(steps) -> times` along a path, of a network that was trained on a process.

    Args:
      process: None where it is learned; a `Process` or a `Replacement`, with a parameterization of the kind.
      path: None where it is that of training, which is learned.
    """

    @functools.cache
    def grid(steps):
        if path is None and GRID.takes(spec, "process"):
            raise InputError(f"grid {spec['name']!r} needs noise levels, and this process learns its own: take uniform")
        if isinstance(path, Replacement | Product):
            return _of_symbols(spec, steps)
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


def _of_symbols(spec: Spec, steps: int) -> np.ndarray:
    if GRID.takes(spec, "process"):
        raise InputError(f"grid {spec['name']!r} needs noise levels, and symbols have none: take uniform")
    times = np.asarray(GRID.make(spec, steps=steps), np.float32)
    if times[0] != 1 or times[-1] != 0:
        raise InputError(f"grid from t={times[0]:g} to {times[-1]:g}: symbols are drawn from t=1 to 0: leave these out")
    times.setflags(write=False)
    return times
