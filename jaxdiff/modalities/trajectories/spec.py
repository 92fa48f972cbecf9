"""Spec: what one trajectory is, and the codec between its own units and those of a network.

The details of the specification hold, as plain data:

    channels          names of the channels
    shift, scale      of each channel: a network sees (x - shift) / scale
    maze              the name of the maze in which it lies; "" for none
    stride            steps of that maze's dynamics between two states; 0 without
"""

from collections.abc import Sequence

import numpy as np

from jaxdiff.errors import InputError, unknown
from jaxdiff.types import Codec, Spec

__all__ = ["AXES", "RANGE", "SCALINGS", "make_codec", "scaling_of", "track_spec"]

AXES = ("steps", "channels")
RANGE = (None, None)
SCALINGS = ("range", "std", "none")


def track_spec(
    shape: tuple[int, int],
    shift: np.ndarray,
    scale: np.ndarray,
    channels: Sequence[str] = (),
    maze: str = "",
    stride: int = 0,
) -> Spec:
    """So many steps of so many channels; without names, the first two are x and y."""
    names = list(channels) or [*"xyz"[: shape[1]], *(f"channel {c}" for c in range(3, shape[1]))]
    plain = {"shift": np.asarray(shift, np.float64).tolist(), "scale": np.asarray(scale, np.float64).tolist()}
    return Spec(shape, "trajectories", details={"channels": names, **plain, "maze": maze, "stride": stride})


def scaling_of(windows: np.ndarray, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """`(shift, scale)` of each channel of windows (n, steps, channels); of one that is constant, scale 1.

    Args:
      scaling: "range", to [-1, 1] by the least and the most; "std", to mean 0 and standard deviation 1; or "none".
    """
    if scaling not in SCALINGS:
        raise unknown("scaling of trajectories", scaling, SCALINGS)
    rows = np.asarray(windows, np.float64).reshape(-1, windows.shape[-1])
    if scaling == "range":
        low, high = rows.min(0), rows.max(0)
        shift, scale = (low + high) / 2, (high - low) / 2
    elif scaling == "std":
        shift, scale = rows.mean(0), rows.std(0)
    else:
        shift, scale = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    return shift, np.where(scale > 0, scale, 1)


def make_codec(spec: Spec) -> Codec:
    """From trajectories (..., steps, channels) in their own units to scaled ones, float32, and back.

    Without details it is the identity.

    Raises:
      InputError: details that are no scaling of as many channels as an example has.
    """
    if not spec.details:
        return Codec()
    try:
        shift, scale = (np.asarray(spec.details[name], np.float64) for name in ("shift", "scale"))
        fits = shift.shape == scale.shape == spec.shape[1:] and len(spec.details["channels"]) == spec.shape[1]
        fits = fits and bool(np.isfinite(shift).all() and np.isfinite(scale).all() and (scale > 0).all())
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"details of trajectories: {type(error).__name__} {error}: they hold no scaling") from error
    if not fits:
        raise InputError(f"details of trajectories: are not those of a scaling of {spec.shape[1]} channels")
    return Codec(
        lambda x: ((np.asarray(x, np.float64) - shift) / scale).astype(np.float32),
        lambda x: (np.asarray(x, np.float64) * scale + shift).astype(np.float32),
    )
