"""Clips in files: GIF by Pillow, MP4 by imageio, and folders of pictures, read as uint8 and written.

Pictures of a folder are frames in the order of their names, of numbers in that of the numbers. A GIF holds frames that
are alike as one that lasts longer, which is read as so many as it lasts of the shortest.
"""

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from jaxdiff.data.below import by_number
from jaxdiff.data.picture import MODES, fit, opened
from jaxdiff.errors import InputError

__all__ = ["FRAMES", "MOVIES", "read_clip", "write_clip"]

MOVIES = (".gif", ".mp4")
FRAMES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def read_clip(path: Path, shape: tuple[int, ...], every: int = 1, least: int = 2) -> np.ndarray:
    """The frames of a clip, one of `every`, brought to a shape (height, width, channels): uint8 (frames, *shape).

    A frame of a GIF that stands for longer than the others is so many frames. Each is read as any picture is, upright
    and on white where it is transparent (`jaxdiff.data.picture`).

    Raises:
      InputError: it cannot be read, has fewer frames than `least`, or pictures of several sizes.
    """
    if shape[2] not in MODES:
        raise InputError(f"data.channels={shape[2]}: must be 1 (grey) or 3 (RGB)")
    sizes, frames = set(), []
    try:
        for i, picture in enumerate(_pictures(path)):
            sizes.add(picture.size)
            if i % every == 0:
                frames.append(fit(picture, shape))
    except InputError:
        raise
    except Exception as error:  # of a damaged file, decoders raise all kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{str(path)!r} cannot be read as a clip: mend it or take it out ({reason})") from error
    if len(sizes) > 1:
        (a, b), (c, d) = sorted(sizes)[:2]
        raise InputError(f"{str(path)!r} has frames of {a}x{b} and of {c}x{d}: bring them to one size")
    if len(frames) < max(least, 2):
        thinned = f" (one of {every} is taken)" if every > 1 else ""
        raise InputError(
            f"{str(path)!r} has {len(frames)} frame(s){thinned}, and {max(least, 2)} are needed: take it out, or set "
            "data.frames"
        )
    return np.stack(frames)


def write_clip(path: str | Path, frames: np.ndarray, pace: float, note: str = "") -> None:
    """Write frames, uint8 (frames, height, width, channels), as an endless GIF, or as MP4, by the suffix.

    Raises:
      InputError: another suffix, or, for MP4, no imageio with ffmpeg.
    """
    path, frames = Path(path), np.asarray(frames)
    if path.suffix == ".mp4":
        frames = np.broadcast_to(frames, (*frames.shape[:3], 3))
        even = [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)]  # as its colors want
        with _imageio().get_writer(path, fps=pace, macro_block_size=1) as writer:
            for frame in np.pad(frames, even):
                writer.append_data(frame)
        return
    if path.suffix != ".gif":
        raise InputError(f"{str(path)!r}: a clip is written as .gif or .mp4")
    first, *rest = [Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame) for frame in frames]
    # Pillow joins frames that are equal: theirs are then whole multiples of what one frame has, in hundredths.
    each = 10 * max(1, round(100 / pace))
    first.save(path, save_all=True, append_images=rest, duration=each, loop=0, comment=note)


def _pictures(path: Path) -> Iterable[Image.Image]:
    if path.is_dir():
        for file in sorted(path.iterdir(), key=lambda file: by_number(file.name)):
            if file.suffix.lower() in FRAMES and not file.name.startswith("."):
                with opened(file) as picture:
                    yield picture
    elif path.suffix.lower() == ".mp4":
        with _imageio().get_reader(path) as reader:
            for frame in reader:
                yield Image.fromarray(frame)
    else:
        with opened(path) as movie:
            yield from _evenly(
                [(frame.copy(), frame.info.get("duration", 0)) for frame in ImageSequence.Iterator(movie)]
            )


def _evenly(frames: list[tuple[Image.Image, float]]) -> Iterable[Image.Image]:
    """Pictures at even times, of those that stand for some milliseconds each: as often as for the shortest of these."""
    shortest = min((time for _, time in frames if time > 0), default=1)
    for picture, time in frames:
        yield from [picture] * max(1, round(time / shortest))


def _imageio() -> Any:
    try:
        importlib.import_module("imageio_ffmpeg")
        return importlib.import_module("imageio.v2")
    except ImportError as error:
        raise InputError(
            f"MP4 is read and written by imageio: pip install 'jaxdiff[video]' ({error}); GIF needs nothing"
        ) from error
