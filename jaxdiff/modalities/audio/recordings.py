"""Recordings: folders of .wav and arrays of waves as sources; all are kept in memory.

A recording gives one example, its beginning, with silence behind where it is shorter; or, with a `hop`, windows that
start so many samples apart, and cover it to its end. Waves are divided by the standard deviation of all that is taken.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxdiff.data.below import class_names, files_below
from jaxdiff.data.numpy_file import member, names_in
from jaxdiff.data.source import Source, labeled, say_gaps
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.audio.spec import audio_spec
from jaxdiff.modalities.audio.wave import fitted, read_wave
from jaxdiff.types import Batch, ConditionSpec

__all__ = ["HELD", "SPLITS", "recordings", "usual_length", "waves"]

SPLITS = ("all", "train", "test")
HELD = 10
"""Of a folder, every tenth file is for tests."""


def recordings(
    path: str,
    length: int = 0,
    rate: int = 0,
    channels: int = 1,
    hop: int = 0,
    resample: bool = False,
    speakers: bool = False,
    split: str = "all",
) -> Source:
    """All .wav files below a folder; where each lies in a sub-folder, the first sub-folder's name is its class.

    Args:
      path: of the folder.
      length: samples of an example; 0 for the least power of two that holds three of four recordings.
      rate: samples a second; 0 for that of the first file.
      channels: of every file.
      hop: samples between the starts of two windows of a file; 0 for one example a file, its beginning.
      resample: bring files of other rates to this one, in place of refusing them.
      speakers: the second sub-folder's name is the speaker, told as "speaker", (speakers,): 1 for whose voice it is.
      split: "all"; "test", every tenth file; or "train", the others.

    Raises:
      InputError: no such folder, no .wav in it, or one that is damaged, silent, or of another rate or channel count.
    """
    _check(split, hop, length)
    root, files = files_below(path, (".wav",))
    rate = rate or read_wave(files[0])[0]
    places = [file.relative_to(root) for file in files]
    names = class_names(places, path, ".wav files")
    who = sorted({place.parts[1] for place in places if len(place.parts) > 2})
    if speakers and any(len(place.parts) < 3 for place in places):
        raise InputError(f"data.speakers=True: below {path!r} files must lie in CLASS/SPEAKER/, and not all do")
    chosen = _chosen(np.arange(len(files)) % HELD == HELD - 1, split, f"{len(files)} files below {path!r}")
    labels = np.array([names.index(place.parts[0]) for place in places], np.int32)[chosen] if names else None
    voices = np.array([who.index(place.parts[1]) for place in places])[chosen] if speakers else None
    every = [fitted(file, rate, channels, resample) for file in files]
    length = length or usual_length([len(part) for part in every])
    return _source([every[i] for i in chosen], rate, length, hop, (labels, names), (voices, who))


def waves(
    path: str,
    key: str = "audio",
    offset_key: str = "",
    label_key: str = "",
    speaker_key: str = "",
    test_key: str = "",
    held: int = 5,
    length: int = 0,
    rate: int = 0,
    hop: int = 0,
    split: str = "all",
) -> Source:
    """Waves of a .npz, of 16-bit whole numbers or of numbers of full scale 1.

    Args:
      path: of the file.
      key: of the waves: (n, samples), or (n, samples, channels); or all one after the other, (samples,), with offsets.
      offset_key: of the n + 1 places where waves begin and end, if they lie one after the other.
      label_key, speaker_key: of the class and the speaker of each, whole numbers from 0; their names are those of an
        array of the same name and "_names", if there is one.
      test_key: of a number of each by which it is for tests, where it is below `held`; by default every tenth is.
      held: see there.
      length, hop: see `recordings`.
      rate: samples a second; 0 for the number "rate" in the file.
      split: "all", "train" or "test".

    Raises:
      InputError: no such file or array, or arrays that do not fit each other.
    """
    _check(split, hop, length)
    if not Path(path).is_file():
        raise InputError(f"{path!r} is not there: give the path of a .npz")
    try:
        listed = names_in(path) or []
        read = lambda name, field: member(path, name, f"data.{field}")
        if not rate and "rate" not in listed:
            raise InputError(f"{path!r} holds no 'rate': set data.rate, samples a second")
        rate = rate or int(read("rate", "rate"))
        every = _parts(read(key, "key"), read(offset_key, "offset_key") if offset_key else None, path)
        labels, names = _numbered(read, listed, label_key, "label_key", len(every))
        voices, who = _numbered(read, listed, speaker_key, "speaker_key", len(every))
        tests = np.arange(len(every)) % HELD == HELD - 1
        tests = _numbers(read(test_key, "test_key"), test_key, len(every)) < held if test_key else tests
    except InputError:
        raise
    except Exception as error:  # of a damaged file, NumPy, zipfile and zlib raise all kinds
        raise InputError(f"{path!r} cannot be read as a .npz of waves: {' '.join(str(error).split())}") from error
    chosen = _chosen(tests, split, f"{len(every)} waves of {path!r}")
    for i in chosen:
        if not len(every[i]) or not np.isfinite(every[i]).all() or not every[i].any():
            raise InputError(f"{path!r}: wave {i} is empty, silent or not finite: take it out")
    pick = lambda numbers: None if numbers is None else numbers[chosen]
    length, parts = length or usual_length([len(part) for part in every]), [every[i] for i in chosen]
    return _source(parts, rate, length, hop, (pick(labels), names), (pick(voices), who))


def usual_length(lengths: Sequence[int]) -> int:
    """The least power of two that holds three of four recordings."""
    return 2 ** math.ceil(math.log2(np.quantile(lengths, 0.75)))


def _source(parts: list, rate: int, length: int, hop: int, labels: tuple, speakers: tuple) -> Source:
    """A source of waves, each (samples, channels), float32 or int16."""
    ends = [min(max(len(part) - length, 0) + hop, len(part)) for part in parts]
    starts = [range(0, end, hop) if hop else (0,) for end in ends]
    of = np.repeat(np.arange(len(parts)), [len(each) for each in starts])
    begin = np.array([start for each in starts for start in each])

    def window(i):
        part = parts[of[i]][begin[i] : begin[i] + length]
        wave = part / np.float32(2**15) if part.dtype == np.int16 else part
        return np.pad(wave, ((0, length - len(wave)), (0, 0)))

    squares = sum(float((window(i).astype(np.float64) ** 2).sum()) for i in range(len(of)))
    scale = math.sqrt(squares / (len(of) * length * parts[0].shape[1]))
    if scale == 0:
        raise InputError(f"all of the {len(of)} examples of {length} samples are silent: take longer ones, or a hop")
    (numbers, names), (voices, who) = labels, speakers
    spec = audio_spec((length, parts[0].shape[1]), rate, scale, names, who if voices is not None else ())

    ones = None if voices is None else np.eye(len(who), dtype=np.float32)[voices]

    def take(indices):
        x_0 = np.stack([window(i) for i in np.asarray(indices)]) / np.float32(scale)
        return Batch(x_0, None if ones is None else {"speaker": ones[of[np.asarray(indices)]]})

    source = Source(len(of), spec, take)
    if ones is not None:
        source = source._replace(conditions={"speaker": ConditionSpec((len(who),))}, known=ones.tobytes())
    return labeled(source, None if numbers is None else numbers[of].astype(np.int32), len(names))


def _parts(array: np.ndarray, offsets: np.ndarray | None, path: str) -> list[np.ndarray]:
    """The waves of an array, each (samples, channels)."""
    if not (array.dtype == np.int16 or np.issubdtype(array.dtype, np.floating)):
        raise InputError(f"{path!r} holds waves of {array.dtype}: must be int16, or floating point of full scale 1")
    if offsets is None:
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise InputError(f"{path!r} holds waves of shape {array.shape}: must be (n, samples[, channels])")
        return list(array if array.ndim == 3 else array[..., None])
    falls = offsets.ndim != 1 or len(offsets) < 2 or (np.diff(offsets) < 0).any()
    if array.ndim != 1 or falls or offsets[0] < 0 or offsets[-1] > len(array):
        raise InputError(f"{path!r}: with offsets, waves are (samples,), and offsets rise from 0 to their number")
    return [array[a:b, None] for a, b in itertools.pairwise(offsets.tolist())]


def _numbered(read, listed, key: str, field: str, n: int) -> tuple[np.ndarray | None, list[str]]:
    """Whole numbers of the waves and the names of these; none without a key."""
    if not key:
        return None, []
    numbers = _numbers(read(key, field), key, n)
    count = int(numbers.max()) + 1
    say_gaps(numbers, f"data.{field}={key!r}")
    names = list(map(str, read(f"{key}_names", field))) if f"{key}_names" in listed else list(map(str, range(count)))
    if len(names) < count:
        raise InputError(f"{key!r} goes up to {count - 1}, and '{key}_names' holds {len(names)} names: add the others")
    return numbers, names


def _numbers(array: np.ndarray, key: str, n: int) -> np.ndarray:
    if array.shape != (n,) or array.dtype.kind not in "iu" or (array < 0).any():
        raise InputError(f"{key!r} of {array.dtype} and shape {array.shape}: must be {n} whole numbers from 0")
    return array.astype(np.int64)


def _chosen(tests: np.ndarray, split: str, what: str) -> np.ndarray:
    chosen = np.flatnonzero({"all": tests | True, "test": tests, "train": ~tests}[split])
    if not len(chosen):
        raise InputError(f"data.split={split!r}: of {what} none is in it: take another split, or more data")
    return chosen


def _check(split: str, hop: int, length: int) -> None:
    if split not in SPLITS:
        raise unknown("split of recordings", split, SPLITS)
    if hop and not length:
        raise InputError(f"data.hop={hop}: goes with data.length, the samples of a window: set it")
