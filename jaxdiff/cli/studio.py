"""Studio: what the page of `jaxdiff demo` does with a model, numbers in and images out (`jaxdiff.cli.demo` shows them).

What is compiled depends on the sampler, the number of steps, and whether one draws, inpaints or translates. Seed,
class, guidance, strength, repeats, the picture and the mask are traced: another one compiles nothing.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from jaxdiff.cli.sample import opened
from jaxdiff.config import build
from jaxdiff.config.sampling import SAMPLERS, Bound, find_sampler
from jaxdiff.config.schema import check_value
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError
from jaxdiff.evaluation import held_out
from jaxdiff.gaussian.schedules import vp
from jaxdiff.modalities import require
from jaxdiff.modalities.images import pictures, read_picture
from jaxdiff.pipelines.common import check_pixels
from jaxdiff.pipelines.img2img import img2img
from jaxdiff.pipelines.inpaint import inpaint
from jaxdiff.pipelines.load import load
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.options import check_allowed, check_applies, finite
from jaxdiff.training.errors import explained
from jaxdiff.types import Batch, Condition

__all__ = [
    "FRAMES",
    "IN_TURN",
    "SIDE",
    "STRIP",
    "UNKNOWN",
    "Drawn",
    "How",
    "Studio",
    "alone",
    "counting",
    "known_where",
    "open_studio",
    "sheet",
]

IN_TURN, UNKNOWN = -2, -1
"""In place of a class: one after the other, and none."""
FRAMES, STRIP, SIDE = 24, 12, 512
"""States of a chain that are kept, and that a film strip shows; pixels that a picture on the page has at least."""
QUICK = ("ddim", 20)
"""The sampler and steps that a page begins with: good pictures while one waits."""


class How(NamedTuple):
    """How to draw: the sampler's name and steps, which are compiled in, and what is not."""

    sampler: str
    steps: int
    seed: int = 0
    label: int = IN_TURN
    guidance: float = 1.0


class Drawn(NamedTuple):
    """What was drawn.

    Attributes:
      frames: (time, n, height, width, channels) in [-1, 1]: the images, and before them the states on the way, if any.
      seconds: that it took.
      traces: how often the network was traced for it; 0 where nothing was compiled.
    """

    frames: np.ndarray
    seconds: float
    traces: int


@dataclasses.dataclass(frozen=True)
class Studio:
    """A model of images, with pictures to edit.

    Attributes:
      model: which counts the traces of its network in `traces`.
      pictures: held-out examples, or others of the run's data; None where they cannot be read, as `missing` says.
      num: images drawn at once.
      name: of the model's folder.
      traces: one entry for each trace.
    """

    model: Model
    pictures: Source | None
    missing: str
    num: int
    traces: list[None]
    name: str = "jaxdiff"

    @property
    def guided(self) -> bool:
        """Whether guidance applies."""
        return (self.model.guidable or self.model.scales is not None) and self.model.num_classes > 0

    @property
    def scales(self) -> tuple[float, float]:
        """Of guidance, from which to which: those that a student has learned, where it is told one."""
        return self.model.scales or (0.0, 10.0)

    @property
    def classes(self) -> list[tuple[str, int]]:
        """Each choice of a class, by name where the data has names, and its number; none of a model without classes."""
        if not self.model.num_classes:
            return []
        named = list(self.model.spec.details.get("classes", []))
        names = named or [str(k) for k in range(self.model.num_classes)]
        unknown = [("not told", UNKNOWN)] if self.model.guidable else []
        return [("in turn", IN_TURN), *unknown, *((name, k) for k, name in enumerate(names))]

    @property
    def samplers(self) -> list[str]:
        """The names of those that can draw from this model, in the number of steps that the page begins with."""
        own = self.model.sampler["name"]
        others = sorted(filter(self._applies, SAMPLERS))
        return ([own] if isinstance(own, str) and own not in others else []) + others

    @property
    def first(self) -> How:
        """How to draw at the beginning: quickly, or as the run does itself where that cannot be."""
        (name, steps), (low, high) = QUICK, self.scales
        how = How(name, steps) if self._applies(name) else How(self.model.sampler["name"], self.model.steps)
        return how._replace(guidance=min(max(how.guidance, low), high))

    def _made(self, sampler: str) -> Any:
        return find_sampler(sampler)(self.model.path or vp(), lambda x_t, t: x_t)

    def _applies(self, sampler: str) -> bool:
        try:
            check_allowed(self.model.samplers, sampler)
            self._made(sampler)
            check_applies(sampler, self.model.path, self.model.grid(QUICK[1]))
        except InputError:
            return False
        return True

    def draw(self, how: How) -> Drawn:
        """Draw from noise, and keep the states on the way.

        Raises:
          InputError: a sampler that does not apply, numbers out of their range, or images that are not finite.
        """
        frames = min(FRAMES, how.steps + 1)

        def run(key, **options):
            x, states = self.model.trajectory(key, self.num, frames, **options)
            return np.stack([np.asarray(self.model.codec.decode(at)) for at in (*states[:-1], x)])

        return self._timed(run, how, None)

    def inpaint(self, how: How, picture: np.ndarray, known: np.ndarray, repeats: int = 5) -> Drawn:
        """Draw anew what is not known of a picture, `num` times.

        Args:
          picture: (height, width, channels) in [-1, 1].
          known: (height, width), whether a pixel is to be kept.
          repeats: of each step; see `jaxdiff.guidance.inpainting.repaint`.

        Raises:
          InputError: all is known; a sampler that remembers the step before, which repeated steps lead astray; and as
            for `draw`.
        """
        if known.all():
            raise InputError("nothing is painted over: paint where something new is to be drawn")
        if len(self._made(how.sampler).init(picture)) > 1:  # more than x
            stateless = [name for name in ("ddim", "ancestral", "heun", "dpmpp_2s") if self._applies(name)]
            raise InputError(
                f"sampler {how.sampler!r}: remembers the step before, and inpainting takes each step several times: "
                f"take {', '.join(stateless)}"
            )
        mask = known.astype(np.float32)[None, ..., None]

        def run(key, **options):
            return inpaint(self.model, key, self._copies(picture), mask, "repaint", repeats, **options)[None]

        return self._timed(run, how, picture)

    def translate(self, how: How, picture: np.ndarray, strength: float) -> Drawn:
        """Noise a picture by a strength in (0, 1], and draw from there, `num` times (SDEdit)."""

        def run(key, **options):
            return img2img(self.model, key, self._copies(picture), strength, **options)[None]

        return self._timed(run, how, picture)

    def example(self, number: int) -> np.ndarray | None:
        """One of the pictures, in turn; None where there are none."""
        return self._taken(np.array([number])).x_0[0] if self.pictures else None

    def read(self, file: str) -> np.ndarray:
        """A picture from outside, cropped and resized to the model's images."""
        return read_picture(Path(file), self.model.shape)

    def _copies(self, picture: np.ndarray) -> np.ndarray:
        return np.repeat(picture[None], self.num, axis=0)

    def _told(self, label: int, picture: np.ndarray | None) -> Condition:
        """What the model is told: the class; of one that enlarges, also the picture or examples, small."""
        rows = np.arange(self.num)
        told: dict[str, Any] = {"label": rows % self.model.num_classes} if self.model.num_classes else {}
        if self.model.upscales > 1:
            shown = Batch(self._copies(picture)) if picture is not None else self._taken(rows)
            source = Source(self.num, self.model.spec, lambda index: shown)
            told |= held_out.examples(self.model, source, self.num).condition or {}
        if self.model.num_classes and label != IN_TURN:
            told["label"] = np.full(self.num, label)
        return told

    def _taken(self, numbers: np.ndarray) -> Batch:
        assert self.pictures
        return self.pictures.take(numbers % self.pictures.size)

    def _timed(self, run: Callable[..., Any], how: How, picture: np.ndarray | None) -> Drawn:
        """The outcome of `run(key, **options)`, with the time it took."""
        check_value("seed", how.seed, int, 0, 2**32 - 1)
        # Guidance is given always, also that of 1, which changes nothing: to leave it out would be another program.
        options = {"progress": False} | ({"guidance": float(how.guidance)} if self.guided else {})
        before, begin = len(self.traces), time.perf_counter()
        with explained("lower --num"):
            told = self._told(how.label, picture)
            drawn = run(jax.random.key(how.seed), sampler=how.sampler, steps=how.steps, condition=told, **options)
            frames = np.asarray(drawn)
        finite(frames[-1])
        return Drawn(np.nan_to_num(frames), time.perf_counter() - begin, len(self.traces) - before)


