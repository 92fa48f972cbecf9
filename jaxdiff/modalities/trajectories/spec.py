"""Spec: what one trajectory is, and the codec between its own units and those of a network.

The details of the specification hold, as plain data:

    channels          names of the channels
    shift, scale      of each channel: a network sees (x - shift) / scale
    maze              the name of the maze in which it lies; "" for none
    stride            steps of that maze's dynamics between two states; 0 without
    lengths           of trajectories of several lengths: how many have 0, 1, 2 ... states, the last the most

Those of several lengths are rows of NaN after their end, in their own units, and rows of zeros as a network sees them,
which is told by the condition "mask" which rows are states. A state that is zero in all channels there is moved by
1e-30, so that it can be told from the rest.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError, unknown
from jaxdiff.gaussian.space import Space, masked
from jaxdiff.types import Codec, Condition, Key, Spec

__all__ = [
    "AXES",
    "COMPLETED",
    "RANGE",
    "SCALINGS",
    "complete",
    "lengths_of",
    "make_codec",
    "make_space",
    "mask_of",
    "scaling_of",
    "track_spec",
]

AXES = ("steps", "channels")
RANGE = (None, None)
SCALINGS = ("range", "std", "none")
COMPLETED = ("mask",)
"""What `complete` draws of a condition."""
NEARLY = 1e-30


def track_spec(
    shape: tuple[int, int],
    shift: np.ndarray,
    scale: np.ndarray,
    channels: Sequence[str] = (),
    maze: str = "",
    stride: int = 0,
    lengths: np.ndarray | None = None,
) -> Spec:
    """So many steps of so many channels; without names, the first two are x and y.

    Args:
      lengths: how many trajectories have 0, 1 ... up to as many steps; None where all have these.
    """
    names = list(channels) or [*"xyz"[: shape[1]], *(f"channel {c}" for c in range(3, shape[1]))]
    plain = {"shift": np.asarray(shift, np.float64).tolist(), "scale": np.asarray(scale, np.float64).tolist()}
    several = {} if lengths is None else {"lengths": [int(count) for count in lengths]}
    return Spec(shape, "trajectories", details={"channels": names, **plain, "maze": maze, "stride": stride, **several})


def scaling_of(windows: np.ndarray, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """`(shift, scale)` of each channel of windows (n, steps, channels); of one that is constant, scale 1.

    Args:
      scaling: "range", to [-1, 1] by the least and the most; "std", to mean 0 and standard deviation 1; or "none".

    Rows of NaN, after the end of a trajectory, do not count.
    """
    if scaling not in SCALINGS:
        raise unknown("scaling of trajectories", scaling, SCALINGS)
    rows = np.asarray(windows, np.float64).reshape(-1, windows.shape[-1])
    rows = rows[~np.isnan(rows).all(1)]
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
      InputError: details that are no scaling of as many channels, or no lengths of as many steps, as an example has.
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
    encode = lambda x: ((np.asarray(x, np.float64) - shift) / scale).astype(np.float32)
    decode = lambda x: (np.asarray(x, np.float64) * scale + shift).astype(np.float32)
    if "lengths" not in spec.details:
        return Codec(encode, decode)
    counts = spec.details["lengths"]
    if len(counts) != spec.shape[0] + 1 or min(counts) < 0 or counts[0] or not sum(counts):
        raise InputError(f"details of trajectories: lengths are not those of {spec.shape[0]} steps")

    def padded(x):
        x_0 = encode(x)
        here = np.asarray(~np.isnan(x_0).all(-1))
        x_0[..., 0] = np.where(here & (x_0 == 0).all(-1), NEARLY, x_0[..., 0])
        return np.where(here[..., None], x_0, 0)

    def ended(x):
        there = np.any(np.asarray(x) != 0, -1, keepdims=True)
        states = np.where(np.isnan(x), np.float32(np.inf), decode(x))  # what is no number is no end, either
        return np.where(there, states, np.float32(np.nan))

    return Codec(padded, ended)


def make_space(spec: Spec) -> Callable[[Condition], Space] | None:
    """The states that there are, of trajectories of several lengths."""
    if "lengths" not in spec.details:
        return None

    def space(condition):
        if "mask" not in condition:
            raise InputError(
                "trajectories of several lengths: the condition lacks mask (n, steps), 1 where there is a state: give "
                "it, and take a network that is told it, such as unet1d"
            )
        return masked(condition["mask"])

    return space


def mask_of(spec: Spec, lengths: np.ndarray) -> np.ndarray:
    """The mask (n, steps), float32, of trajectories of so many states, (n,).

    Raises:
      InputError: none, more than a trajectory can have, or no whole numbers.
    """
    lengths, most = np.asarray(lengths), spec.shape[0]
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or lengths.min() < 1 or lengths.max() > most:
        raise InputError(f"length={lengths.tolist()}: this model draws trajectories of 1 to {most} steps")
    return (np.arange(most) < lengths[:, None]).astype(np.float32)


def lengths_of(mask: np.ndarray | jax.Array) -> np.ndarray:
    """The numbers of states, (n,), of masks (n, steps)."""
    return np.asarray(mask).sum(1).round().astype(int)


def complete(spec: Spec, key: Key, index: np.ndarray, given: Condition) -> Condition:
    """The condition with the mask of trajectories as long as is asked for, "length", or as those of training.

    Args:
      key: trajectory i draws its length from the key and `index[i]`.
    """
    if "mask" in given:
        return given
    rest = {name: value for name, value in given.items() if name != "length"}
    if "length" in given:
        return {**rest, "mask": mask_of(spec, np.broadcast_to(given["length"], len(index)))}
    counts = np.asarray(spec.details["lengths"], np.float64)
    upto = jnp.asarray(np.cumsum(counts / counts.sum())[:-1], jnp.float32)
    draw = lambda i: jax.random.uniform(jax.random.fold_in(jax.random.fold_in(key, i), 1))
    lengths = jnp.searchsorted(upto, jax.vmap(draw)(jnp.asarray(index, jnp.uint32)), side="right")
    return {**rest, "mask": (jnp.arange(spec.shape[0]) < lengths[:, None]).astype(jnp.float32)}
