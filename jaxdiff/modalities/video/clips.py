"""Clips: folders of GIF and MP4 or of frames, and arrays of videos, as sources; all are kept in memory.

A clip gives one example, its first frames; or, with a `hop`, windows that start so many frames apart. All pictures of a
clip must be of one size, and are resized with antialiasing and cropped at the center.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxdiff.data import numpy_file
from jaxdiff.data.below import class_names, files_below
from jaxdiff.data.caption_files import read_captions
from jaxdiff.data.captions import captioned, captioned_by
from jaxdiff.data.source import Source, labeled, say_gaps, to_unit_range
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.video.file import FRAMES, MOVIES, read_clip
from jaxdiff.modalities.video.spec import PACE, video_spec
from jaxdiff.types import Batch, Spec

__all__ = ["HELD", "SPLITS", "clips", "video_arrays"]

SPLITS = ("all", "train", "test")
HELD = 10
"""Every tenth clip is for tests."""


def clips(
    path: str,
    frames: int = 16,
    size: int = 32,
    width: int = 0,
    channels: int = 3,
    every: int = 1,
    hop: int = 0,
    pace: float = PACE,
    split: str = "all",
    captions: str = "",
) -> Source:
    """All clips below a folder: .gif and .mp4 files, and folders of pictures, which are the frames of a clip each.

    Where each clip lies in a sub-folder, the first sub-folder's name is its class.

    Args:
      path: of the folder.
      frames: of an example.
      size: side, or height, of a frame in pixels.
      width: where it is another than the height; 0 for squares.
      channels: 3 for RGB, 1 for grey.
      every: take one frame of so many.
      hop: frames between the starts of two windows of a clip; 0 for one example a clip.
      pace: frames a second at which videos are shown.
      split: "all"; "test", every tenth clip; or "train", the others.
      captions: "auto" for those in metadata.jsonl, captions.json, captions.csv or NAME.txt beside each clip; or the
        name of such a list (`jaxdiff.data.caption_files`).

    Raises:
      InputError: no such folder, no clip in it, or one that is damaged, too short, or of pictures of several sizes.
    """
    _check(split, frames)
    root, files = files_below(path, (*MOVIES, *FRAMES))
    movies = [file for file in files if file.suffix.lower() in MOVIES]
    folders = sorted({file.parent for file in files if file.suffix.lower() in FRAMES})
    if root in folders:
        raise InputError(f"{path!r} holds pictures itself: put the frames of each clip into a folder of its own")
    found = sorted([*movies, *folders])
    names = class_names([one.relative_to(root) for one in found], path, "clips")
    labels = np.array([names.index(one.relative_to(root).parts[0]) for one in found]) if names else None
    chosen = _chosen(len(found), split, f"{len(found)} clips below {path!r}")
    texts = read_captions(root, found, captions, "clip") if captions else []
    shape = (size, width or size, channels)
    parts = [read_clip(found[i], shape, every, frames) for i in chosen]
    source, of = _windows(parts, video_spec((frames, *shape), pace, 256, names, every), hop)
    source = labeled(source, None if labels is None else _of(labels, chosen)[of], len(names))
    return captioned(source, [texts[i] for i in chosen[of]], f"{path!r}") if captions else source


def video_arrays(
    path: str,
    key: str = "",
    label_key: str = "",
    low: float = -1.0,
    high: float = 1.0,
    pace: float = PACE,
    split: str = "all",
    caption_key: str = "",
) -> Source:
    """Videos of a .npy or .npz.

    Args:
      path: of the file; videos are (n, frames, height, width) or (n, frames, height, width, channels).
      key: of the videos in a .npz; may be left out if it holds one array.
      label_key: of whole numbers in a .npz, the classes, if they are wanted.
      low, high: the range of floating-point pixels; that of uint8 is 0 to 255.
      pace: frames a second at which videos are shown.
      split: "all"; "test", every tenth; or "train", the others.
      caption_key: of the captions in a .npz, an array of texts, if they are wanted.

    Raises:
      InputError: no such file or array, or one of another type, shape or range.
    """
    _check(split, 2)
    if not Path(path).is_file():
        raise InputError(f"{path!r} is not there: give the path of a .npy or .npz")
    try:
        rows, labels = numpy_file.load(path, key, label_key, "data.key, data.label_key")
        texts = numpy_file.member(path, caption_key, "data.caption_key") if caption_key else None
    except InputError:
        raise
    except Exception as error:  # of a damaged file, NumPy, zipfile and zlib raise all kinds
        raise InputError(f"{path!r} cannot be read as a NumPy file: {' '.join(str(error).split())}") from error
    shape = rows.shape if len(rows.shape) == 5 else (*rows.shape, 1)
    if len(shape) != 5 or 0 in shape or shape[1] < 2:
        raise InputError(
            f"{path!r} holds shape {rows.shape}: videos are (n, frames, height, width[, channels]), 2 frames or more"
        )
    low, high = _range(path, rows, low, high)
    if labels is not None and (labels.shape != shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0):
        raise InputError(f"{label_key!r} in {path!r} must hold one label, a whole number from 0, for each video")
    chosen = _chosen(shape[0], split, f"{shape[0]} videos of {path!r}")
    levels = 256 if rows.dtype == np.uint8 else None

    def take(indices):
        return Batch(to_unit_range(rows.take(chosen[np.asarray(indices)]).reshape(-1, *shape[1:]), low, high))

    count = 0 if labels is None else int(labels.max()) + 1
    if labels is not None:
        say_gaps(labels, f"{label_key!r} in {path!r}")
    source = Source(len(chosen), video_spec(shape[1:], pace, levels, list(map(str, range(count)))), take)
    source = labeled(source, None if labels is None else _of(labels, chosen), count)
    if texts is None:
        return source
    where = f"{caption_key!r} in {path!r}"
    if texts.shape != shape[:1]:
        raise InputError(f"{where} has shape {texts.shape} for {shape[0]} videos: give one text for each")
    return captioned_by(source, texts[chosen], where)


def _windows(parts: Sequence[np.ndarray], spec: Spec, hop: int) -> tuple[Source, np.ndarray]:
    """A source of windows of clips, each uint8 (frames, height, width, channels), and which clip each is of."""
    frames = spec.shape[0]
    starts = [range(0, len(part) - frames + 1, hop) if hop else (0,) for part in parts]
    of = np.repeat(np.arange(len(parts)), [len(each) for each in starts])
    begin = np.array([start for each in starts for start in each])

    def take(indices):
        pixels = np.stack([parts[int(of[i])][begin[i] : begin[i] + frames] for i in np.asarray(indices)])
        return Batch(to_unit_range(pixels))

    return Source(len(of), spec, take), of


def _range(path: str, rows: numpy_file.Rows, low: float, high: float) -> tuple[float, float]:
    if rows.dtype == np.uint8:
        return 0, 255
    if not np.issubdtype(rows.dtype, np.floating):
        raise InputError(f"{path!r} holds {rows.dtype}: videos are uint8 (0 to 255) or floating point")
    least, most = rows.extremes()
    if not (low < high and least >= low and most <= high):  # also of NaN
        raise InputError(
            f"{path!r} holds values from {least} to {most}, not from {low} to {high}: set data.low and data.high"
        )
    return low, high


def _of(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return labels[chosen].astype(np.int32)


def _chosen(n: int, split: str, what: str) -> np.ndarray:
    tests = np.arange(n) % HELD == HELD - 1
    chosen = np.flatnonzero({"all": tests | True, "test": tests, "train": ~tests}[split])
    if not len(chosen):
        raise InputError(f"data.split={split!r}: of {what} none is in it: take another split, or more data")
    return chosen


def _check(split: str, frames: int) -> None:
    if split not in SPLITS:
        raise unknown("split of clips", split, SPLITS)
    if frames < 2:
        raise InputError(
            f"data.frames={frames}: a video has two frames at least; one is an image: take configs/ddpm.py"
        )
