"""Parser: argparse whose errors are one line, which suggests the nearest command or option."""

import argparse
import difflib
import re
import sys
from typing import NoReturn

from jaxdiff.errors import unknown

__all__ = ["Parser", "commands_of"]


class Parser(argparse.ArgumentParser):
    """A parser whose help keeps the lines of its description."""

    def __init__(self, *given, **further):
        super().__init__(*given, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **further)
        # `jaxdiff.cli.main` takes it away, wherever it stands
        self.add_argument("--quiet", action="store_true", default=argparse.SUPPRESS, help="say nothing but errors")

    def parse_known_args(self, *given, **further):
        """Refuse what is not known here, where its own options are known, and not in the parser above."""
        namespace, rest = super().parse_known_args(*given, **further)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return namespace, rest

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with exit code 2."""
        if option := re.match(r"unrecognized arguments: (--?[\w-]+)", message):
            near = difflib.get_close_matches(option[1], self._option_string_actions, 1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            message = f"unknown option {option[1]}{meant}"
        elif command := re.search(r"invalid choice: '(.*?)' \(choose from", message):
            message = str(unknown("command", command[1], commands_of(self)))
        print(f"error: {' '.join(message.split())}: see {self.prog} --help", file=sys.stderr)
        sys.exit(2)


def commands_of(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """What each command of a parser does, and its own parser, by name."""
    found = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return {told.dest: (told.help or "", one.choices[told.dest]) for one in found for told in one._choices_actions}