def open_studio(workdir: str, weights: str = "", num: int = 16) -> Studio:
    """The studio of a run, of the newest in a folder of runs, of a model folder, or of a released model.

    Raises:
      InputError: there is none, it is not of images, or it must be told what the page does not know.
    """
    check_value("--num", num, int, 1, 256)
    folder, config = opened(workdir)
    model = load(folder, weights)
    require("images", model.spec, "jaxdiff demo")
    try:
        check_pixels(model, "pictures of the data to edit")
        source, missing = _examples(config, model), ""
    except (InputError, OSError) as error:
        source, missing = None, str(error)
    if model.upscales > 1 and source is None:
        raise InputError(f"this run enlarges pictures, and none of its data can be read: {missing}")
    if foreign := model.conditions.keys() - {"label", *(("low_res", "low_res_noise") if model.upscales > 1 else ())}:
        raise InputError(f"jaxdiff demo: this model is told {sorted(foreign)[0]!r}, for which the page has no place")
    return dataclasses.replace(counting(model, source, num, missing), name=folder.name)


def counting(model: Model, source: Source | None = None, num: int = 16, missing: str = "") -> Studio:
    """The studio of a model, which counts how often it is traced."""
    traces: list[None] = []

    def bind(params, condition) -> Bound:
        traces.append(None)
        return model.bind(params, condition)

    return Studio(dataclasses.replace(model, bind=bind), source, missing, num, traces)


def _examples(config: dict, model: Model) -> Source:
    """The held-out data, or, where the configuration names none, that of training."""
    if config.get("held_out"):
        return build.held_out(config, model.spec)
    return build.rescaled(build.source(config), model.spec, "data")


def sheet(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images (n, height, width, channels) in [-1, 1] side by side, uint8 RGB, small ones enlarged without smoothing."""
    return _enlarged(pictures.grid(images, columns))


def alone(image: np.ndarray) -> np.ndarray:
    """One image (height, width, channels) in [-1, 1], likewise, without a border."""
    return _enlarged(pictures.to_uint8(pictures.visible(image)))


def _enlarged(picture: np.ndarray) -> np.ndarray:
    zoom = math.ceil(SIDE / max(picture.shape[:2]))
    picture = picture.repeat(zoom, 0).repeat(zoom, 1)
    return picture.repeat(3, 2) if picture.shape[2] == 1 else picture


def known_where(painted: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels of an image of this shape are known, (height, width): those not half covered by paint.

    Args:
      painted: how much paint there is, any (height, width), from 0 to 255.
    """
    height, width, _ = shape
    small = Image.fromarray(np.asarray(painted, np.uint8)).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small) < 128
