"""The command `jaxdiff`, and `python -m jaxdiff`: one name, and below it a command for each thing that it does.

Help is text that lies beside this file (`jaxdiff.cli.help`), so that it is there at once.
"""

import difflib
import importlib
import re
import sys
from pathlib import Path

from jaxdiff.cli.output import be_quiet, never_fail

__all__ = ["COMMANDS", "HELP", "main", "text_of"]

COMMANDS = {
    "train": "train a model, or go on with one",
    "sample": "draw from a trained model, or do something with it",
    "evaluate": "measure what a run draws, or samples of any program, against real data",
    "demo": "a page to play with a trained model of images, in the browser",
    "data": "look at data before training on it; prepare known sets",
    "runs": "list, compare, export, verify and prune runs",
    "doctor": "what JAX finds on this machine, what is wrong, and how to mend it",
    "completion": "lines for bash, zsh or fish that complete commands, options and configurations",
}
SLOW = ("train", "sample", "demo")
"""What they import takes seconds, so that they say so first."""
HELP = Path(__file__).parent / "texts"


def main(arguments: list[str] | None = None) -> int:
    """Run a command: 0 if all went well, 2 for bad input, 128 and its number after a signal."""
    never_fail()
    given = sys.argv[1:] if arguments is None else arguments
    name, *rest = given or ["--help"]
    if "" not in sys.path:
        sys.path.append("")  # the current folder, for `module:name` of the user's own; last, so that it hides nothing
    if name in ("--help", "-h", "help"):
        name, rest = (rest[0], ["--help"]) if rest else ("jaxdiff", ["--help"])
    if name == "--version":
        from jaxdiff import __version__

        print(f"jaxdiff {__version__}")
        return 0
    if name not in (*COMMANDS, "jaxdiff"):
        near = difflib.get_close_matches(name, [*COMMANDS, "--help", "--version"], 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        print(f"error: unknown command {name!r}{meant}: allowed are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    if {"--help", "-h"} & set(rest) or name == "jaxdiff":
        print(text_of(name, rest), end="")
        return 0
    if "--quiet" in rest:
        rest.remove("--quiet")
        be_quiet()
    elif name in SLOW and sys.stderr.isatty():
        print(f"jaxdiff {name}: loading JAX", file=sys.stderr, flush=True)
    return importlib.import_module(f"jaxdiff.cli.{name}").main(rest)


def text_of(name: str, rest: list[str]) -> str:
    """The help of a command, or of one below it; of `sample --task` with a task from outside, that of the parser."""
    outside = re.search(r"--task[= ](\S+:\S+)", " ".join(rest))
    if name == "sample" and outside:
        from jaxdiff.cli.sample import make_parser

        return make_parser(outside[1]).format_help()
    below = HELP / f"{name}-{rest[0]}.txt"
    return (below if rest and below.is_file() else HELP / f"{name}.txt").read_text()
