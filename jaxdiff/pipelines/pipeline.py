"""Pipeline: what a trained model is used for, and how `sample.py --task` offers it.

Each file of this room declares, beside its functions, a table `PIPELINES` of the tasks that they do. The flags of the
command line, what it refuses, its help and docs/settings.md follow from these.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdiff.pipelines.conditions import class_of
from jaxdiff.pipelines.model import Model

__all__ = ["LABEL", "Argument", "Outcome", "Pipeline", "Shape", "class_number"]


class Argument(NamedTuple):
    """An argument of a pipeline's function, given by a flag.

    Attributes:
      name: of the function's parameter.
      help: what it is, in a few words.
      kind: `text -> value`, of a single word.
      flag: its name on the command line; by default that of the parameter.
      read: `(value, model) -> value` for the function.
      many: whether the flag takes several words, of which `read` gets a list.
      images: whether the value names images, in all the ways that --input does.
      required: whether the function has no default.
      default: in words.
    """

    name: str
    help: str
    kind: Callable[[str], Any] = str
    flag: str = ""
    read: Callable[[Any, Model], Any] = lambda value, model: value
    many: bool = False
    images: bool = False
    required: bool = False
    default: str = ""

    @property
    def option(self) -> str:
        """The flag's name, as argparse keeps it."""
        return self.flag or self.name

    @property
    def described(self) -> str:
        """The help with the default."""
        return f"{self.help} (default: {self.default})" if self.default else self.help


class Outcome(NamedTuple):
    """Results of a pipeline for the command line to write.

    Attributes:
      images: (n, height, width, channels) in [-1, 1], to be shown.
      arrays: what else to save, by name; "images" replaces those shown.
      rows: images of earlier stages, each (n, ...), shown above.
      lines: figures to print.
      curves: `{name: points}` for roc.png; none by default.
    """

    images: Any
    arrays: Mapping[str, Any] = {}
    rows: tuple[Any, ...] = ()
    lines: tuple[str, ...] = ()
    curves: Mapping[str, Any] = {}


Shape = tuple[int, ...]


class Pipeline(NamedTuple):
    """A task of `sample.py`.

    Attributes:
      run: `(model, key, images, first=, **arguments) -> Outcome`, or images alone, of a batch that begins with image
        number `first`; without input, `(model, key, n, first=, **arguments)`. It takes the options of sampling if it
        has `**options`.
      help: what it does, in one line.
      arguments: those of `run`.
      takes: `(model, arguments) -> shape` of one image of the input; None if there is no input.
      measured: whether the input holds noise, which takes values beyond [-1, 1].
      degrade: `(rng, images, model, arguments) -> (images, arguments)`: what the task undoes, done to images of the
        model's size for --degrade, and the arguments of the run on them.
      settle: `(images, arguments) -> arguments` that depend on all images.
      whole: whether `run` divides its work itself, by `batch=` if it has that; it then gets no `first`, and, without
        input, all of `n`, if it takes that.
      labeled: whether `run` gets the labels of the input, `labels=`, (n,) or None.
      modality: of the models that it is for; or several, whose input and results are in the data's own units.
      save: `(folder, model, outcome) -> names of the files`, the first to be looked at, of what is no picture.
    """

    run: Callable[..., Any]
    help: str
    arguments: tuple[Argument, ...] = ()
    takes: Callable[[Model, Mapping[str, Any]], Shape] | None = lambda model, arguments: model.shape
    measured: bool = False
    degrade: Callable[[np.random.Generator, np.ndarray, Model, dict], tuple[np.ndarray, dict]] | None = None
    settle: Callable[[np.ndarray, dict], dict] = lambda images, arguments: arguments
    whole: bool = False
    labeled: bool = False
    modality: str | tuple[str, ...] = "images"
    save: Callable[[Path, Model, Outcome], list[str]] | None = None


def class_number(text: str | int, model: Model) -> int:
    """The number of a class that a model knows: `jaxdiff.pipelines.conditions.class_of`."""
    return class_of(text, model.spec)


LABEL = Argument(
    "condition", "class of the images, by number or name", flag="label", read=class_number, default="unknown"
)
"""Shared by all pipelines that can be told a class."""
