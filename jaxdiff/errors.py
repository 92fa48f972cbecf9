"""The one error that a user can mend: it says what was wrong, what was allowed and what to do, in one line."""

import difflib
from collections.abc import Iterable
from typing import Any


class InputError(ValueError):
    """Bad input. The scripts print its message alone and exit with code 2."""


def unknown(kind: str, name: Any, allowed: Iterable[str]) -> InputError:
    """An error for `name`, which is none of the `allowed` ones of its `kind`; names the nearest and lists them all."""
    allowed = sorted(allowed)
    near = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return InputError(f"unknown {kind} {str(name)!r}{hint}: allowed are {', '.join(allowed) or 'none'}")
