"""Prompts: the captions that `sample.py` is given, for a model that reads them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxdiff.errors import InputError
from jaxdiff.modalities import require
from jaxdiff.pipelines.conditions import Given
from jaxdiff.pipelines.model import Model

__all__ = ["FLAGS", "add_arguments", "check", "check_molecules", "make_told", "options_of", "read_prompts", "told"]

FLAGS = ("prompt", "prompts", "negative")
MOLECULES = ("atoms", "property")


def add_arguments(what: Callable[..., Any]) -> None:
    """Add --prompt, --prompts and --negative."""
    what("--prompt", action="append", metavar="TEXT", help="caption of what to draw; several times for several in turn")
    what("--prompts", metavar="FILE", help="a file with a caption a line, in turn")
    what("--negative", metavar="TEXT", help="caption of what to lead away from, with --guidance")


def check(arguments: argparse.Namespace) -> None:
    """Refuse what would be ignored.

    Raises:
      InputError: captions twice, with a task, or instead of drawing; a negative one without guidance.
    """
    if arguments.prompt and arguments.prompts:
        raise InputError("--prompts: captions are given by --prompt, too: leave one of them out")
    for name in FLAGS:
        if getattr(arguments, name) and (arguments.task or arguments.likelihood):
            raise InputError(f"--{name}: goes with drawing alone, without a task: leave it out")
    if arguments.negative and arguments.guidance is None:
        raise InputError("--negative: is led away from by --guidance, such as --guidance 3: give both")


def check_molecules(arguments: argparse.Namespace) -> None:
    """Refuse what only molecules that are drawn can be asked for, elsewhere.

    Raises:
      InputError: with a text to fill, or instead of drawing; tasks say themselves what they take.
    """
    for name in MOLECULES:
        value = getattr(arguments, name)
        if value is not None and (arguments.likelihood or arguments.fill is not None):
            raise InputError(f"--{name} {value}: goes with drawing molecules alone: leave it out")


def read_prompts(arguments: argparse.Namespace) -> list[str]:
    """The captions of the command line, or of the file that it names.

    Raises:
      InputError: the file cannot be read, or is empty.
    """
    if not arguments.prompts:
        return arguments.prompt or []
    try:
        lines = [line.strip() for line in Path(arguments.prompts).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--prompts {arguments.prompts}: cannot be read as text: {error}") from error
    if not (lines := [line for line in lines if line]):
        raise InputError(f"--prompts {arguments.prompts}: holds no caption: write one a line")
    return lines


def told(model: Model, label: int | None, prompts: list[str], first: int, n: int) -> Given:
    """The condition of examples `first` to `first + n - 1`: their class, and their captions in turn.

    Raises:
      InputError: the model reads no captions.
    """
    if not prompts:
        return label
    if "text" not in model.conditions:
        raise InputError(
            "--prompt: this model reads no captions: take one trained with net.text, as by configs/text.py"
        )
    texts = [prompts[(first + i) % len(prompts)] for i in range(n)]
    return {"text": texts} if label is None else {"text": texts, "label": [label] * n}


def make_told(arguments: argparse.Namespace, model: Model) -> Callable[[int], Given]:
    """`n -> ` what is known of the first n examples: their classes, captions, and numbers of atoms.

    Raises:
      InputError: numbers of atoms for what is no molecule, or captions that cannot be read.
    """
    captions, key = read_prompts(arguments), jax.random.key(arguments.seed)
    asked = {name: value for name in MOLECULES if (value := getattr(arguments, name)) is not None}
    for name, value in asked.items():
        require("molecules", model.spec, f"--{name} {value}")

    def made(n):
        given = asked or told(model, arguments.label, captions, arguments.first, n)
        return model.completed(key, given, n, arguments.first)

    return made


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of sampling that the negative caption makes."""
    return {"negative": arguments.negative} if arguments.negative else {}
