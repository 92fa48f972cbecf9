"""Scenes: one to four colored digits on black, with a caption that says which and where; generated, nothing is fetched.

A scene is 16x16 pixels, RGB: four cells of 8x8, each empty or one of scikit-learn's digits in one of six colors. Its
caption names every object, and not always every place:

    a red seven                                         in any cell
    a blue one at the top left                          in that cell; also without "at the"
    a red seven above a green three                     in one column, left or right
    a red seven above a green three, on the left        in that one
    a red seven at the top left, a green three at the top right and a white two at the bottom left

12 of the 60 pairs of class and color, and two of the eight pairs of relation and side, are in no caption of training:
what a model makes of those tells whether it has understood the parts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxdiff.data.captions import captioned
from jaxdiff.data.source import Source
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.types import Batch

__all__ = ["CELL", "COLORS", "DIGITS", "HELD_OUT", "HELD_OUT_RELATIONS", "PLACES", "RELATIONS", "SPLITS", "scenes"]

CELL = 8
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COLORS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "pink": (1, 0, 1),
    "white": (1, 1, 1),
}
PLACES = ("top left", "top right", "bottom left", "bottom right")
"""Of the cells 0 to 3."""
RELATIONS = {
    ("above", "on the left"): (0, 2),
    ("above", "on the right"): (1, 3),
    ("below", "on the left"): (2, 0),
    ("below", "on the right"): (3, 1),
    ("to the left of", "at the top"): (0, 1),
    ("to the left of", "at the bottom"): (2, 3),
    ("to the right of", "at the top"): (1, 0),
    ("to the right of", "at the bottom"): (3, 2),
}
"""The cells of the two objects, by relation and side."""
HELD_OUT = frozenset((digit, color) for color in range(6) for digit in ((2 * color) % 10, (2 * color + 5) % 10))
"""Pairs of class and color that training never shows: two of each color."""
HELD_OUT_RELATIONS = frozenset({("below", "on the right"), ("to the left of", "at the bottom")})
SPLITS = ("train", "test", "pairs", "relations")


class _Scene(NamedTuple):
    """What is in the cells, and how it is said."""

    objects: tuple[tuple[int, int], ...]
    """(class, color) of each, in the order of the caption."""
    cells: tuple[int, ...]
    caption: str


def scenes(split: str = "train", n: int = 20_000, objects: int = 4, seed: int = 0) -> Source:
    """Scenes with captions.

    Args:
      split: "train"; "test", other handwritings and scenes of the same kinds; "pairs", each with a pair of class and
        color that training never shows; or "relations", each with a relation on a side that it never shows there.
      n: how many.
      objects: in a scene, at most; 1 to 4.
      seed: of what is drawn; the splits differ by themselves.

    Raises:
      InputError: an unknown split, or a number out of its range.
    """
    if split not in SPLITS:
        raise unknown("split of the scenes", split, SPLITS)
    if not (1 <= objects <= 4 and n >= 1):
        raise InputError(f"objects={objects}, n={n}: scenes have 1 to 4 objects, and there is at least one")
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    made = [_scene(rng, split, objects) for _ in range(n)]
    inks, classes = _inks(split == "train")
    by_class = [np.flatnonzero(classes == digit) for digit in range(10)]
    which = np.full((n, 4), -1)
    colors = np.zeros((n, 4), np.int8)
    for i, scene in enumerate(made):
        for (digit, color), cell in zip(scene.objects, scene.cells, strict=True):
            which[i, cell], colors[i, cell] = rng.choice(by_class[digit]), color
    palette = np.array(list(COLORS.values()), np.float32)

    def take(indices):
        chosen = which[indices]
        ink = np.where((chosen >= 0)[..., None, None], inks[chosen], 0)  # (n, cell, row, column)
        cells = ink[..., None] * palette[colors[indices]][:, :, None, None]
        grid = cells.reshape(-1, 2, 2, CELL, CELL, 3).swapaxes(2, 3)
        return Batch((2 * grid.reshape(-1, 2 * CELL, 2 * CELL, 3) - 1).astype(np.float32))

    source = Source(n, image_spec((2 * CELL, 2 * CELL, 3), 17), take, known=which.tobytes() + colors.tobytes())
    return captioned(source, [scene.caption for scene in made], "scenes")


def _inks(train: bool) -> tuple[np.ndarray, np.ndarray]:
    """The digits, (n, 8, 8) from 0 to 1, and their classes: four of five, or the others."""
    from sklearn.datasets import load_digits  # most of a second

    images, classes = load_digits(return_X_y=True)
    chosen = (np.arange(len(images)) % 5 != 0) == train
    return images[chosen].reshape(-1, CELL, CELL).astype(np.float32) / 16, np.asarray(classes)[chosen]


def _scene(rng: np.random.Generator, split: str, most: int) -> _Scene:
    count = 2 if split == "relations" else int(rng.integers(1, most + 1))
    objects = [_pair(rng, False) for _ in range(count)]
    if split == "pairs":
        objects[rng.integers(count)] = _pair(rng, True)
    named = [f"{_pick(rng, ('a', 'a', 'one')) if count == 1 else 'a'} {_named(one)}" for one in objects]
    if split == "relations" or (count == 2 and rng.random() < 0.7):
        return _related(rng, objects, named, split == "relations")
    cells = tuple(int(cell) for cell in rng.permutation(4)[:count])
    if count == 1 and rng.random() < 0.4:
        return _Scene(tuple(objects), cells, named[0])
    said = "at the {}" if rng.random() < 0.7 else "{}"
    placed = [f"{name} {said.format(PLACES[cell])}" for name, cell in zip(named, cells, strict=True)]
    caption = " and ".join([", ".join(placed[:-1]), placed[-1]]) if count > 1 else placed[0]
    return _Scene(tuple(objects), cells, caption)


def _related(rng: np.random.Generator, objects: list, named: Sequence[str], held_out: bool) -> _Scene:
    """Two objects above, below or beside each other; the side is said half of the time."""
    allowed = [key for key in RELATIONS if (key in HELD_OUT_RELATIONS) == held_out]
    relation, side = allowed[rng.integers(len(allowed))]
    caption = f"{named[0]} {relation} {named[1]}"
    if held_out or rng.random() < 0.5:
        caption = f"{caption}, {side}"
    return _Scene(tuple(objects), RELATIONS[relation, side], caption)


def _pair(rng: np.random.Generator, held_out: bool) -> tuple[int, int]:
    allowed = [(d, c) for d in range(10) for c in range(len(COLORS)) if ((d, c) in HELD_OUT) == held_out]
    return allowed[rng.integers(len(allowed))]


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _named(one: tuple[int, int]) -> str:
    return f"{list(COLORS)[one[1]]} {DIGITS[one[0]]}"
