"""Given: sounds in files, brought to what a model draws."""

from pathlib import Path

import numpy as np

from jaxdiff.data.below import files_below
from jaxdiff.data.numpy_file import array_of
from jaxdiff.errors import InputError
from jaxdiff.modalities.audio.spec import rate_of
from jaxdiff.modalities.audio.wave import fitted
from jaxdiff.types import Spec

__all__ = ["read"]


def read(path: str, spec: Spec) -> np.ndarray:
    """A .wav, all of a folder, or a .npy of waves (n, samples, channels) of full scale 1: (n, *spec.shape), float32.

    Of longer ones the beginning is taken; behind shorter ones is silence.

    Raises:
      InputError: none of these, or a .wav that is damaged, silent, or of another rate or channel count.
    """
    place, (length, channels) = Path(path).expanduser(), spec.shape
    if place.suffix.lower() == ".npy" and place.is_file():
        found = array_of(place)
        if found.ndim != 3 or found.shape[2] != channels or found.dtype.kind != "f" or not np.isfinite(found).all():
            raise InputError(
                f"{path!r} holds {found.dtype} of shape {found.shape}: must be (n, samples, {channels}), real"
            )
        waves = list(found.astype(np.float32))
    else:
        files = files_below(path, (".wav",))[1] if place.is_dir() else [place]
        waves = [fitted(file, rate_of(spec), channels, resample=False) for file in files]
    return np.stack([np.pad(wave[:length], ((0, max(0, length - len(wave))), (0, 0))) for wave in waves])
