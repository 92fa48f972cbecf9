"""Shape: --length and --size, of what is drawn longer or larger than the examples of training."""

import argparse
from collections.abc import Callable
from typing import Any

from jaxdiff.errors import InputError
from jaxdiff.pipelines.model import Model
from jaxdiff.pipelines.resized import resized

__all__ = ["add_arguments", "check", "has_lengths", "read_size", "shaped"]


def add_arguments(what: Callable[..., Any]) -> None:
    """Add --length and --size."""
    what(
        "--length",
        type=int,
        help="of each example: frames, steps or samples; those of training by default; plan, rollout: steps to do",
    )
    what("--size", metavar="SIDE", help="of images and videos: the side, or HEIGHTxWIDTH; that of training by default")


def check(arguments: argparse.Namespace) -> None:
    """Refuse a size that is none."""
    read_size(arguments.size)


def shaped(model: Model, arguments: argparse.Namespace) -> Model:
    """The model, drawing examples of the length and size that are asked for."""
    return resized(model, None if has_lengths(model) else arguments.length, read_size(arguments.size))


def has_lengths(model: Model) -> bool:
    """Tell whether the model's examples have lengths of their own, one of which may be asked for."""
    return "lengths" in model.spec.details


def read_size(text: str | None) -> tuple[int, int] | None:
    """Height and width in pixels, written as a side or as HEIGHTxWIDTH."""
    if text is None:
        return None
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise InputError(f"--size {text}: must be a side in pixels, or HEIGHTxWIDTH, such as 24x32")
    return int(sides[0]), int(sides[-1])
