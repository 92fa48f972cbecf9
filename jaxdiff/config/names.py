"""Names: from plain data, `dict(name="...", **arguments)`, to the function it names.

The module is the list: its public functions that are annotated to return such a part are the names there are, and their
parameters are the arguments. Adding one needs no entry anywhere.
"""

import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from jaxdiff.config.schema import check_argument, check_value
from jaxdiff.errors import InputError, unknown

Known = Mapping[str, Callable[..., Any]]


def named(module: ModuleType, returns: Any) -> Known:
    """The public functions of a module that are annotated to return `returns`, by name."""
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and inspect.signature(function).return_annotation == returns
    }


def call(kind: str, known: Known, spec: Mapping[str, Any], *given: Any) -> Any:
    """Call what `spec` names with its arguments, after those given.

    Raises:
      InputError: an unknown name or argument, or a value that does not fit.
    """
    check_value(kind, spec, Mapping)
    name = spec.get("name", "")
    if not isinstance(name, str) or name not in known:
        raise unknown(kind, name, known)
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items() if k != "name"}
    parameters = inspect.signature(known[name]).parameters
    allowed = [p for p in list(parameters)[len(given) :] if p not in ("parent", "name")]
    for argument, value in arguments.items():
        if argument not in allowed:
            raise unknown(f"argument of {kind} {name!r}", argument, allowed)
        check_argument(f"{kind} {name!r}", argument, value, parameters[argument])
    try:
        return known[name](*given, **arguments)
    except InputError:
        raise
    except (TypeError, ValueError, ArithmeticError, MemoryError) as error:
        raise InputError(f"{kind} {name!r}: {' '.join(str(error).split())}") from error
