"""Measured: how sounds are compared with others: by their log-mel spectrograms."""

import numpy as np

from jaxdiff.modalities.audio.spec import rate_of
from jaxdiff.modalities.audio.spectrogram import log_mel
from jaxdiff.modalities.audio.wave import quantized
from jaxdiff.types import Spec

__all__ = ["BANDS", "FEATURES", "PARTS", "ROUNDINGS", "beside", "spectrograms", "values"]

FEATURES = ("log_mel",)
ROUNDINGS = {
    "int16": lambda x: quantized(np.asarray(x, np.float32)).astype(np.float32) / np.float32(2**15),
    "none": lambda x: np.asarray(x, np.float32),
}
"""Waves as a file of 16 bits keeps them, or as they are."""
BANDS, PARTS = 16, 8


def values(spec: Spec, x: np.ndarray) -> np.ndarray:
    """The mean log-mel power of 16 bands in each eighth of the time, (n, 128); without details the samples.

    Of several channels the mean is taken. Waves that are not finite have values that are not.
    """
    if not spec.details:
        return np.asarray(x, np.float32).reshape(len(x), -1)
    parts = np.array_split(spectrograms(spec, x, BANDS)[..., 0], PARTS, axis=1)
    return np.stack([part.mean(1) for part in parts if part.shape[1]], 1).reshape(len(x), -1)


def spectrograms(spec: Spec, x: np.ndarray, bands: int = 40) -> np.ndarray:
    """Log-mel spectrograms of waves in the data's own units, as images (n, frames, bands, 1)."""
    mono = np.asarray(x, np.float32).mean(-1) / np.float32(spec.details.get("scale", 1))
    return log_mel(mono, rate_of(spec), bands)[..., None]


def beside(spec: Spec, x: np.ndarray, real: np.ndarray) -> np.ndarray:
    """A picture, uint8: the spectrogram of each of n sounds before those of k real ones, (n, k, ...)."""
    from jaxdiff.modalities.audio.show import tiles

    rows = np.concatenate([np.asarray(x)[:, None], real], 1)
    return tiles(spectrograms(spec, rows.reshape(-1, *x.shape[1:])), rows.shape[1])
