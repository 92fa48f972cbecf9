"""Hooks: four functions that turn sampling to another end than drawing from noise; each may do nothing.

They are compiled into the sampling call; their inputs, such as an image, a mask and a strength, are traced.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxdiff.gaussian.process import Process, prior
from jaxdiff.samplers.base import Sampler
from jaxdiff.types import Array, Denoiser, Key

__all__ = ["NOTHING", "PLAIN", "Hooks", "Inputs", "from_noise"]


class Inputs(NamedTuple):
    """Inputs of hooks: arrays (batch, ...), by any names, and others that all examples share."""

    each: Any = None
    shared: Any = None


NOTHING = Inputs()


def from_noise(process: Process, key: Key, x: Array, times: Array, inputs: Inputs) -> Array:
    """Noise at the grid's first time, shaped like x."""
    return prior(process, key, x, times[0])


class Hooks(NamedTuple):
    """Four functions that change how a model draws.

    Attributes:
      begin: `(process, key, x, times, inputs) -> x_t` at `times[0]`, shaped like x.
      guide: `(process, denoiser, inputs) -> denoiser`.
      steer: `(process, denoiser, sampler, inputs) -> sampler`; the denoiser is the constrained one.
      finish: `(images, inputs) -> images`.
    """

    begin: Callable[[Process, Key, Array, Array, Inputs], Array] = from_noise
    guide: Callable[[Process, Denoiser, Inputs], Denoiser] = lambda process, denoiser, inputs: denoiser
    steer: Callable[[Process, Denoiser, Sampler, Inputs], Sampler] = lambda process, denoiser, sampler, inputs: sampler
    finish: Callable[[Array, Inputs], Array] = lambda images, inputs: images


PLAIN = Hooks()
"""Drawing from noise."""
