"""Modes: what `jaxdiff sample` is asked to do, and the flags that each of these has a use for."""

import argparse

from jaxdiff.errors import InputError

__all__ = ["MODES", "USES", "check"]

MODES = ("task", "likelihood", "fill", "smiles", "ccd")
"""The flags that ask for something else than plain drawing, by their names as argparse keeps them."""
PLAIN, DRAWING, NUMBERED = "", ("", "task", "fill", "smiles", "ccd"), ("", "fill", "smiles", "ccd")
USES = {
    **dict.fromkeys(("prompt", "prompts", "negative", "size", "speaker", "json"), (PLAIN,)),
    **dict.fromkeys(("atoms", "property", "length"), (PLAIN, "task")),  # tasks say themselves what they take
    **dict.fromkeys(("num", "batch", "sampler", "steps", "option"), DRAWING),
    "first": NUMBERED,
    "label": (PLAIN, "task"),
    "examples": ("likelihood",),
}
"""The modes in which a flag has a use, "" being plain drawing; a flag that is not here has one in all of them."""


def check(given: argparse.Namespace, default: argparse.Namespace, drawing: tuple[str, ...] = ()) -> None:
    """Refuse flags that would be ignored, and two modes at once.

    Args:
      given: what was asked for, and `default`, what is there where nothing is said.
      drawing: further flags that are for drawing.

    Raises:
      InputError: a flag that has no use in the mode, or a second mode.
    """
    is_given = lambda name: getattr(given, name) != getattr(default, name)
    asked = [name for name in MODES if is_given(name)]
    if len(asked) > 1:
        raise InputError(f"--{asked[1]}: goes without --{asked[0]}: give one of them")
    mode = asked[0] if asked else PLAIN
    for name, modes in {**USES, **dict.fromkeys(drawing, DRAWING)}.items():
        if mode not in modes and is_given(name):
            where = f"not with --{mode}" if mode else "which is not given"
            raise InputError(f"--{name}: goes with {' and '.join(map(_named, modes))}, {where}: leave it out")


def _named(mode: str) -> str:
    return f"--{mode}" if mode else "plain drawing"
