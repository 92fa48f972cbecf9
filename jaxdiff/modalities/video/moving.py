"""The generated set: digits that move straight on and bounce off the walls; nothing is fetched.

One of scikit-learn's digits, 8x8, moves in a box of 16x16 pixels. Its corner is at p(k) = fold(p_0 + k v) in frame k,

    fold(q) = q mod 2L, or 2L minus that where it is above L,        L = 16 - 8,

in each direction: a straight line, mirrored at the walls. Between pixels, a digit is drawn by bilinear weights. So the
place of a digit in every frame, its class and its looks are known exactly (`jaxdiff.evaluation.moving`).
"""

import numpy as np

from jaxdiff.data.source import Source, labeled
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.video.spec import video_spec
from jaxdiff.types import Batch

__all__ = ["DIGIT", "fold", "moving_digits", "rendered"]

DIGIT = 8
SPLITS = ("train", "test")


def moving_digits(
    split: str = "train", n: int = 20_000, frames: int = 16, size: int = 16, speed: float = 1.5, seed: int = 0
) -> Source:
    """Videos of one moving digit, with its class.

    Args:
      split: "train", or "test": other handwritings, every fifth.
      n: how many.
      frames: of each.
      size: side of the box, in pixels.
      speed: the most that a digit moves in a frame, in pixels, down and to the right; the least is a third of it.
      seed: of what is drawn.

    Raises:
      InputError: an unknown split, a box that leaves no room, or a single frame.
    """
    if split not in SPLITS:
        raise unknown("split of the moving digits", split, SPLITS)
    if size <= DIGIT or frames < 2 or n < 1 or not speed >= 0:
        raise InputError(
            f"size={size}, frames={frames}, n={n}, speed={speed}: a box has more than {DIGIT} pixels a side, a video "
            "two frames at least, and a speed is not below 0"
        )
    from sklearn.datasets import load_digits  # most of a second

    images, classes = load_digits(return_X_y=True)
    chosen = (np.arange(len(images)) % 5 != 0) == (split == "train")
    inks = images[chosen].reshape(-1, DIGIT, DIGIT).astype(np.float32) / 16
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    which = rng.integers(len(inks), size=n)
    start = rng.uniform(0, size - DIGIT, (n, 2))
    velocity = rng.uniform(speed / 3, speed, (n, 2)) * rng.choice([-1, 1], (n, 2))
    labels = np.asarray(classes)[chosen][which].astype(np.int32)

    def take(indices):
        steps = np.arange(frames)[None, :, None]
        places = fold(start[indices][:, None] + steps * velocity[indices][:, None], size - DIGIT)
        return Batch(2 * rendered(inks[which[indices]], places, size)[..., None] - 1)

    known = which.tobytes() + start.tobytes() + velocity.tobytes()
    source = Source(n, video_spec((frames, size, size, 1)), take, known=known)
    return labeled(source._replace(spec=source.spec), labels, 10)


def fold(q: np.ndarray, most: float) -> np.ndarray:
    """Positions mirrored into [0, most], as a ball between two walls."""
    q = np.mod(q, 2 * most)
    return np.where(q > most, 2 * most - q, q)


def rendered(inks: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """Digits at places, by bilinear weights: (n, frames, size, size), float32, from 0 to 1.

    Args:
      inks: (n, 8, 8), from 0 to 1.
      places: (n, frames, 2), of their corners, down and right, from 0 to size - 8.
    """
    n, frames, _ = places.shape
    whole = np.minimum(places.astype(int), size - DIGIT - 1)
    share = (places - whole).astype(np.float32)
    out = np.zeros((n, frames, size, size), np.float32)
    rows = np.arange(DIGIT)
    example, frame = np.arange(n)[:, None, None, None], np.arange(frames)[:, None, None]
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - down - share[..., 0]) * np.abs(1 - right - share[..., 1])
            y = (whole[..., 0] + down)[..., None, None] + rows[:, None]
            x = (whole[..., 1] + right)[..., None, None] + rows
            out[example, frame, y, x] += weight[..., None, None] * inks[:, None]
    return out
