"""A judge of scenes (`jaxdiff.modalities.images.scenes`): reads a picture back, and compares it with its caption.

A cell is empty where nothing in it is bright. Otherwise its color is the nearest of the six to its mean, by ink, and
its class is that of a support vector machine on scikit-learn's digits, trained on those of the training scenes alone,
which reads 0.984 of the other fifth of the digits correctly. The judge knows the captions' grammar by its own means.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.modalities.images.scenes import COLORS, DIGITS, PLACES

__all__ = ["Asked", "Reading", "asked_for", "fulfills", "in_words", "judge", "read_scenes"]

BRIGHT = 0.4
"""A cell whose brightest pixel is darker, of 0 to 1, is empty."""
OBJECT = re.compile(
    rf"({'|'.join(COLORS)}) ({'|'.join(DIGITS)})(?: (?:at the )?({'|'.join(PLACES)}))?",
)
RELATION = re.compile(r"(above|below|left of|right of)")
SIDE = re.compile(r", (?:on|at) the (left|right|top|bottom)$")

Reading = tuple[tuple[int, int] | None, ...]
"""(class, color) of the four cells; None where one is empty."""


class Asked(NamedTuple):
    """What a caption says.

    Attributes:
      objects: (class, color) of each.
      places: the cell of each; None where it is not said.
      relation: of the first to the second; "" for none.
      side: of both; "" where it is not said.
    """

    objects: tuple[tuple[int, int], ...]
    places: tuple[int | None, ...]
    relation: str
    side: str


def asked_for(caption: str) -> Asked:
    """Take a caption apart.

    Raises:
      InputError: it names no object.
    """
    found = OBJECT.findall(caption)
    if not found:
        raise InputError(f"caption {caption!r} names no colored digit, such as 'a red seven'")
    objects = tuple((DIGITS.index(digit), list(COLORS).index(color)) for color, digit, _ in found)
    places = tuple(PLACES.index(place) if place else None for *_, place in found)
    relation, side = RELATION.search(caption) if not any(p is not None for p in places) else None, SIDE.search(caption)
    return Asked(objects, places, relation[1] if relation else "", side[1] if side else "")


def fulfills(reading: Reading, caption: str) -> bool:
    """Tell whether a picture shows what its caption says: all objects and no other, each where it is said to be."""
    asked = asked_for(caption)
    seen = {cell: one for cell, one in enumerate(reading) if one is not None}
    if sorted(seen.values()) != sorted(asked.objects):
        return False
    if any(
        place is not None and seen.get(place) != one for one, place in zip(asked.objects, asked.places, strict=True)
    ):
        return False
    if not asked.relation:
        return True
    orders = [(a, b) for a in seen for b in seen if a != b and (seen[a], seen[b]) == asked.objects]
    return any(_related(asked.relation, a, b) and _on_side(asked.side, a, b) for a, b in orders)


def _related(relation: str, a: int, b: int) -> bool:
    (row_a, column_a), (row_b, column_b) = divmod(a, 2), divmod(b, 2)
    if relation in ("above", "below"):
        return column_a == column_b and (row_a < row_b) == (relation == "above")
    return row_a == row_b and (column_a < column_b) == (relation == "left of")


def _on_side(side: str, a: int, b: int) -> bool:
    inside = {"": range(4), "left": (0, 2), "right": (1, 3), "top": (0, 1), "bottom": (2, 3)}[side]
    return a in inside and b in inside


class _Reader:
    """The support vector machine, trained when it is first needed."""

    machine: Any = None

    def __call__(self, inks: np.ndarray) -> np.ndarray:
        if _Reader.machine is None:
            from sklearn.datasets import load_digits  # most of a second
            from sklearn.svm import SVC

            images, classes = load_digits(return_X_y=True)
            known = np.arange(len(images)) % 5 != 0
            _Reader.machine = SVC(C=10, gamma=0.001).fit(images[known], classes[known])  # pyright: ignore[reportArgumentType]
        return _Reader.machine.predict(16 * inks.reshape(len(inks), -1))


def read_scenes(images: np.ndarray) -> list[Reading]:
    """What is in the cells of pictures (n, 16, 16, 3) in [-1, 1]."""
    pixels = np.clip((np.asarray(images, np.float32) + 1) / 2, 0, 1)
    cells = pixels.reshape(-1, 2, 8, 2, 8, 3).swapaxes(2, 3).reshape(-1, 8, 8, 3)
    inks = cells.max(-1)
    there = inks.max((1, 2)) >= BRIGHT
    mean = (cells * inks[..., None]).sum((1, 2))
    mean /= np.maximum(mean.max(-1, keepdims=True), 1e-6)
    colors = np.abs(mean[:, None] - np.array(list(COLORS.values()))).sum(-1).argmin(-1)
    classes = _Reader()(inks)
    read = [(int(d), int(c)) if t else None for d, c, t in zip(classes, colors, there, strict=True)]
    return [tuple(read[4 * i : 4 * i + 4]) for i in range(len(pixels))]


def in_words(reading: Reading) -> str:
    """A reading as a caption: "red seven top left, green three bottom left"; "nothing" of an empty picture."""
    named = [
        f"{list(COLORS)[one[1]]} {DIGITS[one[0]]} {PLACES[cell]}" for cell, one in enumerate(reading) if one is not None
    ]
    return ", ".join(named) or "nothing"


def judge(images: np.ndarray, captions: Sequence[str]) -> Mapping[str, float]:
    """The shares of pictures that fulfill their captions, in all and by their number of objects, and of objects.

    Returns: "exact"; "exact_1" ... "exact_4", where there are such captions; "count", the share of pictures with as
      many objects as their caption; "color" and "class", of the colors and the classes that captions name, the share
      that their pictures show (as many as are named).

    Raises:
      InputError: another number of captions than of pictures, or one that names no object.
    """
    if len(images) != len(captions):
        raise InputError(f"{len(captions)} captions for {len(images)} pictures: give one for each")
    readings, asked = read_scenes(images), [asked_for(caption) for caption in captions]
    exact = np.array([fulfills(*pair) for pair in zip(readings, captions, strict=True)], float)
    counts = np.array([len(one.objects) for one in asked])
    seen = [[one for one in reading if one is not None] for reading in readings]
    figures = {"exact": float(exact.mean())}
    figures |= {f"exact_{n}": float(exact[counts == n].mean()) for n in range(1, 5) if (counts == n).any()}
    figures["count"] = float(np.mean([len(s) == n for s, n in zip(seen, counts, strict=True)]))
    for name, part in (("class", 0), ("color", 1)):
        shown = sum(
            _common([o[part] for o in one.objects], [o[part] for o in s]) for one, s in zip(asked, seen, strict=True)
        )
        figures[name] = float(shown / counts.sum())
    return figures


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many values two rows share, each as often as it is in both."""
    return sum(min(list(a).count(value), list(b).count(value)) for value in set(a))
