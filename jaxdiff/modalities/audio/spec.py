"""Spec: what one sound is: so many samples at a rate, divided by the standard deviation of the set."""

import math
from collections.abc import Sequence

from jaxdiff.errors import InputError
from jaxdiff.types import Codec, Spec

__all__ = ["AXES", "RANGE", "audio_spec", "make_codec", "rate_of"]

AXES = ("samples", "channels")
RANGE = (None, None)


def audio_spec(
    shape: tuple[int, ...], rate: int, scale: float, classes: Sequence[str] = (), speakers: Sequence[str] = ()
) -> Spec:
    """A sound (samples, channels).

    Args:
      rate: samples a second.
      scale: the standard deviation of the set, in units of full scale, by which waves are divided.
      classes, speakers: names, where there are some.
    """
    named = {name: list(value) for name, value in (("classes", classes), ("speakers", speakers)) if len(value)}
    return Spec(tuple(shape), "audio", details={"rate": int(rate), "scale": float(scale), **named})


def make_codec(spec: Spec) -> Codec:
    """From waves of full scale 1 to waves of standard deviation 1, and back; without details the identity.

    Raises:
      InputError: details without a rate and a scale above 0.
    """
    if not spec.details:
        return Codec()
    rate, scale = spec.details.get("rate"), spec.details.get("scale")
    fits = isinstance(rate, int) and rate > 0 and isinstance(scale, int | float) and 0 < scale < math.inf
    if not fits:
        raise InputError(
            f"details of audio: rate={rate!r}, scale={scale!r}: must be a whole number and a number above 0"
        )
    return Codec(lambda x: x / scale, lambda x: x * scale)


def rate_of(spec: Spec) -> int:
    """Samples a second; 8000 where a specification without details does not say."""
    return int(spec.details.get("rate", 8000))
