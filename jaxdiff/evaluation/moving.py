"""A judge of moving digits (`jaxdiff.modalities.video.moving`): where a digit is in each frame, and which one it is.

The place of a digit is that of the 8x8 window with the most ink, refined by the center of the ink in it; places are
compared with the nearest way of the data's own law, p(k) = fold(p_0 + k v), that passes through those seen. The class
of a frame is that of a support vector machine on scikit-learn's digits, trained on those of training alone and moved by
parts of a pixel, as they are here.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxdiff.modalities.video.moving import DIGIT, fold, rendered

__all__ = ["Judged", "classes_of", "judge", "nearest_way", "places_of", "psnr"]


class Judged(NamedTuple):
    """Figures of videos of moving digits.

    Attributes:
      identity: share of frames in which the digit is read as the one that most frames of its video show.
      label: share of videos of which most frames show the class that was asked for.
      position: root mean square, in pixels, of the distance between places and the nearest straight way with bounces.
    """

    identity: float
    label: float
    position: float


def places_of(videos: np.ndarray, size: int = DIGIT) -> np.ndarray:
    """The center of the ink in each frame, (n, frames, 2), down and right, in pixels.

    Only the window of 8x8 pixels that has the most ink counts, so that specks elsewhere do not.

    Args:
      videos: (n, frames, height, width), ink from 0 to 1.
    """
    n, frames, height, width = videos.shape
    total = np.zeros((n, frames, height + 1, width + 1))
    total[:, :, 1:, 1:] = videos.cumsum(2).cumsum(3)
    sums = (
        total[:, :, size:, size:]
        - total[:, :, :-size, size:]
        - total[:, :, size:, :-size]
        + total[:, :, :-size, :-size]
    )
    y, x = np.divmod(sums.reshape(n, frames, -1).argmax(-1), width - size + 1)
    rows, columns = np.arange(height), np.arange(width)
    inside = (np.abs(rows - y[..., None] - (size - 1) / 2) < size / 2)[..., :, None]
    inside = inside & (np.abs(columns - x[..., None] - (size - 1) / 2) < size / 2)[..., None, :]
    ink = np.where(inside, videos, 0) + 1e-9
    mass = ink.sum((2, 3))
    return np.stack([(ink.sum(3) * rows).sum(2) / mass, (ink.sum(2) * columns).sum(2) / mass], -1)


def nearest_way(places: np.ndarray, most: float, speed: float = 2.0) -> np.ndarray:
    """The ways fold(p_0 + k v) nearest to places (n, frames), of one coordinate: (n, frames).

    Candidates are searched on a grid of velocities up to `speed` and of starts, and then more finely about the best.
    """
    k = np.arange(places.shape[1])

    def best(start, velocity):  # (n, a), (n, b)
        ways = fold(start[:, :, None, None] + velocity[:, None, :, None] * k, most)
        errors = ((ways - places[:, None, None]) ** 2).sum(-1).reshape(len(places), -1)
        at = errors.argmin(1)
        row, i, j = np.arange(len(places)), *np.divmod(at, velocity.shape[1])
        return start[row, i], velocity[row, j]

    widen = lambda values: np.broadcast_to(values, (len(places), len(values)))
    start, velocity = best(widen(np.linspace(0, most, 17)), widen(np.linspace(-speed, speed, 41)))
    for width in (1, 1 / 4, 1 / 16):
        near = np.linspace(-width, width, 13)
        start, velocity = best(start[:, None] + near * most / 16, velocity[:, None] + near * speed / 20)
    return fold(start[:, None] + velocity[:, None] * k, most)


class _Reader:
    """The support vector machine, trained when it is first needed."""

    machine: Any = None

    def __call__(self, inks: np.ndarray) -> np.ndarray:
        if _Reader.machine is None:
            from sklearn.datasets import load_digits  # most of a second
            from sklearn.svm import SVC

            images, classes = load_digits(return_X_y=True)
            known = np.arange(len(images)) % 5 != 0
            inks_known = images[known].reshape(-1, DIGIT, DIGIT).astype(np.float32) / 16
            places = np.random.default_rng(0).uniform(0, 1, (len(inks_known), 4, 2))
            moved = cut(rendered(inks_known, places, DIGIT + 1))
            _Reader.machine = SVC(C=10, gamma=0.05).fit(moved.reshape(-1, 81), np.repeat(classes[known], 4))  # pyright: ignore[reportArgumentType]
        return _Reader.machine.predict(inks.reshape(len(inks), -1))


def cut(videos: np.ndarray) -> np.ndarray:
    """The 9x9 pixels about the center of the ink in each frame: (n, frames, 9, 9)."""
    side, centers = DIGIT + 1, places_of(videos)
    padded = np.pad(videos, ((0, 0), (0, 0), (side, side), (side, side)))
    corner = np.round(centers - (side - 1) / 2).astype(int) + side
    rows = corner[..., 0, None, None] + np.arange(side)[:, None]
    columns = corner[..., 1, None, None] + np.arange(side)
    example, frame = np.arange(len(videos))[:, None, None, None], np.arange(videos.shape[1])[:, None, None]
    return padded[example, frame, rows, columns]


def classes_of(videos: np.ndarray) -> np.ndarray:
    """The class that is read in each frame of videos (n, frames, height, width), ink from 0 to 1: (n, frames)."""
    return _Reader()(cut(videos).reshape(-1, (DIGIT + 1) ** 2)).reshape(videos.shape[:2])


def judge(videos: np.ndarray, labels: np.ndarray) -> Judged:
    """The figures of videos (n, frames, height, width, 1) in [-1, 1], of which these classes, (n,), were asked for."""
    ink = np.clip((np.asarray(videos, np.float32)[..., 0] + 1) / 2, 0, 1)
    read = classes_of(ink)
    most = np.array([np.bincount(row, minlength=10).argmax() for row in read])
    places = places_of(ink)
    low, high = places.min((1,), keepdims=True), places.max((1,), keepdims=True)
    room = ink.shape[2] - DIGIT
    # The center of the ink moves as the corner does, at an offset that is not known: it is searched with the way.
    errors = []
    for axis in (0, 1):
        middle = (low[..., axis] + high[..., axis]) / 2 - room / 2
        offsets = middle + np.linspace(-1, 1, 9)
        each = [
            (
                (nearest_way(places[..., axis] - offsets[:, i, None], room) + offsets[:, i, None] - places[..., axis])
                ** 2
            )
            for i in range(offsets.shape[1])
        ]
        errors.append(np.min([e.mean(1) for e in each], 0))
    position = float(np.sqrt(np.mean(np.sum(errors, 0))))
    return Judged(float((read == most[:, None]).mean()), float((most == labels).mean()), position)


def psnr(videos: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of videos in [-1, 1], by the mean squared error of all."""
    error = np.mean((np.clip(videos, -1, 1) - truth) ** 2)
    return float(10 * np.log10(4 / max(error, 1e-12)))
