"""Ends: how sampling begins and ends, where a model has its own way."""

from collections.abc import Callable
from typing import NamedTuple

from jaxdiff.gaussian.process import Process
from jaxdiff.pipelines.hooks import Inputs, from_noise
from jaxdiff.types import Array, Codec, Key, Spec

__all__ = ["USUAL", "Ends", "from_level"]


class Ends(NamedTuple):
    """How a model's sampling begins and ends.

    Attributes:
      begin: as of `jaxdiff.pipelines.hooks.Hooks`, where a task does not begin otherwise.
      denoise: whether, where the grid ends above the data, the examples are the last x̂_0, or x as it is.
      codec: of a latent model, between pictures and latents; None for the modality's own.
      pictures: what one picture is, if there is a codec.
    """

    begin: Callable[[Process, Key, Array, Array, Inputs], Array] = from_noise
    denoise: bool = True
    codec: Codec | None = None
    pictures: Spec | None = None


USUAL = Ends()
"""Noise at the grid's first time, to the data's own units."""


def from_level(process: Process, key: Key, x: Array, times: Array, inputs: Inputs) -> Array:
    """Noise of the grid's first level alone, as if there were no data below it."""
    return process.sigma(times[0]) * process.noise(key, x)
