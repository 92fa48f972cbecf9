"""Completion: lines for a shell, which ask `jaxdiff completion words ...` for what may come next."""

import re
import sys
from pathlib import Path

from jaxdiff.cli.main import COMMANDS, HELP

__all__ = ["main", "words"]

BASH = """_jaxdiff() {
  local current="${COMP_WORDS[COMP_CWORD]}"
  COMPREPLY=($(compgen -W "$(jaxdiff completion words "${COMP_WORDS[@]:1:COMP_CWORD-1}")" -- "$current"))
}
complete -o default -F _jaxdiff jaxdiff
"""
SHELLS = {
    "bash": BASH,
    "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + BASH,
    "fish": "complete -c jaxdiff -a '(jaxdiff completion words (commandline -opc)[2..-1])'\n",
}


def main(arguments: list[str]) -> int:
    """Print the lines for a shell, or the words that may follow others."""
    name, *before = arguments or [""]
    if name == "words":
        print("\n".join(words(before)))
        return 0
    if name not in SHELLS:
        print(f"error: unknown shell {name!r}: allowed are {', '.join(SHELLS)}", file=sys.stderr)
        return 2
    print(SHELLS[name], end="")
    return 0


def words(before: list[str]) -> list[str]:
    """What may follow `jaxdiff` and these words: a command, a configuration, or the options of the command's help."""
    if not before or before[0] not in COMMANDS:
        return list(COMMANDS)
    if before[-1] == "--config":
        return sorted(file.stem for file in (Path(__file__).parents[1] / "configs").glob("[a-z]*.py"))
    text = (HELP / f"{before[0]}.txt").read_text()
    return list(dict.fromkeys(re.findall(r"--[a-z][\w.-]*(?<![.-])", text)))
