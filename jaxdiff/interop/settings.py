"""Settings: the fields of a configuration of another library, each honored or refused by its name."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxdiff.errors import InputError

__all__ = ["building", "fields_of", "read_json", "write_json"]


def fields_of(
    what: str, given: Mapping[str, Any], known: Mapping[str, Any], only: Mapping[str, Sequence[Any]], inert: str = ""
) -> dict[str, Any]:
    """All fields of a configuration, those that it does not say at their defaults.

    Args:
      what: whose configuration it is, for errors.
      known: the fields, and what they are where nothing is said.
      only: what those may be that are not free.
      inert: fields, separated by spaces, that change nothing of what is computed.

    Raises:
      InputError: a field that is unknown, or has a value that is not supported.
    """
    for field, value in given.items():
        if not field.startswith("_") and field not in known and field not in inert.split():
            raise InputError(f"{what}: unknown field {field!r} = {value!r}: this library does not know what it changes")
    config = {field: given.get(field, default) for field, default in known.items()}
    for field, allowed in only.items():
        value = config[field]
        if (tuple(value) if isinstance(value, list) else value) not in allowed:
            raise InputError(f"{what}: {field}={value!r} is not supported: {' or '.join(map(repr, allowed))} is")
    return config


def read_json(file: Path) -> dict[str, Any]:
    """The content of a JSON file.

    Raises:
      InputError: it is not there, or no JSON object.
    """
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{str(file)!r} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{str(file)!r} holds no JSON object: is it the file of a saved model?")
    return content


@contextmanager
def building(file: Path) -> Iterator[None]:
    """Say of which configuration a network cannot be built, where its fields do not fit together.

    Raises:
      InputError: what is built raises any exception.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Python, Flax and JAX find what no field's own check looks for
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{str(file)!r}: no network can be built of these fields: {reason}") from error


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, and the folder that it is in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(dict(content), indent=2) + "\n")
