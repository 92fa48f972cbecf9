"""Names: from plain data, `dict(name="...", **arguments)`, to the function it names.

A module is the list: its public functions that are annotated to return such a part are the names there are, and their
parameters are the arguments. Adding one needs no entry anywhere. A name of the form `package.module:name` is a function
from outside the library, which has to keep the contract of the part; from Python the name may be the function itself,
or `Given(made)`, what such a function would return. A run's record keeps the text `in_words` of these, which tells
where to import them from, or that they have to be given again.
"""

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from jaxdiff.config.schema import PLAIN, check_argument, check_value
from jaxdiff.errors import InputError, unknown

__all__ = ["FLAX", "Arguments", "Given", "Known", "Part", "Spec", "import_name", "in_words", "named"]

Known = Mapping[str, Callable[..., Any]]
Spec = Mapping[str, Any]
Arguments = dict[str, inspect.Parameter | None]
FLAX = ("parent", "name")
"""Parameters that every Flax module has."""
GIVEN = "given in Python: "
"""How the text of what cannot be imported begins."""


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """What was made in Python, in place of the name of a function that makes it."""

    made: Any

    def __call__(self) -> Any:
        return self.made


def in_words(name: Any) -> str:
    """A name as a run's record keeps it: that of a function which can be imported as `package.module:name`."""
    if isinstance(name, str):
        return name
    function = name
    if isinstance(name, Given):
        function = getattr(name.made, "function", type(name.made))
    module, attribute = getattr(function, "__module__", ""), getattr(function, "__qualname__", repr(function))
    lasts = not isinstance(name, Given) and "<" not in attribute and module not in ("__main__", "")
    return f"{module}:{attribute}" if lasts else f"{GIVEN}{attribute}"


def named(module: ModuleType, returns: Any) -> Known:
    """The public functions of a module that are annotated to return `returns`, by name."""
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and inspect.signature(function).return_annotation == returns
    }


class Part(NamedTuple):
    """A part of a configuration that names a function.

    Attributes:
      kind: of function, in words.
      known: what may be named, beside functions from outside.
      makes: the type of what the function returns.
      contract: what a function from outside takes and returns, in words.
      given: parameters that the program gives, and a configuration does not.
      inner: arguments that are parts themselves.
      beside: what may stand beside the function's own arguments.
    """

    kind: str
    known: Known
    makes: Any
    contract: str
    given: tuple[str, ...] = ()
    inner: Mapping[str, "Part"] = {}
    beside: Callable[[Spec], Arguments] = lambda spec: {}

    def knows(self, name: Any) -> bool:
        """Tell whether a name is that of a function, or of one from outside."""
        return callable(name) or (isinstance(name, str) and (name in self.known or ":" in name))

    def find(self, spec: Spec) -> Callable[..., Any]:
        """The function that `spec` names.

        Raises:
          InputError: it names none.
        """
        check_value(self.kind, spec, Mapping)
        name = spec.get("name", "")
        if callable(name):
            return name
        if not self.knows(name):
            raise unknown(self.kind, name, self.known)
        if name.startswith(GIVEN):
            raise InputError(f"{self.kind} {name!r}: is in no file: give it again, as in `load(path, net=...)`")
        return self.known[name] if name in self.known else import_name(self.kind, name, self.contract, callable)

    def takes(self, spec: Spec, parameter: str) -> bool:
        """Tell whether the function that `spec` names has a parameter of this name."""
        return parameter in inspect.signature(self.find(spec)).parameters

    def own(self, spec: Spec) -> dict[str, inspect.Parameter]:
        """The parameters of the function that `spec` names that a configuration gives."""
        parameters = inspect.signature(self.find(spec)).parameters
        return {name: p for name, p in parameters.items() if name not in (*self.given, *FLAX)}

    def arguments(self, spec: Spec) -> Arguments:
        """All that may stand in `spec`, by name; no parameter where it is not the function's own."""
        return {**self.own(spec), **self.beside(spec)}

    def make(self, spec: Spec, **given: Any) -> Any:
        """Call the function that `spec` names with its arguments, and with those of `given` that it takes.

        Raises:
          InputError: an unknown name or argument, a value that does not fit, or a function that breaks the contract.
        """
        function, own = self.find(spec), self.own(spec)
        name = in_words(spec["name"])
        arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items() if k != "name"}
        for argument, value in arguments.items():
            if argument not in own:
                raise unknown(f"argument of {self.kind} {name!r}", argument, self.arguments(spec))
            arguments[argument] = self._inner(argument, value, own[argument])
            check_argument(self.kind, name, argument, arguments[argument], own[argument])
        takes = inspect.signature(function).parameters
        try:
            made = function(**{k: v for k, v in given.items() if k in takes}, **arguments)
        except InputError:
            raise
        except (TypeError, ValueError, ArithmeticError, MemoryError) as error:
            contract = "" if name in self.known else f"; it must be {self.contract}"
            raise InputError(f"{self.kind} {name!r}: {' '.join(str(error).split())}{contract}") from error
        return self.checked(name, made)

    def checked(self, name: str, made: Any) -> Any:
        """Return what a function made, if it keeps the contract."""
        if not isinstance(made, self.makes):
            raise InputError(f"{self.kind} {name!r} returns a {type(made).__name__}: it must be {self.contract}")
        return made

    def _inner(self, argument: str, value: Any, parameter: inspect.Parameter) -> Any:
        """Make an argument that is a part itself; it may be plain data where its function takes that."""
        inner = self.inner.get(argument)
        plain = parameter.annotation in PLAIN and not isinstance(value, Mapping)
        return value if inner is None or plain or isinstance(value, inner.makes) else inner.make(value)


def import_name(kind: str, name: str, contract: str, fits: Callable[[Any], bool]) -> Any:
    """Import what `package.module:name` names.

    Args:
      kind, contract: what it is, and what it must be, in words.
      fits: whether it is that.

    Raises:
      InputError: it cannot be imported, or does not fit.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        found = functools.reduce(getattr, attribute.split("."), found)
        if not fits(found):
            raise TypeError(f"it is a {type(found).__name__}")
    except Exception as error:  # a module that is imported may raise any
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        raise InputError(
            f"{kind} {name!r}: no package.module:name that can be imported and used ({reason}): it must be {contract}"
        ) from error
    return found
