"""Completion: lines for a shell, which ask `jaxdiff completion words ...` for what may come next."""

import re
import sys

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
    """What may follow `jaxdiff` and these words: a command, one below it, a configuration, its settings, or options.

    Nothing, so that the shell offers files, after an option that takes a value. Bash makes words of `=` and `:`, too.
    """
    before = before[:-1] if before[-1:] == ["="] else before
    name, *rest = before or [""]
    if name not in COMMANDS:
        return list(COMMANDS)
    if below := sorted(file.stem.partition("-")[2] for file in HELP.glob(f"{name}-*.txt")):
        if not rest or rest[0] not in below:
            return below
        name = f"{name}-{rest[0]}"
    text = (HELP / f"{name}.txt").read_text()
    if before[-1] == "--config":
        configs = _settings(text)
        return [*configs, *(f"{config}:{setting}" for config in configs for setting in configs[config])]
    if before[-1] == ":" and len(before) > 1:
        return _settings(text).get(before[-2], [])
    if re.search(rf"^  {re.escape(before[-1])} [A-Z]", text, re.MULTILINE):
        return []
    return list(dict.fromkeys(re.findall(r"^  (--[a-z][\w.-]*)", text, re.MULTILINE)))


def _settings(text: str) -> dict[str, list[str]]:
    """The settings of each configuration, by the help of `jaxdiff train`."""
    listed = text.partition("\nConfigurations:\n")[2].partition("\n\n")[0]
    found: dict[str, list[str]] = {}
    for line in listed.splitlines():
        if match := re.match(r"  (\w+)", line):
            found[match[1]] = []
        else:
            found[next(reversed(found))] += re.findall(r":([^\s,]+=|[^\s,=]+)", line)
    return found
