"""Waves in files: .wav, read by SciPy as numbers of full scale 1, and written with 16 bits."""

import math
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np

from jaxdiff.errors import InputError

__all__ = ["fitted", "quantized", "read_wave", "resampled", "write_wave"]

FULL = {"u1": (128.0, 128.0), "i2": (0.0, 2.0**15), "i4": (0.0, 2.0**31), "i8": (0.0, 2.0**63)}
"""Zero and full scale of whole numbers, by their type; 24 bits are read as the upper ones of 32."""


def read_wave(path: str | Path) -> tuple[int, np.ndarray]:
    """The rate and the samples of a .wav: (samples, channels), float32 of full scale 1.

    Raises:
      InputError: it cannot be read, is empty or silent, or holds numbers that are not finite.
    """
    from scipy.io import wavfile  # a tenth of a second

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks beside the samples
            rate, samples = wavfile.read(path)
    except Exception as error:  # of a damaged file, SciPy raises all kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{str(path)!r} cannot be read as a .wav: mend it or take it out ({reason})") from error
    samples = samples[:, None] if samples.ndim == 1 else samples
    zero, full = FULL.get(samples.dtype.str[1:], (0.0, 1.0))
    wave = ((samples.astype(np.float64) - zero) / full).astype(np.float32)
    if not len(wave):
        raise InputError(f"{str(path)!r} holds no samples: take it out")
    if not np.isfinite(wave).all():
        raise InputError(f"{str(path)!r} holds samples that are not finite: mend it or take it out")
    if not wave.any():
        raise InputError(f"{str(path)!r} is silent from beginning to end: take it out")
    return int(rate), wave


def fitted(path: str | Path, rate: int, channels: int, resample: bool) -> np.ndarray:
    """The samples of a .wav at a rate, (samples, channels).

    Args:
      resample: whether another rate is brought to this one; if not, it is refused.

    Raises:
      InputError: another rate or number of channels; or what `read_wave` refuses.
    """
    its, wave = read_wave(path)
    if wave.shape[1] != channels:
        raise InputError(
            f"{str(path)!r} has {wave.shape[1]} channels, and data.channels={channels}: make them equal, or mix it down"
        )
    if its != rate and not resample:
        raise InputError(
            f"{str(path)!r} has {its} samples a second, not {rate}: bring it to that, or, of the data of training, set "
            "data.resample=True"
        )
    return wave if its == rate else resampled(wave, its, rate)


def resampled(wave: np.ndarray, old: int, new: int) -> np.ndarray:
    """A wave (samples, channels) at another rate, by a polyphase filter, so that nothing is aliased."""
    from scipy.signal import resample_poly

    common = math.gcd(old, new)
    return resample_poly(wave, new // common, old // common, axis=0).astype(np.float32)


def quantized(wave: np.ndarray) -> np.ndarray:
    """Waves of full scale 1 as 16-bit numbers, clipped."""
    return np.round(np.clip(np.asarray(wave, np.float64), -1, 1 - 2.0**-15) * 2**15).astype(np.int16)


def write_wave(path: str | Path | BytesIO, rate: int, wave: np.ndarray) -> None:
    """Write a wave (samples, channels) of full scale 1 as a .wav of 16 bits, to a path or into memory.

    What is louder is clipped.
    """
    from scipy.io import wavfile

    wavfile.write(path, rate, quantized(wave))
