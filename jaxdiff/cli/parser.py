"""Parser: argparse whose errors are one line, which suggests the nearest option."""

import argparse
import difflib
import re
import sys
from typing import NoReturn

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """A parser whose help keeps the lines of its description."""

    def __init__(self, *given, **further):
        super().__init__(*given, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **further)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with exit code 2."""
        if unknown := re.match(r"unrecognized arguments: (--?[\w-]+)", message):
            near = difflib.get_close_matches(unknown[1], self._option_string_actions, 1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            message = f"unknown option {unknown[1]}{meant}: see {self.prog} --help"
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
