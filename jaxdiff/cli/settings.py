"""Settings: the page of all fields of a configuration, of what can be named there, and of the tasks of `sample.py`.

docs/settings.md is its output:

python -m jaxdiff.cli.settings > docs/settings.md
"""

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

from jaxdiff.cli.tasks import PIPELINES
from jaxdiff.config.names import Part
from jaxdiff.config.parts import PARTS
from jaxdiff.config.ranges import MOST, RANGES, Range
from jaxdiff.config.schema import FIELDS, WORDS, Field, kinds_of

__all__ = ["ANY", "HEAD", "NAMED", "TASKS", "described", "page"]

ANY = (-math.inf, math.inf)
HEAD = """# Settings

Made by `python -m jaxdiff.cli.settings > docs/settings.md`.

A configuration is plain data, nested by name. It has the fields of the first table; a file of `configs/` starts from
these defaults (`jaxdiff.config.schema.defaults`). Each is set on the command line: `--config.train.steps=3000`. A run
goes on with another value of a field only where the table says so.
"""
NAMED = """## What can be named

These fields name a function, and its arguments stand beside the name, also those that the file leaves out:
`--config.optimizer.name=adamw --config.optimizer.weight_decay=0.01`. `package.module:name` names a function from
outside, which keeps the contract.
"""
TASKS = """## Tasks of `sample.py`

`python sample.py --workdir RUN --task TASK`, with `--input` and, where it says so, `--degrade`. Tasks that draw with a
sampler take its options, too. `package.module:name` names a `jaxdiff.pipelines.pipeline.Pipeline` from outside.

| task | what it does | input | flags |
|---|---|---|---|"""


def page() -> str:
    """The page, in Markdown."""
    rows = [_row(f"`{name}`", *described(field), field.help) for name, field in FIELDS.items()]
    head = ["| field | value | default | may change | what it is |", "|---|---|---|---|---|"]
    return "\n".join([HEAD, *head, *rows, "", NAMED, *_parts(PARTS), TASKS, *_tasks()])


def described(field: Field) -> tuple[str, str, str]:
    """A field's values and default, and what may change of it when a run goes on, in words."""
    free = "yes" if field.resume is True else ", ".join(f"`{k}`" for k in field.resume or ())
    default = "" if field.default == {} else f"`{field.default!r}`"
    return _kind([field.kind], (field.least, field.most)), default, free


def _parts(parts: Mapping[str, Part], above: str = "") -> Iterator[str]:
    seen = set()
    for place, part in parts.items():
        if id(part) not in seen and not (above and part in PARTS.values()):
            seen.add(id(part))
            places = [f"`{above}{name}`" for name, other in parts.items() if other is part]
            yield f"### {', '.join(places)}\n\nFrom outside: {part.contract}.\n"
            yield "| name | arguments |\n|---|---|"
            yield from (_row(f"`{name}`", _arguments(part, name)) for name in sorted(part.known))
            if part.beside({"name": ""}):
                yield _row("all of them", ", ".join(f"`{k}`" for k in part.beside({"name": ""})))
            yield ""
            yield from _parts(part.inner, f"{above}{place}.")


def _arguments(part: Part, name: str) -> str:
    ranges = RANGES.get(part.kind, {}).get(name, {})
    return ", ".join(_argument(p, ranges.get(k, ANY)) for k, p in part.own({"name": name}).items())


def _argument(parameter: inspect.Parameter, within: Range) -> str:
    kind, default = _kind(kinds_of(parameter), within), parameter.default
    plain = isinstance(default, (bool, int, float, str, tuple, type(None)))
    shown = "" if default is parameter.empty or not plain else f" = {default!r}"
    return f"`{parameter.name}{shown}`" + (f" ({kind})" if kind and within != ANY else "")


def _kind(kinds: list[Any], within: Range) -> str:
    words = " or ".join("a number, or inf" if kind is object else WORDS[kind] for kind in kinds)
    least, most = (f"{n:,}" if isinstance(n, int) else f"{n:g}" for n in within)
    if within == ANY or not any(kind not in (bool, str, Mapping) for kind in kinds):
        return words
    return f"{words} from {least}" + (f" to {most}" if within[1] < MOST else "")


def _tasks() -> Iterator[str]:
    for name, pipeline in sorted(PIPELINES.items()):
        given = "none" if pipeline.takes is None else "`--degrade`" if pipeline.degrade else "yes"
        flags = [f"`--{one.option.replace('_', '-')}` {one.described}" for one in pipeline.arguments]
        yield _row(f"`{name}`", pipeline.help, given, "; ".join(flags))
    yield ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(page(), end="")
