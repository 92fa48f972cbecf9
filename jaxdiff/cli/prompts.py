"""Prompts: the captions that `sample.py` is given, for a model that reads them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdiff.cli.shape import has_lengths
from jaxdiff.errors import InputError, unknown
from jaxdiff.modalities import require
from jaxdiff.pipelines.conditions import Given, by_name
from jaxdiff.pipelines.model import Model

__all__ = ["add_arguments", "check", "make_told", "options_of", "read_prompts", "told"]

MOLECULES = ("atoms", "property")


def add_arguments(what: Callable[..., Any]) -> None:
    """Add --prompt, --prompts and --negative."""
    what("--prompt", action="append", metavar="TEXT", help="caption of what to draw; several times for several in turn")
    what("--prompts", metavar="FILE", help="a file with a caption a line, in turn")
    what("--negative", metavar="TEXT", help="caption of what to lead away from, with --guidance")
    what("--speaker", help="of sounds: who speaks, by number or name, where the model is told the speaker")


def check(arguments: argparse.Namespace) -> None:
    """Refuse what would be ignored.

    Raises:
      InputError: captions twice; a negative one without guidance.
    """
    if arguments.prompt and arguments.prompts is not None:
        raise InputError("--prompts: captions are given by --prompt, too: leave one of them out")
    if arguments.negative and arguments.guidance is None:
        raise InputError("--negative: is led away from by --guidance, such as --guidance 3: give both")


def read_prompts(arguments: argparse.Namespace) -> list[str]:
    """The captions of the command line, or of the file that it names.

    Raises:
      InputError: the file cannot be read, or is empty.
    """
    if arguments.prompts is None:
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
    speaker = None if arguments.speaker is None else _voice(arguments.speaker, model)
    length = {"length": arguments.length} if has_lengths(model) and arguments.length is not None else {}

    def made(n):
        known = told(model, arguments.label, captions, arguments.first, n)
        if asked and known is not None:
            raise InputError(f"--{next(iter(asked))}: is of molecules, which have no classes: leave --label out")
        if length or speaker is not None:
            voice = {} if speaker is None else {"speaker": np.repeat(speaker[None], n, 0)}
            known = {**by_name(model.conditions, known, n, first=arguments.first), **length, **voice}
        return model.completed(key, asked or known, n, arguments.first)

    return made


def _voice(speaker: str, model: Model) -> np.ndarray:
    """The condition "speaker" of one example, 1 for whose voice it is, by name or number.

    Raises:
      InputError: the model is told no speaker, or knows none of this name.
    """
    if "speaker" not in model.conditions:
        raise InputError("--speaker: this model is told no speaker: take one trained by configs/audio.py:speakers=PATH")
    count = model.conditions["speaker"].shape[0] or 0
    names = [*map(str, model.spec.details.get("speakers", []))] or [str(i) for i in range(count)]
    if speaker not in names and not (speaker.isdecimal() and int(speaker) < count):
        raise unknown("speaker", speaker, names)
    return np.eye(count, dtype=np.float32)[names.index(speaker) if speaker in names else int(speaker)]


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of sampling that the negative caption makes."""
    return {"negative": arguments.negative} if arguments.negative else {}
