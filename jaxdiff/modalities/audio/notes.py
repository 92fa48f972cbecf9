"""The generated set: plucked strings of twelve notes; nothing is fetched, and every pitch is known exactly.

A string of fundamental f, plucked at a share p of its length, sounds as

    x(u) = sum over k of sin(pi k p) / k^2 exp(-(a + b k^2) u) sin(2 pi k f u + phase_k),       k f < rate / 2

the modes of an ideal string with damping that grows with frequency. The class is the note, from C4 (261.63 Hz) to B4
in equal temperament; where it is plucked, how it is damped, when it begins and how loud it is are drawn at random.
"""

import numpy as np

from jaxdiff.data.source import Source, labeled
from jaxdiff.errors import unknown
from jaxdiff.modalities.audio.spec import audio_spec
from jaxdiff.types import Batch

__all__ = ["FREQUENCIES", "NAMES", "notes", "pluck"]

NAMES = ("C", "C sharp", "D", "D sharp", "E", "F", "F sharp", "G", "G sharp", "A", "A sharp", "B")
FREQUENCIES = 440 * 2 ** ((np.arange(12) - 9) / 12)
"""Hz."""
SPLITS = ("train", "test")
STD = 0.087
"""The standard deviation of the set, full scale being 1; the same for any seed, split and number."""


def notes(split: str = "train", n: int = 4000, length: int = 2048, rate: int = 8000, seed: int = 0) -> Source:
    """Plucked strings, with their twelve notes as classes.

    Args:
      split: "train", or "test", other ones.
      n: how many.
      length: samples of each.
      rate: samples a second.
      seed: of what is drawn.

    Raises:
      InputError: an unknown split.
    """
    if split not in SPLITS:
        raise unknown("split of the notes", split, SPLITS)
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    labels = (rng.permutation(n) % 12).astype(np.int32)
    x_0 = np.stack([pluck(rng, float(FREQUENCIES[label]), length, rate) for label in labels])[..., None] / STD
    source = Source(n, audio_spec((length, 1), rate, STD, NAMES), lambda indices: Batch(x_0[indices]))
    return labeled(source._replace(known=x_0.tobytes()[:4096]), labels, 12)


def pluck(rng: np.random.Generator, frequency: float, length: int, rate: int) -> np.ndarray:
    """One plucked string, (length,), float32."""
    modes = np.arange(1, int(rate / 2 / frequency) + 1)[:, None]
    place, slow, fast = rng.uniform(0.1, 0.5), rng.uniform(4, 12), rng.uniform(0.05, 0.5)
    time = np.arange(length) / rate - rng.uniform(0, 0.1 * length / rate)
    shape = np.sin(np.pi * modes * place) / modes**2 * np.exp(-(slow + fast * modes**2) * np.maximum(time, 0))
    waves = np.sin(2 * np.pi * modes * frequency * time + rng.uniform(0, 2 * np.pi, modes.shape))
    return (rng.uniform(0.2, 0.4) * np.where(time >= 0, (shape * waves).sum(0), 0)).astype(np.float32)
